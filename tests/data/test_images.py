import io
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from saga.data.configuration import ImageLimits
from saga.data.images import ImageError, load_image, read_header, transform_box
from tests.data.made import tiny_image

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def pixels(path: Path) -> np.ndarray:
    image = load_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def test_an_rgb_image_comes_as_it_is(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), COLOURS)


def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path):
    values = np.linspace(0, 65535, 54).reshape(6, 9).astype(np.uint16)
    for name in ("a.png", "a.tif"):
        Image.fromarray(values).save(tmp_path / name)
        assert read_header(tmp_path / name).mode.startswith("I;16")
        grey = pixels(tmp_path / name)
        np.testing.assert_array_equal(grey[..., 0], np.rint(values / 65535 * 255))
        assert (grey == grey[..., :1]).all()


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0, 3e6])
def test_deep_greys_fill_the_range_that_their_values_use(tmp_path, top):
    values = np.linspace(0, top, 54).reshape(6, 9).astype(np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    found = pixels(tmp_path / "a.tif")[..., 0].astype(int)
    assert abs(found - np.rint(values.astype(float) / top * 255)).max() <= 1


def test_values_that_are_no_numbers_become_black(tmp_path):
    values = np.full((6, 9), np.nan, np.float32)
    values[0, 0] = 1
    Image.fromarray(values).save(tmp_path / "a.tif")
    found = pixels(tmp_path / "a.tif")[..., 0]
    assert found[0, 0] == 255 and found.sum() == 255


def test_a_palette_gives_its_colours(tmp_path):
    image = Image.fromarray(COLOURS).quantize(64)
    image.save(tmp_path / "a.png")
    assert read_header(tmp_path / "a.png").mode == "P"
    palette = np.array(image.getpalette()).reshape(-1, 3)
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), palette[np.asarray(image)])


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    assert read_header(tmp_path / "a.jpg").mode == "CMYK"
    red = pixels(tmp_path / "a.jpg").astype(int)
    assert (abs(red - [255, 0, 0]) < 6).all()


def test_transparency_is_put_on_white(tmp_path):
    alpha = RNG.integers(0, 256, (6, 9, 1), dtype=np.uint8)
    alpha[0, 0], alpha[0, 1] = 0, 255
    Image.fromarray(np.concatenate([COLOURS, alpha], 2)).save(tmp_path / "a.png")
    share = alpha / 255
    found = pixels(tmp_path / "a.png").astype(float)
    assert abs(found - (COLOURS * share + 255 * (1 - share))).max() <= 1
    assert (found[0, 0] == 255).all() and (found[0, 1] == COLOURS[0, 1]).all()


def test_grey_with_alpha_and_a_transparent_palette_entry_are_put_on_white(tmp_path):
    grey = np.stack([np.full((6, 9), 40), np.full((6, 9), 0)], 2).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "la.png")
    assert (pixels(tmp_path / "la.png") == 255).all()
    image = Image.new("P", (6, 6), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "p.png", transparency=1)
    found = pixels(tmp_path / "p.png")
    assert (found[0, 0] == 0).all() and (found[1:] == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_header_tells_the_upright_size_and_agrees_with_the_decoded_image(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=exif)
    header = read_header(tmp_path / "a.png")
    assert (header.width, header.height) == load_image(tmp_path / "a.png").size
    assert header.orientation == orientation and header.format == "PNG"


def test_an_orientation_out_of_range_is_none(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 77
    Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=exif)
    assert read_header(tmp_path / "a.png").orientation == 1
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), COLOURS)


@given(
    st.integers(1, 8),
    st.tuples(st.integers(0, 10), st.integers(0, 8), st.integers(1, 9), st.integers(1, 5)),
)
def test_a_box_keeps_its_area_and_stays_inside_under_every_orientation(orientation, box):
    x, y, w, h = transform_box(box, 20, 14, orientation)
    width, height = (14, 20) if orientation >= 5 else (20, 14)
    assert w * h == box[2] * box[3]
    assert x >= 0 and y >= 0 and x + w <= width and y + h <= height


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"hello", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "not an image|truncated"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "not an image|truncated"),
    ],
)
def test_what_is_no_image_is_told_by_name(tmp_path, content, problem):
    path = tmp_path / "odd.jpg"
    path.write_bytes(content)
    for read in (read_header, load_image):
        with pytest.raises(ImageError, match=rf"odd\.jpg: .*({problem})"):
            read(path)


def test_a_file_that_is_cut_off_is_only_seen_when_it_is_decoded(tmp_path):
    path = tmp_path / "cut.jpg"
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    assert read_header(path).width == 64
    with pytest.raises(ImageError, match=r"cut\.jpg: truncated or damaged"):
        load_image(path)


def test_a_missing_file_a_folder_and_a_pipe_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("absent.png", "folder.png", "pipe.png"):
        with pytest.raises(ImageError, match=f"{name}: no such file"):
            read_header(tmp_path / name)


def png_of_size(width: int, height: int) -> bytes:
    """A header that claims a size, without the pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) * 1


@pytest.mark.parametrize("side", [7_100, 10_000, 60_000])
def test_an_image_that_would_be_huge_is_refused_from_its_header(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_size(side, side))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        for read in (read_header, load_image):
            with pytest.raises(ImageError, match=r"bomb\.png: .*(pixels is more than|too many)"):
                read(path)


def test_the_cap_can_be_raised_and_lowered(tmp_path):
    path = tiny_image(tmp_path / "a.png", size=(20, 10))
    assert read_header(path, ImageLimits(max_pixels=200)).width == 20
    with pytest.raises(ImageError, match="20×10 = 200 pixels is more than the cap of 199"):
        load_image(path, ImageLimits(max_pixels=199))


def test_other_formats_than_the_allowed_are_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.gif")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.ico")
    with pytest.raises(ImageError, match="format GIF is not accepted; allowed: JPEG, PNG"):
        load_image(tmp_path / "a.gif")
    with pytest.raises(ImageError, match="format ICO"):
        load_image(tmp_path / "a.ico")


def encoded(image_format: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    buffer = io.BytesIO()
    extra = {} if image_format == "BMP" else {"exif": exif}
    Image.fromarray(COLOURS).save(buffer, image_format, **extra)
    return buffer.getvalue()


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "TIFF"]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(0, 400),
)
def test_whatever_bytes_a_file_has_it_is_an_image_or_an_image_error(
    tmp_path_factory, image_format, changes, cut
):
    content = bytearray(encoded(image_format))
    for position, value in changes:
        content[position % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(content[: len(content) - cut] or b"x")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for read in (read_header, load_image):
            try:
                read(path)
            except ImageError as error:
                assert "mutated: " in str(error)


def test_damaged_metadata_is_an_image_error(tmp_path, monkeypatch):
    def broken(image):
        raise struct.error("required argument is not an integer")

    monkeypatch.setattr("saga.data.images.ImageOps.exif_transpose", broken)
    with pytest.raises(ImageError, match=r"a\.png: truncated or damaged \(required argument"):
        load_image(tiny_image(tmp_path / "a.png"))


def test_threads_do_not_change_how_warnings_are_shown(tmp_path):
    paths = [tiny_image(tmp_path / f"{i}.png", i) for i in range(40)]
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(load_image, paths * 5))
    assert warnings.filters == before
    for i, image in enumerate(images):
        assert image.getpixel((0, 0)) == (i % 40, 0, 90)
