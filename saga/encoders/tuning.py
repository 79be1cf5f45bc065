"""What of the tower is trained: everything, low-rank adapters (PEFT), or nothing."""

import copy
from typing import Any

from torch import Tensor
from torch.nn import Linear, Module

from saga.encoders.configuration import EncoderConfig, LoraConfig
from saga.encoders.tower import VisionTokens, VisionTower
from saga.errors import UserInputError


class AdaptedTower(VisionTower):
    """A tower with LoRA adapters in its linear layers."""

    def __init__(self, tower: Any, config: LoraConfig) -> None:
        from peft import LoraConfig as PeftConfig
        from peft import inject_adapter_in_model

        super().__init__()
        self.family = tower.family
        tower.requires_grad_(False)
        targets = linear_layers(tower, config.target_modules)
        self.tower: Any = inject_adapter_in_model(
            PeftConfig(
                r=config.rank,
                lora_alpha=config.alpha,
                lora_dropout=config.dropout,
                target_modules=targets,
                bias="none",
            ),
            tower,
        )

    @property
    def width(self) -> int:
        """See `VisionTower`."""
        return int(self.tower.width)

    @property
    def pixels_per_token(self) -> int:
        """See `VisionTower`."""
        return int(self.tower.pixels_per_token)

    def config_dict(self) -> dict[str, Any]:
        """See `VisionTower`."""
        config: dict[str, Any] = self.tower.config_dict()
        return config

    def forward(self, pixels_BCHW: Tensor) -> VisionTokens:
        """See `VisionTower`."""
        tokens: VisionTokens = self.tower(pixels_BCHW)
        return tokens

    def merged(self) -> VisionTower:
        """A copy with the adapters folded into the weights, as it is saved."""
        tower = copy.deepcopy(self.tower)
        for name, module in list(tower.named_modules()):
            if hasattr(module, "merge") and hasattr(module, "get_base_layer"):
                module.merge()
                parent: Module = tower.get_submodule(name.rpartition(".")[0])
                setattr(parent, name.rpartition(".")[2], module.get_base_layer())
        tower.requires_grad_(True)
        result: VisionTower = tower
        return result


def linear_layers(tower: Module, names: tuple[str, ...] | None) -> list[str]:
    """Full names of the tower's linear layers, or of those with these last names.

    Raises:
        UserInputError: if one of the names is no linear layer's.
    """
    last = {n: n.rpartition(".")[2] for n, m in tower.named_modules() if isinstance(m, Linear)}
    for name in names or ():
        if name not in last.values():
            raise UserInputError(
                f"encoder.lora.target_modules: this tower has no linear layer {name!r}. It has "
                f"{', '.join(sorted(set(last.values())))}; leave the setting out to adapt them all."
            )
    return [full for full, name in last.items() if names is None or name in names]


def prepare_tower(tower: VisionTower, config: EncoderConfig) -> VisionTower:
    """Set what is trained; the tower itself is changed."""
    if config.tuning == "lora":
        return AdaptedTower(tower, config.lora)
    tower.requires_grad_(config.tuning == "full")
    return tower


def finished_tower(tower: VisionTower) -> VisionTower:
    """The tower as it is deployed: adapters merged."""
    return tower.merged() if isinstance(tower, AdaptedTower) else tower
