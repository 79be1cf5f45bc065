"""The deployable encoder: tower, pooler and preprocessing in one folder; no language model.

    retriever = Retriever.load("encoder")
    vectors = retriever.encode(["a.jpg", "b.jpg"])      # float32 (2, E), unit length

A folder holds weights.safetensors, retriever.json (what to build), provenance.json (what it came
from), README.md (model card) and digests.json (sha256 of each). Loading checks the digests before it
reads anything else. Nothing in it is executable.

Shapes: n images, E embedding width, S side in pixels.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from saga.data.images import load_image
from saga.encoders.card import model_card
from saga.encoders.configuration import PoolerConfig
from saga.encoders.poolers import Pooler, build_pooler
from saga.encoders.preprocess import ImagePreprocessor
from saga.encoders.tower import VisionTower
from saga.encoders.towers import build_tower
from saga.errors import UserInputError
from saga.files import digest_of, file_digests, replace_folder, write_json, write_text

FORMAT = 1
WEIGHTS, CONFIG, PROVENANCE, CARD, DIGESTS = (
    "weights.safetensors",
    "retriever.json",
    "provenance.json",
    "README.md",
    "digests.json",
)
ImageLike = Image.Image | np.ndarray | str | Path


class Retriever(nn.Module):
    """One image in, one unit vector out."""

    def __init__(
        self,
        tower: VisionTower,
        pooler: Pooler,
        preprocessor: ImagePreprocessor,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.tower = tower
        self.pooler = pooler
        self.preprocessor = preprocessor
        self.provenance = dict(provenance or {})
        self.eval()

    @property
    def embedding_dim(self) -> int:
        """Width E."""
        return self.pooler.embedding_dim

    @property
    def digest(self) -> str:
        """Of weights, configuration and provenance; the model card does not count."""
        hasher = {name: _tensor_digest(value) for name, value in self._weights().items()}
        return digest_of({"weights": hasher, "config": self.description(), "from": self.provenance})

    @torch.inference_mode()
    def encode(
        self,
        images: Sequence[ImageLike] | np.ndarray,
        batch_size: int = 64,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Embeddings of some images.

        Args:
            images: RGB PIL images, uint8 arrays (H, W, 3), or paths (read by the guarded loader); one
                uint8 array (n, S, S, 3) of resized images is taken as it is.
            batch_size: images at once; does not change the result beyond rounding.
            progress: called with (images done, images).

        Returns:
            float32 array (n, E), rows of unit length, in the order given.

        Raises:
            ImageError: if a file cannot be read.
        """
        parts = [np.zeros((0, self.embedding_dim), np.float32)]
        for start in range(0, len(images), batch_size):
            tokens = self.tower(self._pixels(images[start : start + batch_size])).tokens_BND
            parts.append(self.pooler(tokens).embedding_BE.cpu().numpy())
            if progress is not None:
                progress(min(start + batch_size, len(images)), len(images))
        return np.concatenate(parts)

    @torch.inference_mode()
    def attention(self, images: Sequence[ImageLike]) -> np.ndarray | None:
        """Where the pooler looks: weights (n, Q, rows, columns), or None without attention."""
        log_weights = self.pooler(self.tower(self._pixels(images)).tokens_BND).log_weights_BQN
        if log_weights is None:
            return None
        grid = self.tower.grid(self.preprocessor.size)
        weights: np.ndarray = log_weights.exp().unflatten(-1, grid).numpy(force=True)
        return weights

    def _pixels(self, images: Sequence[ImageLike] | np.ndarray) -> torch.Tensor:
        """Float32 (n, 3, S, S) on the encoder's device; bytes travel there, not floats."""
        if not self._resized(images):
            images = np.stack([self.preprocessor.resize(_open(image)) for image in images])
        device = next(self.parameters()).device
        return self.preprocessor.normalise(torch.as_tensor(images).to(device))

    def _resized(self, images: Sequence[ImageLike] | np.ndarray) -> bool:
        """Whether they are one array of images that need no resizing."""
        size = self.preprocessor.size
        ready = isinstance(images, np.ndarray) and images.dtype == np.uint8
        return ready and images.shape[1:] == (size, size, 3)  # type: ignore[union-attr]

    def save(self, folder: Path | str, metrics: dict[str, Any] | None = None) -> None:
        """Write the folder; it appears only when it is whole.

        Args:
            folder: target; an existing one is replaced.
            metrics: figures for the model card.
        """
        with replace_folder(Path(folder)) as building:
            save_file(self._weights(), building / WEIGHTS)
            write_json(building / CONFIG, self.description())
            write_json(building / PROVENANCE, self.provenance)
            card = model_card(self.description(), self.provenance, metrics or {})
            write_text(building / CARD, card)
            write_json(building / DIGESTS, file_digests(building))

    @classmethod
    def load(cls, folder: Path | str, device: str = "cpu") -> "Retriever":
        """Read a folder written by `save`.

        Raises:
            UserInputError: if it is no encoder folder, was altered, or has an unknown format.
        """
        folder = Path(folder)
        check_folder(folder)
        try:
            config = json.loads((folder / CONFIG).read_text())
            if config["format"] != FORMAT:
                raise ValueError(f"format {config['format']} is not {FORMAT}")
            tower = build_tower(config["family"], config["tower"])
            pooler = build_pooler(PoolerConfig(**config["pooler"]), tower.width)
            preprocessor = ImagePreprocessor.from_dict(config["preprocessing"])
            tower.grid(preprocessor.size)
            provenance = json.loads((folder / PROVENANCE).read_text())
            retriever = cls(tower, pooler, preprocessor, provenance)
            weights = load_file(folder / WEIGHTS)
            retriever.load_state_dict(weights, strict=True)
        except UserInputError:
            raise
        except Exception as error:  # a wrong description makes the libraries raise almost anything
            raise UserInputError(
                f"{folder} is not an encoder that this version of saga can read: {error}"
            ) from error
        if not all(bool(torch.isfinite(w).all()) for w in weights.values()):
            raise UserInputError(f"{folder} has weights that are not finite; do not use it.")
        return retriever.to(device)

    def _weights(self) -> dict[str, torch.Tensor]:
        return {k: v.detach().cpu().contiguous().clone() for k, v in self.state_dict().items()}

    def description(self) -> dict[str, Any]:
        """What to build, as retriever.json holds it."""
        pooler = {name: getattr(self.pooler.config, name) for name in PoolerConfig.__slots__}
        return {
            "format": FORMAT,
            "family": self.tower.family,
            "tower": self.tower.config_dict(),
            "pooler": pooler,
            "embedding_dim": self.embedding_dim,
            "preprocessing": self.preprocessor.to_dict(),
        }


