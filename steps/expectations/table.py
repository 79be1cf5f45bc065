"""The table that is judged: the manifest's rows, what decoding found, and what rows say together.

Great Expectations skips missing values and so passes over an empty column. Every column that is
judged is therefore filled: a yes or no that could not be found out is a no.
"""

import numpy as np
import pandas as pd

from saga.data.configuration import ImageLimits
from saga.data.decoding import Progress, inspect_images
from saga.data.duplicates import near_duplicates
from saga.data.manifest import DatasetManifest

BOX_SLACK = 3.0
"""Pixels by which a box may reach over the edge: annotators' boxes do."""


def judged_table(
    manifest: DatasetManifest, limits: ImageLimits, progress: Progress | None = None
) -> pd.DataFrame:
    """One row per image, with a column for everything that an expectation looks at.

    Args:
        manifest: the data.
        limits: what the image loader accepts.
        progress: called with (images decoded, images).
    """
    decoded = inspect_images(manifest, limits, progress)
    frame = manifest.frame.reset_index(drop=True)
    table = pd.concat([frame, decoded], axis=1)
    for name in ("exists", "unchanged", "decodes"):
        table[name] = table[name].eq(True)
    table["as_listed"] = (table["decoded_width"] == table["width"]) & (
        table["decoded_height"] == table["height"]
    )
    table["shows_something"] = table["one_color"].eq(False)
    table["smallest_side"] = table[["width", "height"]].min(axis=1)
    table["aspect"] = table["width"] / table["height"].clip(lower=1)
    table["box_inside"] = [
        _inside(*row) for row in zip(table["bbox"], table["width"], table["height"])
    ]
    return table.join(_classes(table)).join(_copies(table))


def _classes(table: pd.DataFrame) -> pd.DataFrame:
    """What the rows of a class, and the classes of a split, say together."""
    by_class = table.groupby("class_id")
    facts = pd.DataFrame(index=table.index)
    facts["class_images"] = by_class["image_id"].transform("size")
    facts["class_splits"] = table.groupby("class_name")["split"].transform("nunique")
    middle = float(by_class.size().median()) if len(table) else 0.0
    facts["class_share"] = facts["class_images"] / max(middle, 1.0)
    sides = table["split"].where(table["split"] == "test", "train")
    for side in ("train", "test"):
        facts[f"{side}_classes"] = table.loc[sides == side, "class_id"].nunique()
        facts[f"{side}_images"] = int((sides == side).sum())
    facts["images"] = len(table)
    return facts


def _copies(table: pd.DataFrame) -> pd.DataFrame:
    """Which images are there twice, exactly or nearly, and whether on both sides of the split."""
    facts = pd.DataFrame(index=table.index)
    by_content = table.groupby("sha256")
    unseen = table["split"] == "test"
    both = unseen.groupby(table["sha256"]).transform("nunique") > 1
    facts["copy_across"] = both
    facts["copy_within"] = (by_content["image_id"].transform("size") > 1) & ~both
    for name in ("near_copy_across", "mirrored_copy_across", "near_copy_within"):
        facts[name] = False
    pairs = near_duplicates(table)
    across = unseen.to_numpy()[pairs["a"]] != unseen.to_numpy()[pairs["b"]]
    mirrored = pairs["mirrored"].to_numpy(bool)
    for name, chosen in (
        ("near_copy_across", across & ~mirrored),
        ("mirrored_copy_across", across & mirrored),
        ("near_copy_within", ~across),
    ):
        rows = np.unique(pairs.loc[chosen, ["a", "b"]].to_numpy(int))
        facts.loc[rows, name] = True
    return facts


def _inside(box: object, width: int, height: int) -> bool:
    """Whether a box is in the image, give or take a few pixels; True where there is none."""
    if not isinstance(box, (list, tuple, np.ndarray)):
        return True
    x, y, w, h = (float(v) for v in box)
    least = min(x, y) >= -BOX_SLACK and min(w, h) > 0
    return bool(least and x + w <= width + BOX_SLACK and y + h <= height + BOX_SLACK)
