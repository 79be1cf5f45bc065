"""What the API server asks the controllers, at an address of loopback instead of a Service.

The projects' own manifests, but for where they are asked and for JobSet's webhooks of pods: those are for
JobSets' pods alone, as its release has them.
"""

import base64
import copy
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.api import Object

REGISTRATION = "admissionregistration.k8s.io/v1"
OF_JOBSETS = {"matchExpressions": [{"key": "jobset.sigs.k8s.io/jobset-name", "operator": "Exists"}]}


def webhooks(manifests: Path, name: str, address: str, authority: Path) -> list[Object]:
    """A controller's webhook configurations.

    Args:
        manifests: as its project writes them.
        name: what they are named, before the kind.
        address: `https://HOST:PORT` of its server.
        authority: PEM of who signed that server's certificate.
    """
    bundle = base64.b64encode(authority.read_bytes()).decode()
    found = [item for item in yaml.safe_load_all(manifests.read_text()) if item]
    for item in found:
        item["metadata"]["name"] = f"{name}-{item['kind'].lower()}"
        item["webhooks"] = [_asked_at(hook, address, bundle) for hook in item["webhooks"]]
    return found


def bait(name: str, space: str) -> Object:
    """A configuration that asks nobody anything, for a controller that insists on signing one."""
    hook: dict[str, Any] = {
        "name": "nobody.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "clientConfig": {"service": {"name": "nobody", "namespace": space}},
        "rules": [
            {
                "apiGroups": ["nobody.example.com"],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["nothings"],
            }
        ],
    }
    return {
        "apiVersion": REGISTRATION,
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [hook],
    }


def _asked_at(hook: Object, address: str, bundle: str) -> Object:
    made = copy.deepcopy(hook)
    path = made["clientConfig"].pop("service")["path"]
    made["clientConfig"] = {"url": f"{address}{path}", "caBundle": bundle}
    if any("pods" in rule["resources"] for rule in made["rules"]):
        made["objectSelector"] = OF_JOBSETS
    return made