def check_folder(folder: Path) -> None:
    """Check an encoder folder's files against its digests.

    Raises:
        UserInputError: naming the files that are missing, altered or were added.
    """
    listing = folder / DIGESTS
    if not listing.is_file():
        raise UserInputError(
            f"{folder} is not an encoder folder: it has no {DIGESTS}. Give a folder that "
            "`saga export` or Retriever.save wrote."
        )
    try:
        listed = json.loads(listing.read_text())
    except (ValueError, RecursionError) as error:
        raise UserInputError(f"{listing} is not JSON; the encoder was altered.") from error
    listed = listed if isinstance(listed, dict) else {}
    found = file_digests(folder, exclude=(DIGESTS,))
    names = listed.keys() | found.keys() | {WEIGHTS, CONFIG, PROVENANCE, CARD}
    wrong = sorted(n for n in names if n not in found or listed.get(n) != found[n])
    if wrong:
        raise UserInputError(
            f"The encoder in {folder} was altered: {', '.join(wrong)} do not match {DIGESTS}. "
            "Export it again from where it was made."
        )


def _open(image: ImageLike) -> Image.Image:
    if isinstance(image, (str, Path)):
        return load_image(Path(image))
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(
                f"an image array must be uint8 (H, W, 3), got {image.dtype} {image.shape}"
            )
        return Image.fromarray(image)
    return image.convert("RGB")


def _tensor_digest(tensor: torch.Tensor) -> str:
    from saga.files import sha256_bytes

    header = f"{tensor.dtype}{tuple(tensor.shape)}".encode()
    return sha256_bytes(header + tensor.contiguous().view(torch.uint8).numpy().tobytes())
