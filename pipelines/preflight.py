"""Looks at what a configuration points to, before anything heavy is imported.

The supervisor's loader makes the same checks and more; here they cost milliseconds, and a run does
not get to its training only to learn that the supervisor lacks a tokenizer.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.configuration import RunConfig, gate_policy_path
from saga.data.configuration import DatasetConfig
from saga.errors import UserInputError
from saga.supervisors.configuration import SupervisorConfig

TOKENIZERS = ("tokenizer.json", "vocab.json", "tokenizer.model")
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")


def check_inputs(run: RunConfig) -> None:
    """Check that dataset, supervisor and gates are there.

    Raises:
        UserInputError: one message with every problem.
    """
    problems = [*_dataset(run.dataset), *_supervisor(run.supervisor)]
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
    root = Path(dataset.root).expanduser()
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        yield (
            f"dataset.root: {dataset.root} {what} (looked in {Path.cwd()}). Put the dataset "
            "there, or say where it is: --set dataset.root=PATH."
        )


def _supervisor(supervisor: SupervisorConfig) -> Iterator[str]:
    folder = Path(supervisor.model).expanduser()
    if supervisor.model == "embedded" or not folder.is_dir():
        return
    for names, what in (
        (("config.json",), "config.json"),
        (TOKENIZERS, "tokenizer (tokenizer.json)"),
        (PREPROCESSORS, "preprocessor_config.json"),
    ):
        if not any((folder / name).is_file() for name in names):
            yield (
                f"supervisor.model: the folder {supervisor.model} holds no {what}. Save model, "
                "tokenizer and processor into one folder (save_pretrained of each), then give it."
            )
    depth = _depth(folder)
    layer = supervisor.attention_layer
    if depth is not None and layer is not None and layer >= depth:
        yield (
            f"supervisor.attention_layer is {layer}, but {supervisor.model} has {depth} decoder "
            f"layers. Allowed: 0 to {depth - 1}."
        )


def _depth(folder: Path) -> int | None:
    """Decoder layers that the folder's config.json tells of; None where it does not."""
    try:
        config: Any = json.loads((folder / "config.json").read_text())
        return int(config["text_config"]["num_hidden_layers"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
