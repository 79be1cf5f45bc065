"""Real float32 products for what is measured."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision(kind: str) -> Iterator[None]:
    """Float32 products in this block, whatever the caller has set for training.

    Args:
        kind: of the device, "cpu" or "cuda".
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(kind, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
