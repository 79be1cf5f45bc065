"""A container's environment: what its pod says, resolved; nothing of the host's."""

import base64
import zlib
from collections.abc import Mapping
from typing import Any

from tests.cluster.api import Api, ApiError, Object

MASTER_PORT = "PET_MASTER_PORT"
"""Where the processes of a training meet: always the same port, because pods have networks of their own."""
PORTS = range(12000, 20000)
"""Below those that tests and connections are given."""
GROUP = "jobset.sigs.k8s.io/jobset-name"


class ConfigError(Exception):
    """A container cannot be made as its pod says; the message says why."""


def environment(
    api: Api, pod: Object, container: Object, image: Mapping[str, str]
) -> dict[str, str]:
    """Variables of a container.

    Args:
        api: the node's way to Secrets and ConfigMaps.
        pod: it belongs to.
        container: its part of the pod's specification.
        image: what the image sets.

    Raises:
        ConfigError: if something that is referred to is not there.
    """
    found = dict(image) | {"HOSTNAME": pod["metadata"]["name"]}
    for source in container.get("envFrom", []):
        found |= _all_of(api, pod, source)
    for entry in container.get("env", []):
        value = _value(api, pod, container, entry)
        if value is not None:
            found[entry["name"]] = expanded(value, found)
    if MASTER_PORT in found:
        found[MASTER_PORT] = str(_meeting(api, pod))
    return found


def _meeting(api: Api, pod: Object) -> int:
    """A port for each group of pods and control plane: all pods have this machine's network."""
    about = pod["metadata"]
    group = (api.server, about["namespace"], about.get("labels", {}).get(GROUP, about["name"]))
    return PORTS[zlib.crc32("/".join(group).encode()) % len(PORTS)]


def expanded(text: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` replaced where NAME is known; `$$(NAME)` is the text `$(NAME)`."""
    parts = text.split("$$(")
    for name, value in known.items():
        parts = [part.replace(f"$({name})", value) for part in parts]
    return "$(".join(parts)


def field(pod: Object, path: str) -> str:
    """A pod's field, as fieldRef names it.

    Raises:
        ConfigError: if it is none that fieldRef may name.
    """
    if path.endswith("']") and "['" in path:
        holder, _, key = path.removesuffix("']").partition("['")
        return str(_walk(pod, holder).get(key, ""))
    return str(_walk(pod, path))


def referred(api: Api, pod: Object, kind: str, reference: Object) -> dict[str, bytes] | None:
    """Data of a Secret or ConfigMap of the pod's namespace; None where it is not there and need not be.

    Raises:
        ConfigError: if it is not there and must be.
    """
    name, space = reference["name"], pod["metadata"]["namespace"]
    try:
        item = api.find(f"/api/v1/namespaces/{space}/{kind}/{name}")
    except ApiError as error:
        # The node may see it once the API server has noticed that a pod here needs it.
        raise ConfigError(error.message) from error
    if item is not None:
        return _data(item)
    if reference.get("optional"):
        return None
    raise ConfigError(f'{kind.removesuffix("s")} "{name}" not found')


def _data(item: Object) -> dict[str, bytes]:
    if item["kind"] == "Secret":
        return {key: base64.b64decode(value) for key, value in item.get("data", {}).items()}
    plain = {key: value.encode() for key, value in item.get("data", {}).items()}
    return plain | {k: base64.b64decode(v) for k, v in item.get("binaryData", {}).items()}


def _all_of(api: Api, pod: Object, source: Object) -> dict[str, str]:
    kind, reference = (
        ("secrets", source["secretRef"])
        if "secretRef" in source
        else ("configmaps", source["configMapRef"])
    )
    data = referred(api, pod, kind, reference) or {}
    return {source.get("prefix", "") + key: value.decode() for key, value in data.items()}


def _value(api: Api, pod: Object, container: Object, entry: Object) -> str | None:
    source = entry.get("valueFrom")
    if source is None:
        return str(entry.get("value", ""))
    if "fieldRef" in source:
        return field(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        kind, _, name = source["resourceFieldRef"]["resource"].partition(".")
        return str(container.get("resources", {}).get(kind, {}).get(name, ""))
    kind, reference = (
        ("secrets", source["secretKeyRef"])
        if "secretKeyRef" in source
        else ("configmaps", source["configMapKeyRef"])
    )
    return _key(referred(api, pod, kind, reference), kind, reference)


def _key(data: Mapping[str, bytes] | None, kind: str, reference: Object) -> str | None:
    if data is not None and reference["key"] in data:
        return data[reference["key"]].decode()
    if reference.get("optional"):
        return None
    raise ConfigError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")


def _walk(pod: Object, path: str) -> Any:
    if path in ("status.podIP", "status.hostIP"):
        return "127.0.0.1"
    found: Any = pod
    for part in path.split("."):
        if not isinstance(found, Mapping):
            raise ConfigError(f"fieldPath {path} is not supported")
        found = found.get(part, {} if part in ("labels", "annotations") else "")
    return found
