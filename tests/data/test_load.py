import json
import threading

import numpy as np
import pytest
from PIL import Image

from saga.data import load
from saga.data.configuration import DatasetConfig, ImageLimits
from saga.data.images import load_image
from saga.data.load import load_manifest
from saga.data.synthetic.configuration import SyntheticConfig
from saga.errors import UserInputError
from saga.files import sha256_file
from tests.data.made import REAL, made_cub, made_folders, tiny_image, write_lines

SMALL = SyntheticConfig(
    train_classes=2, validation_classes=1, test_classes=2, images_per_class=2, image_size=32
)


def cub(root, **settings):
    return load_manifest(DatasetConfig(layout="cub200", root=str(root), **settings))


def test_size_mode_and_digest_of_each_file_are_recorded(tmp_path):
    made_folders(tmp_path, ["auk", "emu", "jay", "owl"], ending=".png")
    Image.new("L", (5, 9)).save(tmp_path / "owl/0.png")
    told = []
    manifest = load_manifest(
        DatasetConfig(layout="folders", root=str(tmp_path), name="mine"),
        progress=lambda *done: told.append(done),
    )
    assert manifest.name == "mine" and manifest.layout == "folders" and manifest.root == tmp_path
    for row in manifest.frame.to_dict("records"):
        path = tmp_path / row["path"]
        assert row["sha256"] == sha256_file(path)
        expected = (5, 9, "L") if row["path"] == "owl/0.png" else (8, 8, "RGB")
        assert (row["width"], row["height"], row["mode"]) == expected
    assert told[-1] == (8, 8)


def test_where_the_files_lie_does_not_change_the_digest(tmp_path, monkeypatch):
    one, other = made_cub(tmp_path / "one"), made_cub(tmp_path / "other")
    assert cub(one).digest == cub(other).digest
    monkeypatch.chdir(tmp_path)
    assert cub("one").digest == cub(other).digest and cub("one").root == one
    tiny_image(other / "images/001.Bird_1/Bird_1_0000.jpg", 200)
    assert cub(one).digest != cub(other).digest


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_moves_image_and_box_together(tmp_path, orientation):
    made_cub(tmp_path)
    stored = np.zeros((30, 40, 3), np.uint8)
    x, y, width, height = 5, 3, 10, 7
    stored[y : y + height, x : x + width] = (250, 20, 20)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = "001.Bird_1/Bird_1_0000.png"
    Image.fromarray(stored).save(tmp_path / "images" / path, exif=exif)
    lines = (tmp_path / "images.txt").read_text().splitlines()
    write_lines(tmp_path / "images.txt", f"1 {path}", *lines[1:])
    boxes = (tmp_path / "bounding_boxes.txt").read_text().splitlines()
    write_lines(tmp_path / "bounding_boxes.txt", f"1 {x} {y} {width} {height}", *boxes[1:])

    manifest = cub(tmp_path)
    row = manifest.frame.set_index("image_id").loc["1"]
    upright = np.asarray(load_image(manifest.image_path(row["path"])))
    assert (row["height"], row["width"]) == upright.shape[:2]
    assert (row["width"] == 30) == (orientation >= 5)
    left, top, w, h = (int(v) for v in row["bbox"])
    inside = np.zeros(upright.shape[:2], bool)
    inside[top : top + h, left : left + w] = True
    np.testing.assert_array_equal(upright[..., 0] > 100, inside)


def test_the_first_images_of_each_class_by_path_are_kept(tmp_path):
    made_cub(tmp_path, images=5)
    frame = cub(tmp_path, max_images_per_class=2).frame
    assert sorted(frame["path"]) == [
        f"images/{c:03d}.Bird_{c}/Bird_{c}_{i:04d}.jpg" for c in range(1, 5) for i in range(2)
    ]


def break_file(path, how):
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("<html>404 not found</html>")
    elif how == "cut header":
        path.write_bytes(path.read_bytes()[:15])
    elif how == "huge":
        Image.new("1", (9000, 9000)).save(path, "PNG")
    elif how == "gif":
        Image.new("L", (8, 8)).save(path, "GIF")
    elif how == "folder":
        path.unlink()
        path.mkdir()
    elif how == "outside":
        tiny_image(path.parents[3] / "outside.jpg")
        path.unlink()
        path.symlink_to(path.parents[3] / "outside.jpg")


