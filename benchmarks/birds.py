"""A small dataset of drawn birds for the step benchmark: what the embedded supervisor knows."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from saga.data.manifest import DatasetManifest, build_manifest
from saga.data.synthetic.attributes import independent_classes, values_of
from saga.data.synthetic.drawing import Scene, draw_bird
from saga.files import sha256_file
from saga.mining.pairs import SCHEMA, PairSet

CLUTTER, HAZE = 0.5, 0.7


def drawn_birds(folder: Path, size: int, classes: int, images: int) -> DatasetManifest:
    """Draw training images into a folder.

    Args:
        folder: for the PNG files.
        size: side in pixels.
        classes: how many.
        images: of each class.
    """
    rng = np.random.default_rng(0)
    rows = []
    for label, combination in enumerate(independent_classes(classes, rng, "train")):
        for number in range(images):
            path = folder / f"{label}-{number}.png"
            red, green, blue = (float(v) for v in rng.integers(40, 230, 3))
            scene = Scene(size, CLUTTER, (red, green, blue), haze=HAZE)
            Image.fromarray(draw_bird(values_of(combination), rng, scene)).save(path)
            rows.append(_row(path, label, size))
    return build_manifest(rows, name="drawn birds", layout="folders", root=folder)


def drawn_at_random(manifest: DatasetManifest) -> PairSet:
    """No mined pairs: the sampler draws them inside each batch."""
    nothing = pd.DataFrame(columns=SCHEMA.names)
    return PairSet(nothing, "random", 0, manifest.digest)


def _row(path: Path, label: int, size: int) -> dict[str, object]:
    return {
        "image_id": path.stem,
        "path": path.name,
        "sha256": sha256_file(path),
        "class_id": label,
        "class_name": f"class {label}",
        "split": "train",
        "width": size,
        "height": size,
        "mode": "RGB",
    }
