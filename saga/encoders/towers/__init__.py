"""One module per family of vision towers."""

from typing import Any

from saga.encoders.tower import VisionTower
from saga.encoders.towers.internvl import InternVLTower
from saga.encoders.towers.qwen3_vl import Qwen3VLTower
from saga.errors import UserInputError

TOWERS: dict[str, Any] = {tower.family: tower for tower in (Qwen3VLTower, InternVLTower)}


def build_tower(family: str, config: dict[str, Any]) -> VisionTower:
    """A tower from its stored configuration, with random weights and no language model.

    Raises:
        UserInputError: if the family is unknown.
    """
    if family not in TOWERS:
        raise UserInputError(
            f"encoder family {family!r} is not known; known are {', '.join(sorted(TOWERS))}."
        )
    tower: VisionTower = TOWERS[family].from_config(config)
    return tower


def tower_of(model: Any) -> VisionTower:
    """The tower of a loaded multimodal LLM; shares its weights."""
    tower: VisionTower = TOWERS[model.config.model_type].of_model(model)
    return tower
