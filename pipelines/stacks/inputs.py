"""Do a run's settings fit the cluster: are its files there, and its GPUs?

On a cluster the steps see the stack's volumes and the image, not this machine's disk.
"""

import os
from collections.abc import Iterator

from pipelines.configuration import RunConfig, gate_policy_path
from pipelines.stacks.configuration import TRAINS, KubernetesStack
from saga.errors import UserInputError


def check_run(run: RunConfig, stack: KubernetesStack, source: str) -> None:
    """Check that the pods will find what a run names.

    Args:
        run: the resolved configuration.
        stack: where it will run.
        source: the stack's file.

    Raises:
        UserInputError: one message with every problem.
    """
    problems = [*_files(run, stack), *_devices(run, stack, source)]
    if problems:
        raise UserInputError("\n".join(problems))
    gate_policy_path(run.gates)


def _files(run: RunConfig, stack: KubernetesStack) -> Iterator[str]:
    if run.dataset.layout != "synthetic" and run.dataset.root is not None:
        yield from _mounted("dataset.root", run.dataset.root, stack)
    model = os.path.expanduser(run.supervisor.model)
    if model.startswith((".", "/")) or os.path.isdir(model):
        yield from _mounted("supervisor.model", run.supervisor.model, stack)
        if not os.path.isdir(model):
            yield (
                f"supervisor.model: {run.supervisor.model} is not a folder here, and its digest is "
                "taken here. Mount the same volume at the same path on this machine, or give a hub id."
            )
    prompt = run.supervisor.prompt
    if prompt.endswith((".yaml", ".yml", ".json")):
        yield from _mounted("supervisor.prompt", prompt, stack)


def _mounted(key: str, path: str, stack: KubernetesStack) -> Iterator[str]:
    places = ", ".join(volume.mount_path for volume in stack.mounts)
    if not any(volume.holds(path) for volume in stack.mounts):
        yield (
            f"{key}: {path} is on none of the volumes of the stack {stack.name} ({places}), and steps "
            f"see no other files. Put it on one of them and give that path: --set {key}=PATH."
        )


def _devices(run: RunConfig, stack: KubernetesStack, source: str) -> Iterator[str]:
    name = stack.pool_of(TRAINS)
    pool = stack.pools[name]
    accelerator, key = pool.accelerator, f"pools.{name}.accelerator"
    device = run.supervisor.device
    if accelerator is None and device.startswith("cuda"):
        yield (
            f"supervisor.device is {device}, but {source} puts {TRAINS} on the pool {name}, which has "
            f"no {key}. Set supervisor.device to auto, or name another pool in steps.{TRAINS}."
        )
    for section, training in (("training", run.training), ("baseline", run.baseline)):
        processes, nodes = training.distributed.processes_per_node, training.distributed.nodes
        if section == "baseline" and training.distributed == run.training.distributed:
            continue
        if nodes > pool.nodes:
            yield (
                f"{section}.distributed.nodes is {nodes}, but {source} lets a training use "
                f"{pool.nodes} of the pool {name} (pools.{name}.nodes). Lower the one or raise the other."
            )
        if accelerator is not None and processes > accelerator.count and device != "cpu":
            yield (
                f"{section}.distributed.processes_per_node is {processes}, but {source} gives a pod of "
                f"the pool {name} {accelerator.count} ({key}.count). Lower the one or raise the other."
            )
