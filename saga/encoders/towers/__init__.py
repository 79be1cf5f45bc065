"""One module per family of vision towers; each is imported when a tower of it is made.

They need transformers, which takes seconds to import; whoever only passes encoders on has no use for it.
"""

from importlib import import_module
from typing import Any

from saga.encoders.tower import VisionTower
from saga.errors import UserInputError

TOWERS = {"qwen3_vl": "Qwen3VLTower", "internvl": "InternVLTower"}
"""Class of each family, in the module of its name."""


def build_tower(family: str, config: dict[str, Any]) -> VisionTower:
    """A tower from its stored configuration, with random weights and no language model.

    Raises:
        UserInputError: if the family is unknown.
    """
    if family not in TOWERS:
        raise UserInputError(
            f"encoder family {family!r} is not known; known are {', '.join(sorted(TOWERS))}."
        )
    tower: VisionTower = _tower_class(family).from_config(config)
    return tower


def tower_of(model: Any) -> VisionTower:
    """The tower of a loaded multimodal LLM; shares its weights."""
    tower: VisionTower = _tower_class(model.config.model_type).of_model(model)
    return tower


def _tower_class(family: str) -> Any:
    return getattr(import_module(f"{__name__}.{family}"), TOWERS[family])
