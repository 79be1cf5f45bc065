"""The TrainJob of one training, and its name.

The name is made of run and step, so that a step's pod that is started again finds the TrainJob of the first.
What it asks for has a digest, so that another one under that name is not mistaken for ours.
"""

import re
from pathlib import Path
from typing import Any

from pipelines.trainjobs.owner import Owner
from pipelines.trainjobs.template import Template
from saga.files import digest_of

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
RUNTIMES, RUNTIME = "trainingruntimes", "TrainingRuntime"
TARGET = "node"
"""Name of the runtime's job and of its container; Kubeflow Trainer asks for this one."""
DIGEST = "saga.dev/digest"
"""Annotation: digest of what is asked for."""
LONGEST = 40
"""Characters of a name: Kubernetes appends -node-0-<node>-<five> and allows 63."""
FIRST = (
    "trap 'told=1; kill -TERM $child 2>/dev/null' TERM; "
    '"$@" & child=$!; test -z "$told" || kill -TERM $child; '
    "while :; do wait $child; code=$?; kill -0 $child 2>/dev/null || exit $code; done"
)
"""A shell as the container's first process, which hands the request to end on, and ends as its child does.

The kernel keeps signals from a first process that has no handler for them: python has none while it begins,
torchrun none while machines wait for each other. The shell has one before it begins anything.
"""
PROGRAM = ("sh", "-c", FIRST, "sh", "python", "-m", "saga.training.launch")


def name_of(run: str, step: str) -> str:
    """The name of a step's TrainJob.

    Args:
        run: ZenML's id of the run.
        step: name of the step.
    """
    words = re.sub(r"[^a-z0-9]+", "-", step.lower()).strip("-")
    name = f"saga-{run.replace('-', '')[:12]}-{words}"
    if len(name) <= LONGEST:
        return name
    tail = digest_of(step)[:6]
    return f"{name[: LONGEST - len(tail) - 1].rstrip('-')}-{tail}"


def manifest(
    template: Template, owner: Owner, folder: Path, nodes: int, processes: int
) -> dict[str, Any]:
    """The TrainJob of a step.

    Args:
        template: what the stack says.
        owner: the step.
        folder: with what is to be trained; its pods see it.
        nodes: how many pods.
        processes: in each.
    """
    spec = {
        "runtimeRef": {"apiGroup": GROUP, "kind": RUNTIME, "name": template.runtime},
        "trainer": {
            "image": template.image,
            "command": [*PROGRAM, str(folder)],
            "env": [{"name": n, "value": v} for n, v in sorted(template.env.items())],
            "numNodes": nodes,
            "numProcPerNode": processes,
            "resourcesPerNode": template.resources,
        },
        "podSpecOverrides": [_override(template)],
    }
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {
            "name": name_of(owner.run, owner.step),
            "namespace": template.namespace,
            "labels": owner.labels() | template.labels,
            "annotations": {DIGEST: digest_of(spec)},
            "ownerReferences": [owner.reference()],
        },
        "spec": spec,
    }


def _override(template: Template) -> dict[str, Any]:
    """Where the pods run, and what they see."""
    return {
        "targetJobs": [{"name": TARGET}],
        "serviceAccountName": template.service_account,
        "nodeSelector": template.node_selector,
        "tolerations": template.tolerations,
        "volumes": template.volumes,
        "containers": [{"name": TARGET, "volumeMounts": template.mounts}],
    }
