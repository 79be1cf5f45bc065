"""Encoders that are broken on purpose, as deployments break them; every gate policy must refuse them.

| name | what is wrong |
|---|---|
| channels_swapped | blue where red is expected |
| wrong_normalisation | pixels in [0, 1] go in as they are, without mean and standard deviation |
| wrong_tokens | pooled from the last row of patches alone |
| class_forgotten | the images of one class get the vectors of other images |
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from saga.files import digest_of

if TYPE_CHECKING:
    from saga.encoders.retriever import Retriever

Change = Callable[["Retriever", Tensor], Tensor]


@dataclass(frozen=True)
class BrokenEncoder:
    """An encoder with one thing wrong; has what evaluation asks of an encoder."""

    encoder: "Retriever"
    name: str

    @property
    def embedding_dim(self) -> int:
        """Width E."""
        return self.encoder.embedding_dim

    @property
    def digest(self) -> str:
        """Not the whole encoder's."""
        return digest_of({"encoder": self.encoder.digest, "broken": self.name})

    @torch.inference_mode()
    def encode(self, images: Sequence[Any], batch_size: int = 64) -> np.ndarray:
        """Embeddings (n, E) of RGB images, as the broken deployment would give them."""
        pixels_of, tokens_of = BROKEN[self.name]
        parts = [np.zeros((0, self.embedding_dim), np.float32)]
        for start in range(0, len(images), batch_size):
            pixels = self.encoder.preprocessor(list(images[start : start + batch_size]))
            tokens = self.encoder.tower(pixels_of(self.encoder, pixels)).tokens_BND
            pooled = self.encoder.pooler(tokens_of(self.encoder, tokens))
            parts.append(pooled.embedding_BE.numpy(force=True))
        return np.concatenate(parts)


def forget_class(vectors: np.ndarray, classes: np.ndarray, forgotten: int, seed: int) -> np.ndarray:
    """Embeddings (n, E) in which one class's images have the vectors of images of other classes.

    Args:
        vectors: unit vectors.
        classes: class id of each.
        forgotten: the class.
        seed: which others.
    """
    own = np.flatnonzero(classes == forgotten)
    others = np.flatnonzero(classes != forgotten)
    changed = vectors.copy()
    changed[own] = vectors[np.random.default_rng(seed).choice(others, len(own), replace=False)]
    return changed


def _same(encoder: "Retriever", values: Tensor) -> Tensor:
    return values


def _swapped(encoder: "Retriever", pixels_BCHW: Tensor) -> Tensor:
    return pixels_BCHW.flip(1)


def _raw(encoder: "Retriever", pixels_BCHW: Tensor) -> Tensor:
    mean, std = (
        torch.tensor(values)[:, None, None]
        for values in (encoder.preprocessor.mean, encoder.preprocessor.std)
    )
    return pixels_BCHW * std + mean


def _last_row(encoder: "Retriever", tokens_BND: Tensor) -> Tensor:
    _, columns = encoder.tower.grid(encoder.preprocessor.size)
    return tokens_BND[:, -columns:]


BROKEN: dict[str, tuple[Change, Change]] = {
    "channels_swapped": (_swapped, _same),
    "wrong_normalisation": (_raw, _same),
    "wrong_tokens": (_same, _last_row),
}
"""What is done to pixels and to tokens."""
CLASS_FORGOTTEN = "class_forgotten"
