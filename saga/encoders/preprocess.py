"""Resize and normalise, as the tower's checkpoint says; stored with every encoder.

Shapes: B images, S side in pixels.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from saga.errors import UserInputError

CHANNELS = 3


@dataclass(frozen=True, slots=True)
class ImagePreprocessor:
    """Straight to a square (no crop, METHOD section 6), then per-channel normalisation."""

    size: int
    """Side in pixels."""
    mean: tuple[float, ...]
    """Per channel, of values in [0, 1]."""
    std: tuple[float, ...]
    """Per channel."""
    resample: str = "bicubic"
    """PIL filter: "bicubic", "bilinear", "lanczos"."""

    def __post_init__(self) -> None:
        if str(self.resample).upper() not in Image.Resampling.__members__:
            raise ValueError(f"resample must be a PIL filter, got {self.resample!r}")
        finite = np.isfinite([*self.mean, *self.std]).all()
        if len(self.mean) != CHANNELS or len(self.std) != CHANNELS or not finite:
            raise ValueError("mean and std need three finite values each")
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, got {self.std}")
        if self.size < 1:
            raise ValueError(f"size must be at least 1 pixel, got {self.size}")

    @classmethod
    def from_pretrained_folder(cls, model: str, size: int) -> "ImagePreprocessor":
        """Mean, std and filter of a checkpoint folder or hub id.

        Raises:
            UserInputError: if it has no image preprocessing.
        """
        from transformers import AutoImageProcessor

        try:
            processor = AutoImageProcessor.from_pretrained(model, backend="pil")
        except (OSError, ValueError, KeyError) as error:
            raise UserInputError(
                f"supervisor.model: {model} has no usable preprocessor_config.json ({error})."
            ) from error
        return cls(
            size,
            tuple(processor.image_mean),
            tuple(processor.image_std),
            Image.Resampling(processor.resample).name.lower(),
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ImagePreprocessor":
        """From what `to_dict` gave."""
        mean, std = (tuple(map(float, values[name])) for name in ("mean", "std"))
        return cls(int(values["size"]), mean, std, values["resample"])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return json.loads(json.dumps(asdict(self)))

    def resize(self, image: Image.Image) -> np.ndarray:
        """Uint8 array (S, S, 3) of an RGB image."""
        image = image.convert("RGB")
        if image.size != (self.size, self.size):
            image = image.resize((self.size, self.size), Image.Resampling[self.resample.upper()])
        return np.asarray(image)

    def normalise(self, images_BSSC: np.ndarray | Tensor) -> Tensor:
        """Float32 (B, 3, S, S) from uint8 (B, S, S, 3), on the device where they are."""
        images_BSSC = torch.as_tensor(images_BSSC)
        device, (B, S, _, C) = images_BSSC.device, images_BSSC.shape
        # Whole rows at a time: three channels alone are too short a loop.
        mean, std = (torch.tensor(v, device=device).repeat(S) for v in (self.mean, self.std))
        # A tensor, not a number: by a number CUDA multiplies with the reciprocal, which rounds twice.
        white = torch.tensor(255.0, device=device)
        rows = images_BSSC.to(torch.float32, copy=True).reshape(B, S, S * C)
        rows = rows.div_(white).sub_(mean).div_(std)
        return rows.view(B, S, S, C).permute(0, 3, 1, 2)

    def __call__(self, images: list[Image.Image]) -> Tensor:
        """Float32 (B, 3, S, S) from PIL images."""
        return self.normalise(np.stack([self.resize(image) for image in images]))
