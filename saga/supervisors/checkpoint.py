"""Loads a multimodal LLM from a folder or the hub: one code path for 0.8 million and 8 billion parameters.

What comes back is split the way saga uses it: the vision tower (to be trained), the frozen language
backbone, the tokenizer's chat format and the image preprocessing that belongs to the weights.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from saga.encoders.preprocess import ImagePreprocessor
from saga.encoders.tower import VisionTower
from saga.encoders.towers import tower_of
from saga.errors import UserInputError
from saga.files import digest_of, file_digests
from saga.supervisors.backbone import BACKBONES, Backbone
from saga.supervisors.configuration import SupervisorConfig
from saga.supervisors.source import resolve_model

PAPER_DEPTH = 26 / 36
"""Relative depth of the layer whose attention the paper uses."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded multimodal LLM in the parts that saga uses."""

    tower: VisionTower
    """Vision tower in float32, trainable."""
    backbone: Backbone
    """Language model; every parameter frozen."""
    preprocessor: ImagePreprocessor
    """Resize and normalisation that belong to the tower."""
    digest: str
    """Of the folder's files, or of hub id and commit."""


def attention_layer(config: SupervisorConfig, depth: int) -> int:
    """The decoder layer (0-based) that teaches the pooler.

    Raises:
        UserInputError: if the configured layer is beyond the model's depth.
    """
    if config.attention_layer is None:
        return min(depth - 1, round(PAPER_DEPTH * depth))
    if config.attention_layer >= depth:
        raise UserInputError(
            f"supervisor.attention_layer is {config.attention_layer}, but {config.model} has "
            f"{depth} decoder layers. Allowed: 0 to {depth - 1}; the paper's relative depth would "
            f"be {min(depth - 1, round(PAPER_DEPTH * depth))}."
        )
    return config.attention_layer


def choose_device(name: str) -> torch.device:
    """The device of a configured name; "auto" takes a GPU when there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserInputError(
            'device: cuda was asked for, but torch sees no GPU here. Set it to "auto" or "cpu".'
        )
    return torch.device(name)


def load_checkpoint(config: SupervisorConfig) -> Checkpoint:
    """Load a supervisor.

    Raises:
        UserInputError: if the folder is incomplete or was altered, the family is not supported, the
            attention layer is beyond the depth, or the hub cannot be reached.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer

    source = resolve_model(config.model)
    local = Path(source).is_dir()
    with _quiet():
        model_config = _from_source(AutoConfig, source, config.model)
        _check_family(model_config, config.model)
        attention_layer(config, model_config.text_config.num_hidden_layers)
        if local:
            _check_unaltered(Path(source))
        tokenizer = _from_source(AutoTokenizer, source, config.model)
        if not getattr(tokenizer, "chat_template", None):
            raise UserInputError(
                f"supervisor.model: the tokenizer of {config.model} has no chat template, so the "
                "prompt cannot be written. Use an instruction-tuned checkpoint."
            )
        model, report = _from_source(
            AutoModelForImageTextToText,
            source,
            config.model,
            dtype=getattr(torch, config.dtype),
            attn_implementation="sdpa",
            use_safetensors=True,
            output_loading_info=True,
        )
    _check_complete(report["missing_keys"], config.model)
    model.eval().requires_grad_(False).to(choose_device(config.device))
    commit = getattr(model_config, "_commit_hash", None)
    digest = digest_of(file_digests(Path(source)) if local else {"hub": source, "commit": commit})
    tower = tower_of(model).float().requires_grad_(True)
    return Checkpoint(
        tower=tower,
        backbone=BACKBONES[model_config.model_type](model, tokenizer),
        preprocessor=ImagePreprocessor.from_pretrained_folder(source, config.image_size),
        digest=digest,
    )


def _from_source(auto: Any, source: str, given: str, **options: Any) -> Any:
    """from_pretrained, with the many ways in which it fails told in one."""
    try:
        return auto.from_pretrained(source, **options)
    except Exception as error:  # damaged files and wrong settings make it raise almost anything
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserInputError(
            f"supervisor.model: {auto.__name__} cannot load {given}: {first} "
            "Give a complete folder in the hub's format, or a hub id this machine can reach."
        ) from error


def _check_complete(missing: set[str], given: str) -> None:
    """Refuse weights that lack a tensor: transformers would fill it with random numbers."""
    if missing:
        names = sorted(missing)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise UserInputError(
            f"supervisor.model: the weights of {given} lack {', '.join(names[:3])}{more}. They were "
            "not saved whole, or belong to another model; fetch or save them again."
        )


def _check_family(config: Any, given: str) -> None:
    if config.model_type not in BACKBONES:
        raise UserInputError(
            f"supervisor.model: {given} is of the family {config.model_type!r}; supported are "
            f"{', '.join(sorted(BACKBONES))}."
        )


def _check_unaltered(folder: Path) -> None:
    """Compare with digests.json where the folder has one, as the shipped supervisor does."""
    listed_file = folder / "digests.json"
    if not listed_file.is_file():
        return
    listed = json.loads(listed_file.read_text())
    found = file_digests(folder, exclude=("digests.json",))
    wrong = sorted(n for n in listed.keys() | found.keys() if listed.get(n) != found.get(n))
    if wrong:
        raise UserInputError(
            f"The supervisor folder {folder} was altered: {', '.join(wrong)} "
            f"{'does' if len(wrong) == 1 else 'do'} not match digests.json. Restore it from the "
            "release, or rebuild it with `saga build-supervisor configs/supervisor.yaml`."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' progress bars and load reports for a while."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()
