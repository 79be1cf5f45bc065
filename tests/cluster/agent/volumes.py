"""A pod's volumes: folders of this machine."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.agent.environment import ConfigError, field, referred
from tests.cluster.api import Api, Object


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of this machine, inside a container."""

    source: Path
    """Where it lies."""
    target: Path
    """Where the container sees it."""
    read_only: bool
    """Whether it may only be read."""


def prepare(api: Api, pod: Object, folder: Path) -> dict[str, Path]:
    """Where each volume of a pod lies.

    Args:
        api: the node's way to Secrets, ConfigMaps, claims and tokens.
        pod: with the volumes.
        folder: the pod's own; gone with it.

    Raises:
        ConfigError: if something that is referred to is not there.
    """
    return {
        volume["name"]: _place(api, pod, volume, folder / "volumes" / volume["name"])
        for volume in pod["spec"].get("volumes", [])
    }


def mounts(container: Object, places: dict[str, Path]) -> list[Mount]:
    """What a container sees of them, outer folders first."""
    found = [
        Mount(
            places[mount["name"]] / mount.get("subPath", ""),
            Path(mount["mountPath"]),
            bool(mount.get("readOnly")),
        )
        for mount in container.get("volumeMounts", [])
    ]
    return sorted(found, key=lambda mount: mount.target)


def _place(api: Api, pod: Object, volume: Object, own: Path) -> Path:
    if "hostPath" in volume:
        return _host_folder(volume["hostPath"])
    if "persistentVolumeClaim" in volume:
        return _claimed(api, pod, volume["persistentVolumeClaim"]["claimName"])
    own.mkdir(parents=True, exist_ok=True)
    if "emptyDir" in volume:
        own.chmod(0o777)
    elif "projected" in volume:
        for source in volume["projected"]["sources"]:
            _write(own, _projected(api, pod, source))
    elif "secret" in volume:
        secret = volume["secret"]
        _write(own, _items(api, pod, "secrets", secret | {"name": secret["secretName"]}))
    elif "configMap" in volume:
        _write(own, _items(api, pod, "configmaps", volume["configMap"]))
    elif "downwardAPI" in volume:
        _write(own, _fields(pod, volume["downwardAPI"]))
    else:
        raise ConfigError(f"volume {volume['name']}: the agent knows none of its kind")
    return own


def _host_folder(given: Object) -> Path:
    path = Path(given["path"])
    if given.get("type") == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        raise ConfigError(f"hostPath {path} does not exist")
    return path


def _claimed(api: Api, pod: Object, name: str) -> Path:
    """The folder of a claim's volume; its volume must be a hostPath."""
    space = pod["metadata"]["namespace"]
    claim = api.get(f"/api/v1/namespaces/{space}/persistentvolumeclaims/{name}")
    volume = api.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
    return _host_folder(volume["spec"]["hostPath"])


def _projected(api: Api, pod: Object, source: Object) -> dict[str, bytes]:
    if "serviceAccountToken" in source:
        wanted = source["serviceAccountToken"]
        return {wanted["path"]: _token(api, pod, wanted)}
    if "configMap" in source:
        return _items(api, pod, "configmaps", source["configMap"])
    if "secret" in source:
        return _items(api, pod, "secrets", source["secret"])
    return _fields(pod, source["downwardAPI"])


def _token(api: Api, pod: Object, wanted: Object) -> bytes:
    """A token of the pod's account that dies with the pod."""
    about, account = pod["metadata"], pod["spec"].get("serviceAccountName", "default")
    bound = {"apiVersion": "v1", "kind": "Pod", "name": about["name"], "uid": about["uid"]}
    asked = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": [wanted["audience"]] if "audience" in wanted else [],
            "expirationSeconds": wanted.get("expirationSeconds", 3600),
            "boundObjectRef": bound,
        },
    }
    path = f"/api/v1/namespaces/{about['namespace']}/serviceaccounts/{account}/token"
    token: str = api.create(path, asked)["status"]["token"]
    return token.encode()


def _items(api: Api, pod: Object, kind: str, given: Object) -> dict[str, bytes]:
    """Files of a Secret or ConfigMap: those that are named, else all."""
    data = referred(api, pod, kind, given)
    if data is None:
        return {}
    if "items" not in given:
        return data
    missing = [item["key"] for item in given["items"] if item["key"] not in data]
    if missing:
        raise ConfigError(f"{kind} {given['name']} has no {', '.join(missing)}")
    return {item["path"]: data[item["key"]] for item in given["items"]}


def _fields(pod: Object, given: Object) -> dict[str, bytes]:
    return {
        item["path"]: field(pod, item["fieldRef"]["fieldPath"]).encode() for item in given["items"]
    }


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o644)


def discard(folder: Path) -> None:
    """Delete what belonged to a pod alone."""
    shutil.rmtree(folder, ignore_errors=True)
