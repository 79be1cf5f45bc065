"""A look at the data: some classes of a split, a row each."""

import numpy as np
import pandas as pd
from PIL import Image

from saga.data.configuration import ImageLimits
from saga.data.images import load_image
from saga.data.manifest import DatasetManifest
from saga.reports.pictures import heading, row, row_width, stack, tile


def contact_sheet(
    manifest: DatasetManifest,
    split: str,
    limits: ImageLimits,
    classes: int = 10,
    per_class: int = 6,
    seed: int = 0,
) -> bytes:
    """PNG with a row of images for each of some random classes, under the class's name.

    Args:
        manifest: the data.
        split: whose classes.
        limits: what the image loader accepts.
        classes: most rows, at least 1.
        per_class: most images in a row, at least 1.
        seed: of the choice.
    """
    frame, rng = manifest.subset(split), np.random.default_rng(seed)
    ids = frame["class_id"].unique()
    width = row_width(per_class)
    title = f"{split}: {min(classes, len(ids))} of {len(ids)} classes"
    parts = [heading(title, width)]
    for class_id in sorted(rng.permutation(ids)[:classes]):
        members = frame[frame["class_id"] == class_id]
        name, chosen = members["class_name"].iloc[0], rng.permutation(len(members))[:per_class]
        parts += [
            heading(f"{name} ({len(members)} images)", width),
            _row(manifest, members.iloc[sorted(chosen)]["path"], limits),
        ]
    return stack(parts)


def _row(manifest: DatasetManifest, paths: "pd.Series[str]", limits: ImageLimits) -> Image.Image:
    return row([tile(load_image(manifest.image_path(path), limits)) for path in paths])
