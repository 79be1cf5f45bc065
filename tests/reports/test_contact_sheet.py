"""The contact sheet: rows of classes, each with images of its own."""

from pathlib import Path

from saga.reports.contact_sheet import contact_sheet
from saga.reports.pictures import GAP, LINE, TILE, row_width
from tests.reports.made import CLASS_COLORS, HOSTILE, LIMITS, made_manifest, opened

HEADING = LINE + 2


def test_every_row_shows_images_of_one_class_in_order_of_the_classes(tmp_path: Path) -> None:
    manifest = made_manifest(tmp_path, ["gull", "tern", "skua"])
    page = opened(contact_sheet(manifest, "test", LIMITS, per_class=3))
    row = HEADING + GAP + TILE + GAP
    assert page.size == (row_width(3) + 2 * GAP, GAP + HEADING + GAP + 3 * row)
    for number in range(3):
        top = GAP + HEADING + GAP + number * row + HEADING + GAP
        for column in range(3):
            middle = (GAP + column * (TILE + GAP) + TILE // 2, top + TILE // 2)
            assert page.getpixel(middle) == CLASS_COLORS[number]


def test_no_more_classes_and_images_than_asked_and_than_there_are(tmp_path: Path) -> None:
    manifest = made_manifest(tmp_path, ["gull", "tern", "skua"], images=2)
    one, all_of_them = (opened(contact_sheet(manifest, "test", LIMITS, classes=n)) for n in (1, 99))
    assert all_of_them.height - one.height == 2 * (HEADING + GAP + TILE + GAP)


def test_equal_seeds_give_equal_bytes_and_another_seed_other_classes(tmp_path: Path) -> None:
    manifest = made_manifest(tmp_path, ["gull", "tern", "skua", "auk"])
    sheets = [contact_sheet(manifest, "test", LIMITS, classes=1, seed=s) for s in range(6)]
    assert contact_sheet(manifest, "test", LIMITS, classes=1, seed=3) == sheets[3]
    assert len(set(sheets)) > 1


def test_a_split_without_images_gives_a_sheet_that_says_so(tmp_path: Path) -> None:
    manifest = made_manifest(tmp_path, ["gull"])
    assert opened(contact_sheet(manifest, "validation", LIMITS)).height == 2 * GAP + HEADING


def test_hostile_names_do_not_change_the_size(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    plain = made_manifest(tmp_path / "a", ["gull"])
    odd = made_manifest(tmp_path / "b", [HOSTILE])
    sizes = {opened(contact_sheet(m, "test", LIMITS)).size for m in (plain, odd)}
    assert len(sizes) == 1
