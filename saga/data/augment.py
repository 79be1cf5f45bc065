"""Random flip, crop and jitter of a batch of training images.

Shapes: B images, S side in pixels.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def augment(
    pixels_B3SS: Tensor,
    seed: list[int],
    *,
    flip: bool,
    crop_scale: float,
    jitter: float,
    place: tuple[int, int] | None = None,
) -> Tensor:
    """Augmented pixels; each image's changes depend on the seed and its place in the batch alone.

    Args:
        pixels_B3SS: normalised pixels.
        seed: of all draws.
        flip: mirror left-right with probability 1/2.
        crop_scale: least share of the image's area that a random square crop keeps; 1 keeps all.
        jitter: most relative change of contrast, and of brightness in units of the normalised range.
        place: of the first image in its batch, and the batch's size; None where these images are a
            whole batch.
    """
    rng = np.random.default_rng(seed)
    B = len(pixels_B3SS)
    start, batch = place or (0, B)
    own = slice(start, start + B)
    draws_B5 = torch.from_numpy(rng.random((batch, 5))[own]).to(pixels_B3SS)
    if flip:
        mirrored = draws_B5[:, 0] < 0.5
        pixels_B3SS = torch.where(mirrored[:, None, None, None], pixels_B3SS.flip(-1), pixels_B3SS)
    if crop_scale < 1:
        side_B = (crop_scale + (1 - crop_scale) * draws_B5[:, 1]).sqrt()
        shift_B2 = (1 - side_B)[:, None] * (
            2 * torch.stack([draws_B5[:, 2], draws_B5[:, 3]], 1) - 1
        )
        boxes_B23 = torch.zeros(B, 2, 3).to(pixels_B3SS)
        boxes_B23[:, 0, 0] = boxes_B23[:, 1, 1] = side_B
        boxes_B23[:, :, 2] = shift_B2
        grid = F.affine_grid(boxes_B23, list(pixels_B3SS.shape), align_corners=False)
        pixels_B3SS = F.grid_sample(
            pixels_B3SS, grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )
    if jitter > 0:
        drawn = rng.uniform(-jitter, jitter, (2, batch, 1, 1, 1))[:, own]
        changes = torch.from_numpy(drawn).to(pixels_B3SS)
        pixels_B3SS = pixels_B3SS * (1 + changes[0]) + changes[1]
    return pixels_B3SS
