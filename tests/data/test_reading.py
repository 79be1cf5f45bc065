import io

import pytest
from PIL import Image

from saga.data import images
from saga.data.configuration import DatasetConfig, ImageLimits
from saga.data.images import ImageError, decode_image, load_image, read_file, read_header
from saga.data.load import load_manifest
from saga.data.reading import ImageReader, load_verified
from saga.errors import UserInputError
from saga.files import sha256_file
from tests.data.made import made_folders, tiny_image


def test_the_bytes_that_are_verified_are_those_that_are_decoded(tmp_path, monkeypatch):
    path = tiny_image(tmp_path / "a.png", 7)
    digest = sha256_file(path)

    def then_changed(path, limits):
        data = read_file(path, limits)
        tiny_image(path, 200)
        return data

    monkeypatch.setattr("saga.data.reading.read_file", then_changed)
    assert load_verified(path, digest).getpixel((0, 0)) == (7, 0, 90)
    with pytest.raises(UserInputError, match=r"a\.png has changed since the manifest"):
        load_verified(path, digest)


def test_bytes_decode_to_what_their_file_does(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for ending, mode in (("jpg", "CMYK"), ("png", "RGBA"), ("tif", "I;16"), ("webp", "RGB")):
        path = tmp_path / f"a.{ending}"
        Image.radial_gradient("L").resize((9, 6)).convert(mode).save(path, exif=exif)
        found, wanted = decode_image(path.read_bytes(), path), load_image(path)
        assert found.size == (6, 9) and found.mode == "RGB"
        assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "I;16", "RGB"])
def test_a_tiff_that_lies_on_its_side_shows_what_a_png_shows(tmp_path, mode, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.radial_gradient("L").resize((9, 6)).convert(mode)
    tiff, png = tmp_path / "a.tif", tmp_path / "a.png"
    for path in (tiff, png):
        image.save(path, exif=exif)
    header, wanted = read_header(tiff), load_image(png)
    assert (header.width, header.height) == wanted.size
    for found in (load_image(tiff), decode_image(tiff.read_bytes(), tiff)):
        assert found.tobytes() == wanted.tobytes()


def test_bytes_are_guarded_as_files_are(tmp_path):
    path = tiny_image(tmp_path / "a.png", size=(20, 10))
    data = path.read_bytes()
    with pytest.raises(ImageError, match=r"a\.png: .* more than the cap of 199"):
        decode_image(data, path, ImageLimits(max_pixels=199))
    with pytest.raises(ImageError, match=r"a\.png: format PNG is not accepted"):
        decode_image(data, path, ImageLimits(formats=("JPEG",)))
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(buffer, "JPEG")
    with pytest.raises(ImageError, match=r"a\.png: truncated or damaged"):
        decode_image(buffer.getvalue()[:-500], path)
    with pytest.raises(ImageError, match=r"a\.png: not an image"):
        decode_image(b"hello", path)


def test_a_file_larger_than_any_accepted_image_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "METADATA_BYTES", 100)
    path = tmp_path / "long.png"
    for size, fits in ((16 * 4 + 100, True), (16 * 4 + 101, False)):
        path.write_bytes(bytes(size))
        if fits:
            assert len(read_file(path, ImageLimits(max_pixels=4))) == size
        else:
            with pytest.raises(
                ImageError, match=r"long\.png: the file has 165 bytes; .* no more than 164"
            ):
                read_file(path, ImageLimits(max_pixels=4))


def test_rows_are_read_by_position_below_the_root_only(tmp_path):
    made_folders(tmp_path / "data", ["auk", "emu", "jay", "owl"], ending=".png")
    tiny_image(tmp_path / "secret.png")
    manifest = load_manifest(DatasetConfig(layout="folders", root=str(tmp_path / "data")))
    frame = manifest.frame.iloc[[3, 0]]
    reader = ImageReader.of(manifest, frame)
    assert [reader.read(row).getpixel((0, 0))[0] for row in (0, 1)] == [3, 0]
    (tmp_path / "data" / frame["path"].iloc[1]).unlink()
    (tmp_path / "data" / frame["path"].iloc[1]).symlink_to(tmp_path / "secret.png")
    with pytest.raises(UserInputError, match="leads outside"):
        reader.read(1)
