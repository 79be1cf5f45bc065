"""The gallery: which queries are shown, and that every neighbour is marked as what it is."""

from pathlib import Path

import numpy as np
import pytest

from saga.data.manifest import DatasetManifest
from saga.reports.gallery import LEAD, chosen, gallery
from saga.reports.pictures import (
    BORDER,
    GAP,
    LINE,
    PAPER,
    RIGHT,
    TILE,
    WRONG,
    row_width,
)
from tests.reports.made import CLASS_COLORS, HOSTILE, LIMITS, made_manifest, opened, planted

HEADING, CAPTIONED = LINE + 2, TILE + 4 + 3 * LINE
NEIGHBOURS = {
    "0-0": ["1-0", "0-1", "2-0"],  # wrong, right, wrong
    "1-1": ["1-2", "1-3", "0-3"],  # right, right, wrong
}
"""One query with a wrong first neighbour, one with a right one."""


@pytest.fixture
def manifest(tmp_path: Path) -> DatasetManifest:
    return made_manifest(tmp_path, ["gull", "tern", "skua"])


def places(rows: int) -> list[tuple[int, int]]:
    """Left and top of every tile of the two-query gallery, row by row."""
    tops = [GAP + HEADING + GAP, GAP + 2 * (HEADING + GAP) + CAPTIONED + GAP][:rows]
    lefts = [GAP, *(GAP + LEAD + n * (TILE + GAP) for n in (1, 2, 3))]
    return [(left, top) for top in tops for left in lefts]


def test_every_neighbour_has_the_border_of_what_it_is(manifest: DatasetManifest) -> None:
    page = opened(gallery(planted(manifest, NEIGHBOURS), manifest, LIMITS, 2, 3))
    expected = [None, WRONG, RIGHT, WRONG, None, RIGHT, RIGHT, WRONG]
    for (left, top), color in zip(places(2), expected, strict=True):
        along = {page.getpixel((left + i, top + 2)) for i in range(TILE)}
        if color is None:
            assert not {RIGHT, WRONG} & along
        else:
            assert along == ({RIGHT} if color == RIGHT else {WRONG, PAPER})


def test_every_tile_shows_its_own_image(manifest: DatasetManifest) -> None:
    page = opened(gallery(planted(manifest, NEIGHBOURS), manifest, LIMITS, 2, 3))
    shown = [(query, *found) for query, found in NEIGHBOURS.items()]
    classes = [int(image_id[0]) for line in shown for image_id in line]
    for (left, top), class_id in zip(places(2), classes, strict=True):
        assert page.getpixel((left + TILE // 2, top + TILE // 2)) == CLASS_COLORS[class_id]


def test_the_size_follows_from_queries_and_neighbours(manifest: DatasetManifest) -> None:
    report = planted(manifest, NEIGHBOURS)
    page = opened(gallery(report, manifest, LIMITS, queries=2, neighbours=3))
    width = row_width(4, LEAD) + 2 * GAP
    assert page.size == (width, GAP + 2 * (HEADING + GAP) + 2 * (CAPTIONED + GAP))
    fewer = opened(gallery(report, manifest, LIMITS, queries=1, neighbours=2))
    assert fewer.size[0] == width - TILE - GAP
    assert fewer.size[1] == page.size[1] - CAPTIONED - GAP


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_queries(
    manifest: DatasetManifest,
) -> None:
    ids = list(manifest.frame["image_id"])
    report = planted(manifest, {query: [i for i in ids if i != query][:3] for query in ids})
    first = gallery(report, manifest, LIMITS, 3, 2, seed=1)
    assert first == gallery(report, manifest, LIMITS, 3, 2, seed=1)
    others = {gallery(report, manifest, LIMITS, 3, 2, seed=seed) for seed in range(2, 6)}
    assert others - {first}


@pytest.mark.parametrize(
    ("wrongs", "rights", "queries", "expected"),
    [
        (20, 20, 12, (6, 6)),
        (20, 20, 5, (3, 2)),
        (2, 20, 12, (2, 10)),
        (20, 1, 12, (11, 1)),
        (0, 3, 12, (0, 3)),
        (3, 0, 2, (2, 0)),
        (0, 0, 12, (0, 0)),
        (1, 1, 0, (0, 0)),
    ],
)
def test_half_the_queries_are_wrong_as_far_as_there_are_enough(
    wrongs: int, rights: int, queries: int, expected: tuple[int, int]
) -> None:
    hit = np.random.default_rng(0).permutation(np.repeat([False, True], [wrongs, rights]))
    wrong, right = chosen(hit, queries, seed=4)
    assert (len(set(wrong)), len(set(right))) == (len(wrong), len(right)) == expected
    assert not hit[wrong].any() and hit[right].all()


def test_hostile_class_names_do_not_move_anything(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    plain = made_manifest(tmp_path / "a", ["gull", "tern", "skua"])
    odd = made_manifest(tmp_path / "b", [HOSTILE, "x\ny\x00z", "é" * 5000])
    pages = [opened(gallery(planted(m, NEIGHBOURS), m, LIMITS, 2, 3)) for m in (plain, odd)]
    assert pages[0].size == pages[1].size
    for left, top in places(2):
        area = (left, top, left + TILE, top + TILE)
        assert pages[0].crop(area).tobytes() == pages[1].crop(area).tobytes()
    left, top = places(1)[0]
    gap = (left + TILE + BORDER, top, left + TILE + GAP + LEAD - 1, top + CAPTIONED)
    assert set(pages[1].crop(gap).getdata()) == {PAPER}, "a caption runs into its neighbour"


def test_a_report_of_other_images_is_refused(manifest: DatasetManifest, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = made_manifest(tmp_path / "other", ["gull"], images=2)
    with pytest.raises(ValueError, match="not in the manifest"):
        gallery(planted(manifest, NEIGHBOURS), other, LIMITS)