BROKEN = {
    "missing": "there is no file",
    "empty": "is empty",
    "text": "not an image",
    "cut header": "not an image|truncated",
    "huge": "9000×9000 = 81,000,000 pixels is more than the cap",
    "gif": "format GIF is not accepted",
    "folder": "no such file",
    "outside": "leads outside the dataset's folder",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_bad_image_is_told_by_its_line_and_path(tmp_path, how):
    root = made_cub(tmp_path / "data")
    path = root / "images/002.Bird_2/Bird_2_0001.jpg"
    break_file(path, how)
    with pytest.raises(UserInputError, match=rf"images\.txt, line 4: .*({BROKEN[how]})") as error:
        cub(root)
    assert "Bird_2_0001" in str(error.value)


def test_all_bad_images_are_told_at_once_up_to_ten(tmp_path):
    made_cub(tmp_path, classes=8)
    paths = sorted((tmp_path / "images").rglob("*.jpg"))
    for path, how in zip(paths, ("empty", "text", "huge")):
        break_file(path, how)
    with pytest.raises(UserInputError) as error:
        cub(tmp_path)
    lines = str(error.value).splitlines()
    assert len(lines) == 3 and all(str(p) in line for p, line in zip(paths, lines))
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(UserInputError) as error:
        cub(tmp_path)
    lines = str(error.value).splitlines()
    assert len(lines) == 11 and lines[-1] == "The other 6 files were not looked at."


def test_the_limits_of_the_configuration_hold(tmp_path):
    made_cub(tmp_path)
    with pytest.raises(UserInputError, match=r"8×8 = 64 pixels.*cap of 63"):
        cub(tmp_path, limits=ImageLimits(max_pixels=63))
    assert len(cub(tmp_path, limits=ImageLimits(max_pixels=64)).frame) == 8
    with pytest.raises(UserInputError, match="format JPEG is not accepted; allowed: PNG"):
        cub(tmp_path, limits=ImageLimits(formats=("PNG",)))


# The synthetic dataset -------------------------------------------------------------------------


def synthetic(cache, root=None, config=SMALL, **more):
    return load_manifest(DatasetConfig(root=root, synthetic=config), cache, **more)


def test_the_synthetic_dataset_is_drawn_once_and_found_again(tmp_path, monkeypatch):
    told = []
    manifest = synthetic(tmp_path / "cache", progress=lambda *done: told.append(done))
    assert told[-1] == (10, 10)
    counts = {side: manifest.counts()[side] for side in ("train", "validation", "test")}
    assert counts == {
        "train": {"images": 4, "classes": 2},
        "validation": {"images": 2, "classes": 1},
        "test": {"images": 4, "classes": 2},
    }
    assert manifest.root.parent == tmp_path / "cache"
    attributes = json.loads(manifest.frame["attributes"][0])
    assert set(attributes.values()) <= set(manifest.frame["class_name"][0][4:].split("_"))
    monkeypatch.setattr(load, "materialise", lambda *_, **__: pytest.fail("drawn again"))
    assert synthetic(tmp_path / "cache").digest == manifest.digest


def test_another_configuration_is_another_dataset(tmp_path):
    import dataclasses

    manifest = synthetic(tmp_path)
    other = synthetic(tmp_path, config=dataclasses.replace(SMALL, seed=1))
    assert other.digest != manifest.digest and other.root != manifest.root
    assert synthetic(tmp_path).digest == manifest.digest


@pytest.mark.parametrize("harm", ["a file is gone", "a file is empty", "other facts", "rows gone"])
def test_a_drawn_dataset_that_is_not_whole_is_drawn_again(tmp_path, harm):
    import pandas as pd

    manifest = synthetic(tmp_path)
    image = manifest.root / manifest.frame["path"][0]
    if harm == "a file is gone":
        image.unlink()
    elif harm == "a file is empty":
        image.write_bytes(b"")
    elif harm == "other facts":
        (manifest.root / "synthetic.json").write_text("{}")
    else:
        table = pd.read_parquet(manifest.root / "annotations.parquet")
        table[1:].to_parquet(manifest.root / "annotations.parquet", index=False)
    assert synthetic(tmp_path).digest == manifest.digest


def test_two_that_need_the_dataset_at_once_draw_it_once(tmp_path, monkeypatch):
    drawn, digests = [], []
    materialise = load.materialise

    def counted(*args, **settings):
        drawn.append(args)
        materialise(*args, **settings)

    monkeypatch.setattr(load, "materialise", counted)
    threads = [
        threading.Thread(target=lambda: digests.append(synthetic(tmp_path).digest))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(drawn) == 1 and len(digests) == 3 and len(set(digests)) == 1


def test_a_root_for_the_synthetic_dataset_is_read_and_never_drawn_over(tmp_path):
    manifest = synthetic(tmp_path / "cache")
    again = synthetic(tmp_path / "unused", root=str(manifest.root))
    assert again.digest == manifest.digest and not (tmp_path / "unused").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("precious")
    with pytest.raises(UserInputError, match=r"dataset\.root: .*mine does not hold the synthetic"):
        synthetic(tmp_path / "cache", root=str(tmp_path / "mine"))
    assert (tmp_path / "mine/thesis.txt").read_text() == "precious"


def test_altered_annotations_of_the_synthetic_dataset_do_not_pass(tmp_path):
    import pandas as pd

    from saga.data.layouts import read_layout

    root = synthetic(tmp_path).root
    table = pd.read_parquet(root / "annotations.parquet")
    for column, value, problem in (
        ("path", "../../etc/passwd", "no path below"),
        ("split", "both", "split"),
        ("attributes", "[]", "a value is missing"),
        ("class_name", None, "a value is missing"),
    ):
        changed = table.copy()
        changed.loc[0, column] = value
        changed.to_parquet(root / "annotations.parquet", index=False)
        with pytest.raises(UserInputError, match=rf"annotations\.parquet, row 0: .*{problem}"):
            read_layout("synthetic", root)


# Real photos -----------------------------------------------------------------------------------


@pytest.mark.skipif(not REAL.is_dir(), reason="the CUB-200-2011 photos are not beside the project")
def test_the_thinned_out_photos_load_with_the_canonical_split():
    from saga.data.splits import CUB200_CLASS_LISTS

    manifest = cub(REAL, class_list_digest=CUB200_CLASS_LISTS)
    assert manifest.counts() == {
        "images": 4000,
        "train": {"images": 2000, "classes": 100},
        "validation": {"images": 0, "classes": 0},
        "test": {"images": 2000, "classes": 100},
    }
    folders = manifest.frame["path"].str.extract(r"^images/(\d{3})\.")[0].astype(int)
    assert (folders == manifest.frame["class_id"]).all()
    assert ((folders <= 100) == (manifest.frame["split"] == "train")).all()
    sizes = {line.split()[0]: line.split()[3:] for line in (REAL / "image_sizes.txt").open()}
    for row in manifest.frame.sample(50, random_state=0).to_dict("records"):
        assert [row["width"], row["height"]] == list(map(int, sizes[row["image_id"]]))
        assert len(row["bbox"]) == 4
