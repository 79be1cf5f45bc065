"""The vision tower f_θ: images in, tokens in the language model's width out.

Shapes: B images, N tokens of one image, D token width.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from saga.errors import UserInputError


@dataclass(frozen=True, slots=True)
class VisionTokens:
    """Tokens of some images, and the features that join the language model's first layers."""

    tokens_BND: Tensor
    """What stands in the prompt where the image placeholders are."""
    deepstack: tuple[Tensor, ...] = ()
    """Per level, (B, N, D); empty for families without deepstack."""

    def detach(self) -> "VisionTokens":
        """The same values without their graph."""
        return VisionTokens(self.tokens_BND.detach(), tuple(x.detach() for x in self.deepstack))

    def index(self, images: Any) -> "VisionTokens":
        """Tokens of some of the images, in the given order; differentiable."""
        images = torch.as_tensor(images, device=self.tokens_BND.device)
        return VisionTokens(self.tokens_BND[images], tuple(x[images] for x in self.deepstack))


class VisionTower(nn.Module):
    """Base of the families' towers."""

    family: str

    @property
    def width(self) -> int:
        """Token width D."""
        raise NotImplementedError

    @property
    def pixels_per_token(self) -> int:
        """Side in pixels of the square that one token stands for."""
        raise NotImplementedError

    def config_dict(self) -> dict[str, Any]:
        """JSON from which `build_tower` makes an equal tower, without weights."""
        raise NotImplementedError

    def grid(self, size: int) -> tuple[int, int]:
        """Rows and columns of tokens of a square image.

        Raises:
            UserInputError: if the size is not a multiple of `pixels_per_token`.
        """
        side = self.pixels_per_token
        if size % side or size < side:
            raise UserInputError(
                f"image_size is {size} pixels, but this encoder needs a multiple of {side}. "
                f"Nearest: {max(side, round(size / side) * side)}."
            )
        return size // side, size // side

    def forward(self, pixels_BCHW: Tensor) -> VisionTokens:
        """Tokens of normalised square images (B, 3, S, S)."""
        raise NotImplementedError
