"""Objects of infra/kubernetes in a cluster of the tests."""

import json
import subprocess
from collections.abc import Collection
from pathlib import Path

from tests.cluster.api import Object
from tests.infra.kubernetes_manifests import kubectl, objects
from tests.infra.permissions import NAMESPACE


def run(kubeconfig: Path, *arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    """kubectl."""
    command = [kubectl(), f"--kubeconfig={kubeconfig}", *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=120)


def apply(kubeconfig: Path, build: str, space: str, kinds: Collection[str]) -> None:
    """Objects of a build in another namespace.

    Args:
        kubeconfig: of the cluster.
        build: such as base.
        space: the namespace; is there.
        kinds: of the objects that are wanted.
    """
    items = [moved(item, space) for item in objects(build) if item["kind"] in kinds]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    made = run(kubeconfig, "apply", "--filename=-", given=text)
    assert made.returncode == 0, made.stderr


def moved(item: Object, space: str) -> Object:
    """An object in another namespace, with the subjects and the namespace that it names.

    What belongs to no namespace gets a name of its own, so that two namespaces do not share it.
    """
    text = json.dumps(item)
    for old, new in (
        (f'"namespace": "{NAMESPACE}"', f'"namespace": "{space}"'),
        (f'"resourceNames": ["{NAMESPACE}"]', f'"resourceNames": ["{space}"]'),
        ("saga-capacity-reader", f"{space}-capacity-reader"),
        ("saga-submitter-capacity-reader", f"{space}-submitter-capacity-reader"),
    ):
        text = text.replace(old, new)
    made: Object = json.loads(text)
    return made
