"""Queries and what was found for them: half with a wrong first neighbour, half with a right one."""

from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from saga.data.configuration import ImageLimits
from saga.data.images import load_image
from saga.data.manifest import DatasetManifest
from saga.reports.pictures import heading, row, row_width, stack, tile
from saga.retrieval.report import RetrievalReport

LEAD = 12
"""More pixels between a query and its neighbours than between these."""


def gallery(
    report: RetrievalReport,
    manifest: DatasetManifest,
    limits: ImageLimits,
    queries: int = 12,
    neighbours: int = 6,
    seed: int = 0,
) -> bytes:
    """PNG with a row for each query: itself, then its nearest images with their similarity.

    A neighbour of the query's class has a whole green border and ✓, another a dashed red one and ✗.

    Args:
        report: outcome of every query.
        manifest: where the images are.
        limits: what the image loader accepts.
        queries: most rows, half of them wrong and half right as far as there are enough.
        neighbours: most columns after the query.
        seed: of the choice.

    Raises:
        ValueError: if the report names images that the manifest lacks.
    """
    images = manifest.frame.set_index("image_id")
    table, width = report.per_query, row_width(neighbours + 1, LEAD)
    wrong, right = chosen(table["hit_at_1"].to_numpy(bool), queries, seed)
    parts = []
    for verdict, of, places in (
        ("wrong", int((~table["hit_at_1"]).sum()), wrong),
        ("right", int(table["hit_at_1"].sum()), right),
    ):
        title = f"First neighbour {verdict}: {len(places)} of {of} such queries"
        parts.append(heading(title, width))
        for place in places:
            tiles = _tiles(table.iloc[place], images, manifest, limits, neighbours)
            parts.append(row(tiles, LEAD))
    return stack(parts)


def chosen(hit: np.ndarray, queries: int, seed: int) -> tuple[list[int], list[int]]:
    """Places of random wrong and right queries: half each, more of one where the other runs out."""
    rng = np.random.default_rng(seed)
    wrong, right = (rng.permutation(np.flatnonzero(mask)).tolist() for mask in (~hit, hit))
    rights = min(len(right), max(queries // 2, queries - len(wrong)))
    return wrong[: queries - rights], right[:rights]


def _tiles(
    query: "pd.Series[Any]",
    images: pd.DataFrame,
    manifest: DatasetManifest,
    limits: ImageLimits,
    neighbours: int,
) -> list[Image.Image]:
    def picture(image_id: str) -> Image.Image:
        if image_id not in images.index:
            raise ValueError(f"{image_id} of the report is not in the manifest {manifest.name}")
        return load_image(manifest.image_path(str(images.at[image_id, "path"])), limits)

    tiles = [tile(picture(str(query["image_id"])), "query", str(query["class_name"]))]
    found = zip(query["neighbours"], query["similarities"])
    for image_id, similarity in list(found)[:neighbours]:
        image, right = picture(image_id), images.at[image_id, "class_id"] == query["class_id"]
        title = f"{'✓' if right else '✗'} {similarity:.3f}"
        tiles.append(tile(image, title, str(images.at[image_id, "class_name"]), bool(right)))
    return tiles
