"""What the image grids share: tiles with a border and a caption, in rows under headings."""

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

TILE, GAP, BORDER = 120, 8, 5
"""Side of a tile, room between tiles and width of a border, in pixels."""
TEXT, LINE = 11, 15
"""Size of the letters and height of a line, in pixels."""
DASHES = 9
"""Parts of a dashed side, every other one drawn; odd, so that all corners are."""
INK, SOFT, PAPER = (26, 31, 36), (89, 99, 110), (255, 255, 255)
RIGHT, WRONG, PLAIN = (24, 121, 78), (180, 35, 24), (200, 206, 212)
MATTE = (238, 240, 243)
LONGEST = 200
"""Letters of a text that are looked at."""
BREAKS = " _-/"


def tile(
    image: Image.Image, title: str = "", text: str = "", right: bool | None = None
) -> Image.Image:
    """An image in a square with a border, a line below it, and up to two more.

    The border tells right from wrong, to readers who see no colours too.

    Args:
        image: of any size; its proportions are kept.
        title: the first line, bold; in the border's colour where there is one.
        text: shortened where two lines do not hold it.
        right: True for a whole green border, False for a dashed red one, None for a thin grey one.
    """
    lines = wrapped(text, TILE, 2)
    height = TILE + (4 if title or text else 0) + LINE * (bool(title) + (2 if text else 0))
    picture = Image.new("RGB", (TILE, height), PAPER)
    _draw_border(ImageDraw.Draw(picture), right)
    small = fitted(image, TILE - 2 * BORDER)
    picture.paste(small, ((TILE - small.width) // 2, (TILE - small.height) // 2))
    pen, top = ImageDraw.Draw(picture), TILE + 3
    if title:
        ink = INK if right is None else (RIGHT if right else WRONG)
        pen.text((1, top), wrapped(title, TILE, 1, bold=True)[0], fill=ink, font=font(bold=True))
        top += LINE
    for number, line in enumerate(lines):
        pen.text((1, top + LINE * number), line, fill=SOFT, font=font())
    return picture


def fitted(image: Image.Image, side: int) -> Image.Image:
    """The image in RGB, its longer side this long."""
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    return image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def heading(text: str, width: int) -> Image.Image:
    """One bold line of this width, shortened where it is too long."""
    picture = Image.new("RGB", (width, LINE + 2), PAPER)
    line = (wrapped(text, width, 1, bold=True) or [""])[0]
    ImageDraw.Draw(picture).text((1, 1), line, fill=INK, font=font(bold=True))
    return picture


def row(tiles: Sequence[Image.Image], lead: int = 0) -> Image.Image:
    """Tiles side by side, with `lead` more pixels after the first."""
    places, left = [], 0
    for number, picture in enumerate(tiles):
        places.append(left)
        left += picture.width + GAP + (lead if number == 0 else 0)
    strip = Image.new("RGB", (left - GAP, max(p.height for p in tiles)), PAPER)
    for place, picture in zip(places, tiles):
        strip.paste(picture, (place, 0))
    return strip


def row_width(tiles: int, lead: int = 0) -> int:
    """Width in pixels of a row of this many tiles."""
    return tiles * (TILE + GAP) - GAP + lead


def stack(parts: Sequence[Image.Image]) -> bytes:
    """PNG of headings and rows, one below the other."""
    width = 2 * GAP + max(part.width for part in parts)
    height = GAP + sum(part.height + GAP for part in parts)
    page, top = Image.new("RGB", (width, height), PAPER), GAP
    for part in parts:
        page.paste(part, (GAP, top))
        top += part.height + GAP
    return png_bytes(page)


def png_bytes(image: Image.Image) -> bytes:
    """The image as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def wrapped(text: str, width: int, lines: int, bold: bool = False) -> list[str]:
    """A text in at most so many lines of this width; "…" where something is left out."""
    rest = "".join(letter if letter.isprintable() else " " for letter in text[:LONGEST]).strip()
    found: list[str] = []
    while rest and len(found) < lines:
        fits = len(rest)
        while fits > 1 and font(bold).getlength(rest[:fits]) > width:
            fits -= 1
        after = max(rest.rfind(letter, 0, fits) for letter in BREAKS) + 1
        cut = after if fits < len(rest) and after > fits // 2 else fits
        found.append(rest[:cut])
        rest = rest[cut:]
    if rest or (found and len(text) > LONGEST):
        last = found[-1].rstrip()
        while last and font(bold).getlength(last + "…") > width:
            last = last[:-1]
        found[-1] = last + "…"
    return found


@cache
def font(bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib ships: the same letters everywhere, with ✓ and ✗."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), TEXT)


def _draw_border(pen: ImageDraw.ImageDraw, right: bool | None) -> None:
    last = TILE - 1
    if right is None:
        pen.rectangle((0, 0, last, last), fill=MATTE, outline=PLAIN)
        return
    pen.rectangle((0, 0, last, last), fill=RIGHT if right else PAPER)
    for part in range(0, DASHES, 2) if not right else ():
        start, stop = round(part * TILE / DASHES), round((part + 1) * TILE / DASHES) - 1
        for near in (0, TILE - BORDER):
            far = near + BORDER - 1
            pen.rectangle((start, near, stop, far), fill=WRONG)
            pen.rectangle((near, start, far, stop), fill=WRONG)
    pen.rectangle((BORDER, BORDER, last - BORDER, last - BORDER), fill=MATTE)
