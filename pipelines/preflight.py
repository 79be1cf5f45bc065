"""Looks at what a configuration points to, before anything heavy is imported.

The supervisor's loader checks more; here it costs milliseconds, and a run does not get to its training
only to learn that the supervisor lacks a tokenizer.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipelines.configuration import RunConfig, gate_policy_path
from saga.data.configuration import DatasetConfig
from saga.errors import UserInputError
from saga.supervisors.configuration import SupervisorConfig
from saga.supervisors.source import resolve_model


def check_inputs(run: RunConfig) -> None:
    """Check that dataset, supervisor and gates are there.

    Raises:
        UserInputError: one message with every problem.
    """
    problems = [*_dataset(run.dataset), *_supervisor(run.supervisor), *_nodes(run)]
    if problems:
        raise UserInputError("\n".join(problems))
    gate_policy_path(run.gates)


def check_dataset(dataset: DatasetConfig) -> None:
    """Check that the dataset's folder is there.

    Raises:
        UserInputError: if it is not.
    """
    for problem in _dataset(dataset):
        raise UserInputError(problem)


def _dataset(dataset: DatasetConfig) -> Iterator[str]:
    if dataset.layout == "synthetic" or dataset.root is None:
        return
    root = os.path.expanduser(dataset.root)
    if not os.path.isdir(root):
        what = "is not a folder" if os.path.exists(root) else "does not exist"
        yield (
            f"dataset.root: {dataset.root} {what} (looked in {Path.cwd()}). Put the dataset "
            "there, or say where it is: --set dataset.root=PATH."
        )


def _nodes(run: RunConfig) -> Iterator[str]:
    for section in ("training", "baseline"):  # the latter has what the former says, unless told
        nodes = getattr(run, section).distributed.nodes
        if nodes > 1:
            yield (
                f"{section}.distributed.nodes is {nodes}, but this is one machine. Allowed: 1; several "
                "are a Kubernetes stack's (--stack), whose Trainer starts processes on each."
            )
            return


def _supervisor(supervisor: SupervisorConfig) -> Iterator[str]:
    try:
        folder = Path(resolve_model(supervisor.model))
    except UserInputError as error:
        yield from str(error).splitlines()
        return
    depth, layer = _from_config(folder, _depth), supervisor.attention_layer
    if depth is not None and layer is not None and layer >= depth:
        yield (
            f"supervisor.attention_layer is {layer}, but {supervisor.model} has {depth} decoder "
            f"layers. Allowed: 0 to {depth - 1}."
        )
    side = _from_config(folder, _pixels_per_token)
    if side and supervisor.image_size % side:
        nearest = max(1, round(supervisor.image_size / side)) * side
        yield (
            f"supervisor.image_size is {supervisor.image_size} pixels, but {supervisor.model} "
            f"needs a multiple of {side}. Nearest: {nearest}."
        )


def _from_config(folder: Path, read: Callable[[Any], int]) -> int | None:
    """A number that the folder's config.json tells; None where it does not."""
    try:
        return read(json.loads((folder / "config.json").read_text()))
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
        return None


def _depth(config: Any) -> int:
    """Decoder layers."""
    return int(config["text_config"]["num_hidden_layers"])


def _pixels_per_token(config: Any) -> int:
    """Side of the square of pixels that becomes one token: patches, merged."""
    vision = config["vision_config"]
    patch = vision["patch_size"]
    patch = int(patch[0] if isinstance(patch, list) else patch)
    if "spatial_merge_size" in vision:
        return patch * int(vision["spatial_merge_size"])
    return round(patch / config["downsample_ratio"])
