"""What an encoder costs, and whether it is the same after saving: figures that gates may rest on.

    measured = measure_encoder(encoder, images, name="saga")
    measured.figures["encode_ms_p95"]

Times are of decoded pictures to embeddings on the CPU, hence of preprocessing, tower and pooler, on
the machine that ran it: compare two encoders only where `facts` agree. A folder holds
measurements.json.

Shapes: n images, E embedding width.
"""

import math
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saga.errors import UserInputError
from saga.files import digest_of, write_json
from saga.retrieval.search import search
from saga.retrieval.storage import altered, read_facts

if TYPE_CHECKING:
    from PIL import Image

    from saga.encoders.retriever import Retriever

FILE = "measurements.json"
IMAGES = 64
"""Pictures that a step measures with; bounds its memory."""
WARM_UP, REPEATS, BATCHES = 5, 100, 10
UNITS = {
    "encode_ms_p50": "ms",
    "encode_ms_p95": "ms",
    "encode_batch_ms_p50": "ms",
    "encode_batch_ms_p95": "ms",
    "images_per_second": "1/s",
    "embedding_width": "",
    "parameters": "",
    "reload_agreement": "",
    "reload_max_difference": "",
}
"""The figures that `measure_encoder` takes, and their units."""


@dataclass(frozen=True)
class Measurements:
    """Figures of one encoder that do not come from retrieval."""

    name: str
    """Of the encoder: "dml", "saga", …"""
    encoder_digest: str
    figures: dict[str, float]
    """`encode_ms_p50` and `encode_ms_p95`: milliseconds for one image; `encode_batch_ms_…`: for a
    batch; `images_per_second` in batches; `embedding_width` E; `parameters`; `reload_agreement`: the
    share of images whose nearest image is the same after saving and loading; `reload_max_difference`
    of any number of an embedding."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Device, threads and how often was measured."""

    def __post_init__(self) -> None:
        for name, kind in (("name", str), ("encoder_digest", str), ("facts", dict)):
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name} must be {kind.__name__}, got {getattr(self, name)!r}")
        for name, value in self.figures.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"{name} must be a number, got {value!r}")
            if not math.isfinite(value):
                raise ValueError(f"{name} must be finite, got {value}")

    @cached_property
    def digest(self) -> str:
        """Of everything above."""
        return digest_of(self._facts())

    def save(self, folder: Path) -> None:
        """Write measurements.json into a folder."""
        write_json(Path(folder) / FILE, self._facts() | {"digest": self.digest})

    @classmethod
    def load(cls, folder: Path) -> "Measurements":
        """Read a folder written by `save`.

        Raises:
            UserInputError: if it is missing, of another form or was altered.
        """
        folder = Path(folder)
        facts = read_facts(folder / FILE, {"name", "encoder_digest", "figures", "facts", "digest"})
        digest = facts.pop("digest")
        try:
            measured = cls(**facts)
        except (ValueError, AttributeError) as error:
            raise UserInputError(
                f"{folder / FILE} is not what this version measures: {error}."
            ) from error
        if measured.digest != digest:
            raise altered("measurements", folder)
        return measured

    def _facts(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "encoder_digest": self.encoder_digest,
            "figures": self.figures,
            "facts": self.facts,
        }


def measure_encoder(
    encoder: "Retriever",
    images: Sequence["Image.Image"],
    *,
    name: str,
    batch_size: int = 32,
    warm_up: int = WARM_UP,
    repeats: int = REPEATS,
    batches: int = BATCHES,
) -> Measurements:
    """Time an encoder, and compare it with itself after saving and loading.

    Args:
        encoder: on the device where it is to be timed.
        images: RGB pictures as they come, at least two; used in turns.
        name: of the encoder.
        batch_size: images of a batch.
        warm_up: encodings before the clock counts, of single images and of batches.
        repeats: timed encodings of a single image.
        batches: timed encodings of a batch.

    Raises:
        ValueError: if there are fewer than two images, or embeddings that are not finite.
    """
    if len(images) < 2:
        raise ValueError(f"agreement after reload needs at least two images, got {len(images)}")
    single = _times(encoder, images, 1, warm_up, repeats)
    batch = _times(encoder, images, batch_size, warm_up, batches)
    agreement, difference = _after_reload(encoder, images, batch_size)
    figures = _percentiles("encode_ms", single) | _percentiles("encode_batch_ms", batch)
    figures |= {
        "images_per_second": batch_size * len(batch) / float(batch.sum()),
        "embedding_width": encoder.embedding_dim,
        "parameters": sum(p.numel() for p in encoder.parameters()),
        "reload_agreement": agreement,
        "reload_max_difference": difference,
    }
    counts = {"images": len(images), "batch_size": batch_size, "repeats": repeats}
    facts = counts | {"batches": batches, "warm_up": warm_up} | _machine(encoder)
    return Measurements(name, encoder.digest, figures, facts)


def _times(
    encoder: "Retriever", images: Sequence["Image.Image"], size: int, warm_up: int, repeats: int
) -> np.ndarray:
    """Seconds of each timed encoding of `size` images."""
    turns, seconds = cycle(images), []
    for number in range(warm_up + repeats):
        chosen = list(islice(turns, size))
        _synchronize(encoder)
        began = time.perf_counter()
        encoder.encode(chosen, size)
        _synchronize(encoder)
        if number >= warm_up:
            seconds.append(time.perf_counter() - began)
    return np.array(seconds)


def _percentiles(name: str, seconds: np.ndarray) -> dict[str, float]:
    return {f"{name}_p{p}": 1e3 * float(np.percentile(seconds, p)) for p in (50, 95)}


def _after_reload(
    encoder: "Retriever", images: Sequence["Image.Image"], batch_size: int
) -> tuple[float, float]:
    """Share of images with the same nearest image, and the largest difference of any number."""
    device = str(next(encoder.parameters()).device)
    with tempfile.TemporaryDirectory() as folder:
        encoder.save(Path(folder) / "encoder")
        loaded = type(encoder).load(Path(folder) / "encoder", device)
    before, after = (e.encode(images, batch_size) for e in (encoder, loaded))
    nearest = [search(e, e, 1, exclude_self=True).indices for e in (before, after)]
    return float((nearest[0] == nearest[1]).mean()), float(np.abs(before - after).max())


def _machine(encoder: "Retriever") -> dict[str, Any]:
    import torch

    device = next(encoder.parameters()).device
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else platform.machine(),
        "device_type": device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _synchronize(encoder: "Retriever") -> None:
    """Wait for a GPU: it works on while the clock would already be read."""
    import torch

    device = next(encoder.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
