"""One picture of all regimes, for the documentation.

    python -m saga.data.synthetic.picture docs/images/regimes.png

A row a regime: two images of each of two training classes, then of each of two test classes.
"""

import argparse
import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from saga.data.synthetic.configuration import SyntheticConfig
from saga.data.synthetic.dataset import class_jobs, draw_class
from saga.data.synthetic.regimes import REGIMES
from saga.files import write_bytes

CLASSES, IMAGES = 2, 2
TILE, GAP, SIDES_GAP = 72, 4, 20
LEFT, TOP = 116, 46
COLORS = 224
"""Of the palette that keeps the file small."""


def regimes_picture() -> Image.Image:
    """The picture, with a palette."""
    columns = 2 * CLASSES * IMAGES
    width = LEFT + columns * (TILE + GAP) + SIDES_GAP
    canvas = Image.new("RGB", (width, TOP + len(REGIMES) * (TILE + GAP)), "white")
    pen = ImageDraw.Draw(canvas)
    for column in range(0, columns, IMAGES):
        side = "test" if column >= CLASSES * IMAGES else "train"
        text = f"{side}, class {column // IMAGES % CLASSES + 1}"
        pen.text((_left(column), TOP - 24), text, "black", ImageFont.load_default(14))
    for row, (name, regime) in enumerate(REGIMES.items()):
        top = TOP + row * (TILE + GAP)
        pen.text((8, top + TILE // 2 - 8), name, "black", ImageFont.load_default(15))
        config = SyntheticConfig(CLASSES, 0, CLASSES, IMAGES, **regime.changes)
        drawn = [image for job in class_jobs(config) for image in draw_class(job)]
        for column, pixels in enumerate(drawn):
            tile = Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.LANCZOS)
            canvas.paste(tile, (_left(column), top))
    return canvas.quantize(COLORS, dither=Image.Dither.NONE)


def _left(column: int) -> int:
    """Where a column begins; the test side stands apart."""
    return LEFT + column * (TILE + GAP) + (SIDES_GAP if column >= CLASSES * IMAGES else 0)


def main() -> None:
    """Write the picture to the path given."""
    parser = argparse.ArgumentParser(description="Draw one picture of all synthetic regimes.")
    parser.add_argument("output", type=Path, help="PNG file, for example docs/images/regimes.png")
    output: Path = parser.parse_args().output
    encoded = io.BytesIO()
    regimes_picture().save(encoded, "PNG", optimize=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(output, encoded.getvalue())


if __name__ == "__main__":
    main()
