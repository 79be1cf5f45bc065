"""Tiles: borders that tell right from wrong with and without colour, and captions that fit."""

import pytest
from PIL import Image

from saga.reports.pictures import (
    BORDER,
    GAP,
    LINE,
    PAPER,
    RIGHT,
    TILE,
    WRONG,
    fitted,
    font,
    row,
    row_width,
    stack,
    tile,
    wrapped,
)
from tests.reports.made import HOSTILE, opened

BLUE = (10, 20, 240)


def border(picture: Image.Image) -> list[tuple[int, ...]]:
    """Pixels along the middle of the border, all four sides."""
    near, far = BORDER // 2, TILE - 1 - BORDER // 2
    along = range(near, far + 1)
    places = [(i, y) for y in (near, far) for i in along]
    places += [(x, i) for x in (near, far) for i in along]
    return [picture.getpixel(place) for place in places]  # type: ignore[misc]


def test_a_right_tile_has_a_whole_green_border_and_a_wrong_one_a_broken_red_one() -> None:
    image = Image.new("RGB", (50, 50), BLUE)
    assert set(border(tile(image, right=True))) == {RIGHT}
    wrong = border(tile(image, right=False))
    assert set(wrong) == {WRONG, PAPER}
    assert 0.4 < wrong.count(WRONG) / len(wrong) < 0.7
    assert not {RIGHT, WRONG} & set(border(tile(image)))


def test_a_dashed_border_is_red_at_all_corners_and_broken_on_all_sides() -> None:
    picture = tile(Image.new("RGB", (50, 50), BLUE), right=False)
    last = TILE - 1
    for corner in ((0, 0), (last, 0), (0, last), (last, last)):
        assert picture.getpixel(corner) == WRONG
    side = len(border(picture)) // 4
    for start in range(0, 4 * side, side):
        assert {WRONG, PAPER} == set(border(picture)[start : start + side])


@pytest.mark.parametrize("size", [(10, 10), (3000, 10), (10, 3000), (1, 1), (97, 64)])
def test_an_image_of_any_shape_keeps_its_proportions_and_fits(size: tuple[int, int]) -> None:
    small = fitted(Image.new("RGB", size), 100)
    assert max(small.size) == 100 and min(small.size) >= 1
    if min(size) > 50:
        assert small.width / small.height == pytest.approx(size[0] / size[1], rel=0.02)


@pytest.mark.parametrize("text", ["", "short", HOSTILE, "a\nb\tc", "W" * 5000, "чайка ✓ ×"])
def test_captions_of_any_text_leave_the_size_of_a_tile_alone(text: str) -> None:
    picture = tile(Image.new("RGB", (9, 9)), "title", text or " ")
    assert picture.size == (TILE, TILE + 4 + 3 * LINE)


@pytest.mark.parametrize("text", ["short", "one two three four five six", HOSTILE, "W" * 5000])
def test_wrapped_lines_fit_and_say_where_something_is_left_out(text: str) -> None:
    lines = wrapped(text, 100, 2)
    assert 1 <= len(lines) <= 2
    assert all(font().getlength(line) <= 100 and line.isprintable() for line in lines)
    whole = "".join(lines) == text
    assert whole != lines[-1].endswith("…")


def test_the_mark_is_a_letter_of_the_font_and_not_an_empty_box() -> None:
    boxes = [font(bold=True).getmask(letter) for letter in ("✓", "✗", "\ue123")]
    tick, cross, missing = (bytes(box) for box in boxes)
    assert len({tick, cross, missing}) == 3


def test_rows_and_stacks_are_as_large_as_their_parts() -> None:
    tiles = [tile(Image.new("RGB", (9, 9)), "t") for _ in range(3)]
    strip = row(tiles, lead=12)
    assert strip.size == (row_width(3, 12), TILE + 4 + LINE) == (3 * TILE + 2 * GAP + 12, 139)
    page = opened(stack([strip, strip]))
    assert page.size == (strip.width + 2 * GAP, 2 * strip.height + 3 * GAP)
