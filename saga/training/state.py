"""Resumable checkpoints: everything the next step depends on, bound by digests.

A checkpoint is a folder `step-<n>` of safetensors and JSON. The pointer `latest.json` names the newest
whole one and the digests of its files, and is written last; a crash at any moment leaves the previous
checkpoint valid. What the pointer does not name is swept at the next start and after each save.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from saga.errors import UserInputError
from saga.files import canonical_json, file_digests, replace_folder, write_json, write_text

POINTER = "latest.json"


@dataclass(frozen=True, slots=True)
class TrainingState:
    """A moment between two steps."""

    step: int
    """Steps done."""
    tensors: dict[str, Tensor]
    """Trainable weights, optimizer moments, random number states."""
    values: dict[str, Any]
    """Sampler position, history and counters, as JSON."""


def save_state(folder: Path, state: TrainingState, key: str) -> None:
    """Write a checkpoint, then point to it, then delete the older ones.

    Args:
        folder: the run's checkpoint folder.
        state: what to keep.
        key: digest of configuration and inputs; a run with another key does not resume from it.
    """
    name = f"step-{state.step:06d}"
    with replace_folder(folder / name) as building:
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in state.tensors.items()}
        save_file(tensors, building / "tensors.safetensors")
        write_text(building / "values.json", canonical_json(state.values))
    pointer = {"folder": name, "key": key, "step": state.step}
    pointer["files"] = file_digests(folder / name)  # type: ignore[assignment]
    write_json(folder / POINTER, pointer)
    sweep(folder)


def load_state(folder: Path, key: str) -> TrainingState | None:
    """The newest checkpoint of the same run, or None.

    Raises:
        UserInputError: if its files are not those that were written.
    """
    path = folder / POINTER
    if not path.is_file():
        return None
    try:
        pointer = json.loads(path.read_text())
        target = folder / Path(pointer["folder"]).name
        if pointer["key"] != key:
            return None
        if file_digests(target) != pointer["files"]:
            raise ValueError("its files do not match their digests")
        tensors = load_file(target / "tensors.safetensors")
        values = json.loads((target / "values.json").read_text())
        return TrainingState(int(pointer["step"]), tensors, values)
    except (ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
        raise UserInputError(
            f"The checkpoint in {folder} cannot be resumed: {error}. It was altered or damaged; "
            "delete that folder and run the same command again to start afresh."
        ) from error


def sweep(folder: Path) -> None:
    """Delete the checkpoints that the pointer does not name, older and half-written ones.

    Files that are not ours stay: the folder may be one that the user keeps other things in.
    """
    path = folder / POINTER
    kept = json.loads(path.read_text())["folder"] if path.is_file() else None
    for pattern in ("step-*", ".step-*"):
        for entry in folder.glob(pattern):
            if entry.name != kept:
                shutil.rmtree(entry, ignore_errors=True)
    for half_written in folder.glob(f".{POINTER}.*"):
        half_written.unlink()


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Moments and step counters of an optimizer as named tensors."""
    return {
        f"optimizer.{index}.{name}": torch.as_tensor(value)
        for index, slots in optimizer.state_dict()["state"].items()
        for name, value in slots.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put the tensors of `optimizer_tensors` back."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, slot = name.split(".", 2)
            state.setdefault(int(index), {})[slot] = value
    current = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": current["param_groups"]})


def random_tensors() -> dict[str, Tensor]:
    """States of torch's global generators (dropout of LoRA draws from them)."""
    states = {"random.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["random.cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random(tensors: dict[str, Tensor]) -> None:
    """Put the generators' states back."""
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
