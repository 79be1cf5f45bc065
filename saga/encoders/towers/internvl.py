"""InternVL's vision tower with pixel shuffle and projector.

Shapes: B images, N tokens of one image (after the shuffle), D token width.
"""

from typing import Any

from torch import Tensor, nn
from transformers import AutoModel, InternVLConfig, InternVLVisionConfig
from transformers.models.internvl.modeling_internvl import (
    InternVLModel,
    InternVLMultiModalProjector,
)

from saga.encoders.tower import VisionTokens, VisionTower
from saga.encoders.towers.qwen3_vl import plain_config


class InternVLTower(VisionTower):
    """f_θ of the InternVL family."""

    family = "internvl"

    def __init__(self, vision: nn.Module, projector: nn.Module, config: Any) -> None:
        super().__init__()
        self.vision: Any = vision
        self.projector = projector
        self._layer = config.vision_feature_layer
        self._drop_class_token = config.vision_feature_select_strategy == "default"
        self._shuffle = float(config.downsample_ratio)
        self._act = config.projector_hidden_act
        self._width = int(config.text_config.hidden_size)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "InternVLTower":
        """A tower with random weights; only the text model's width is needed, not the model."""
        whole = InternVLConfig(
            vision_config=InternVLVisionConfig(**config["vision"]),
            text_config={"model_type": "qwen3", "hidden_size": config["width"]},
            downsample_ratio=config["downsample_ratio"],
            projector_hidden_act=config["projector_hidden_act"],
            vision_feature_layer=config["vision_feature_layer"],
            vision_feature_select_strategy=config["vision_feature_select_strategy"],
        )
        vision = AutoModel.from_config(whole.vision_config)
        return cls(vision, InternVLMultiModalProjector(whole), whole)

    @classmethod
    def of_model(cls, model: Any) -> "InternVLTower":
        """The tower of a loaded InternVL."""
        return cls(model.model.vision_tower, model.model.multi_modal_projector, model.config)

    @property
    def width(self) -> int:
        """Token width D."""
        return self._width

    @property
    def pixels_per_token(self) -> int:
        """Patch side over the shuffle's scale."""
        patch = self.vision.config.patch_size
        side = patch[0] if isinstance(patch, (list, tuple)) else patch
        return round(side / self._shuffle)

    def config_dict(self) -> dict[str, Any]:
        """Vision configuration and how its features are projected."""
        return {
            "vision": plain_config(self.vision.config),
            "width": self._width,
            "downsample_ratio": self._shuffle,
            "projector_hidden_act": self._act,
            "vision_feature_layer": self._layer,
            "vision_feature_select_strategy": "default" if self._drop_class_token else "full",
        }

    def forward(self, pixels_BCHW: Tensor) -> VisionTokens:
        """Tokens of images (B, 3, S, S); InternVL has no deepstack features."""
        B = pixels_BCHW.shape[0]
        last = self._layer == -1
        out = self.vision(pixel_values=pixels_BCHW, output_hidden_states=not last)
        features = out.last_hidden_state if last else out.hidden_states[self._layer]
        if self._drop_class_token:
            features = features[:, 1:]
        side = int(features.shape[1] ** 0.5)
        # Pixel shuffle has no parameters and reads nothing of the model it belongs to.
        square = features.reshape(B, side, side, -1)
        shuffled = InternVLModel.pixel_shuffle(None, square, self._shuffle)  # type: ignore[arg-type]
        return VisionTokens(self.projector(shuffled.reshape(B, -1, shuffled.shape[-1])))
