"""Small pictures that look like something, and a dataset of them."""

from pathlib import Path

import numpy as np
from PIL import Image

from saga.data.manifest import DatasetManifest, build_manifest
from saga.files import sha256_file


def picture(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """Smooth random colours: no two seeds look alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def made_dataset(root: Path, replaced: dict[str, Image.Image] | None = None) -> DatasetManifest:
    """Two training and two test classes of three pictures; some replaced, by path."""
    rows = []
    for number in range(12):
        class_id = number // 3
        path = f"{class_id}/{number}.png"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        image = (replaced or {}).get(path) or picture(number)
        image.save(root / path)
        rows.append(
            {
                "image_id": f"{number:02d}",
                "path": path,
                "sha256": sha256_file(root / path),
                "class_id": class_id,
                "class_name": f"class {class_id}",
                "split": "train" if class_id < 2 else "test",
                "width": image.width,
                "height": image.height,
                "mode": image.mode,
                "bbox": [1.0, 2.0, 30.0, 20.0] if number else None,
            }
        )
    return build_manifest(rows, name="made", layout="folders", root=root)
