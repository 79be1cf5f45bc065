"""The right reading of each layout; what is refused is in test_bad_layouts."""

from pathlib import Path

import pytest

from saga.data.configuration import LAYOUTS, DatasetConfig
from saga.data.layouts import READERS, read_layout, recognise
from saga.data.load import load_manifest
from saga.data.synthetic.configuration import SyntheticConfig
from saga.errors import UserInputError
from tests.data.made import (
    made_aircraft,
    made_cars,
    made_cub,
    made_folders,
    made_inat,
    write_lines,
)


def loaded(layout: str, root: Path, **settings):
    return load_manifest(DatasetConfig(layout=layout, root=str(root), **settings))


def classes_of(manifest, split: str) -> list[int]:
    return sorted(set(manifest.subset(split)["class_id"]))


@pytest.mark.parametrize(
    ("layout", "make", "train", "test"),
    [
        ("cub200", lambda root: made_cub(root, 200), 100, 100),
        ("cars196", lambda root: made_cars(root, 196), 98, 98),
        ("cars196", lambda root: made_cars(root, 196, single=True), 98, 98),
        ("aircraft", lambda root: made_aircraft(root / "data", 100), 50, 50),
        ("inat_aves", lambda root: made_inat(root, 1486), 743, 743),
    ],
)
def test_a_whole_set_has_the_papers_classes_on_each_side(tmp_path, layout, make, train, test):
    make(tmp_path)
    manifest = loaded(layout, tmp_path)
    assert classes_of(manifest, "train") == list(range(1, train + 1))
    assert classes_of(manifest, "test") == list(range(train + 1, train + test + 1))
    assert manifest.counts() == {
        "images": 2 * (train + test),
        "train": {"images": 2 * train, "classes": train},
        "validation": {"images": 0, "classes": 0},
        "test": {"images": 2 * test, "classes": test},
    }
    assert all(manifest.image_path(path).is_file() for path in manifest.frame["path"])


def test_every_layout_of_the_configuration_has_a_reader():
    assert set(READERS) == set(LAYOUTS)


def test_cub_takes_names_labels_and_boxes_by_image_id_whatever_the_order_of_lines(tmp_path):
    made_cub(tmp_path, classes=4, images=2)
    for name in ("images.txt", "classes.txt", "bounding_boxes.txt"):
        lines = (tmp_path / name).read_text().splitlines()
        write_lines(tmp_path / name, *lines[::-1])
    frame = loaded("cub200", tmp_path).frame.set_index("image_id")
    assert frame.loc["5", "path"] == "images/003.Bird_3/Bird_3_0000.jpg"
    assert frame.loc["5", "class_id"] == 3 and frame.loc["5", "class_name"] == "003.Bird_3"
    assert frame.loc["5", "bbox"] == [1.0, 2.0, 3.0, 4.5]
    assert frame.loc["5", "split"] == "test" and frame.loc["4", "split"] == "train"


def test_cub_without_boxes_has_none(tmp_path):
    frame = loaded("cub200", made_cub(tmp_path, boxes=False)).frame
    assert frame["bbox"].isna().all() and len(frame) == 8


def test_cub_with_windows_line_ends_is_the_same_dataset(tmp_path):
    made_cub(tmp_path)
    before = loaded("cub200", tmp_path).digest
    for path in tmp_path.glob("*.txt"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert loaded("cub200", tmp_path).digest == before


def test_the_official_flags_of_cub_do_not_matter(tmp_path):
    made_cub(tmp_path)
    before = loaded("cub200", tmp_path).digest
    (tmp_path / "train_test_split.txt").unlink()
    assert loaded("cub200", tmp_path).digest == before


def test_cars_pool_both_official_sides_and_label_by_the_list_of_classes(tmp_path):
    frame = loaded("cars196", made_cars(tmp_path, classes=4, images=2)).frame
    frame = frame.set_index("image_id")
    assert sorted(frame.index) == [
        f"cars_{s}/{n:05d}" for s in ("test", "train") for n in range(1, 5)
    ]
    for image_id, class_id, split in (
        ("cars_train/00002", 2, "train"),
        ("cars_test/00002", 2, "train"),
        ("cars_train/00003", 3, "test"),
    ):
        row = frame.loc[image_id]
        assert row["class_id"] == class_id and row["split"] == split
        assert row["class_name"] == f"Make {class_id - 1}/Model 20{class_id + 9}"
        assert row["bbox"] == [1, 2, 4, 5] and row["path"] == f"{image_id}.jpg"


def test_the_single_list_of_cars_is_read_alike(tmp_path):
    frame = loaded("cars196", made_cars(tmp_path, single=True)).frame
    assert frame["path"].tolist() == [f"car_ims/{n:06d}.jpg" for n in range(1, 9)]
    assert frame["class_id"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert frame["split"].tolist() == ["train"] * 4 + ["test"] * 4


def test_cars_test_labels_may_lie_in_the_devkit(tmp_path):
    made_cars(tmp_path)
    before = loaded("cars196", tmp_path).digest
    name = "cars_test_annos_withlabels.mat"
    (tmp_path / name).rename(tmp_path / "devkit" / name)
    assert loaded("cars196", tmp_path).digest == before


def test_aircraft_are_split_in_alphabetical_order_with_both_lists_pooled(tmp_path):
    frame = loaded("aircraft", made_aircraft(tmp_path)).frame
    assert frame["image_id"].tolist() == [f"{n:07d}" for n in range(8)]
    assert frame["class_name"].tolist() == [f"Variant {n // 2:03d}" for n in range(8)]
    assert frame["split"].tolist() == ["train"] * 4 + ["test"] * 4
    # The corners 1 1 6 7 count pixels from 1 and belong to the box.
    assert frame["bbox"].tolist() == [[0, 0, 6, 7]] * 8


def test_aircraft_below_data_differ_in_their_paths_alone(tmp_path):
    here = loaded("aircraft", made_aircraft(tmp_path / "here")).frame
    below = loaded("aircraft", made_aircraft(tmp_path / "there/data").parent).frame
    assert ("data/" + here["path"]).equals(below["path"])
    assert here.drop(columns="path").equals(below.drop(columns="path"))


def test_aircraft_lists_train_and_val_stand_for_trainval(tmp_path):
    made_aircraft(tmp_path)
    before = loaded("aircraft", tmp_path).digest
    lines = (tmp_path / "images_variant_trainval.txt").read_text().splitlines()
    write_lines(tmp_path / "images_variant_train.txt", *lines[:3])
    write_lines(tmp_path / "images_variant_val.txt", *lines[3:])
    assert loaded("aircraft", tmp_path).digest == before
    (tmp_path / "images_variant_trainval.txt").unlink()
    assert loaded("aircraft", tmp_path).digest == before


@pytest.mark.parametrize("name", ["train_mini", "2021_train_mini"])
def test_inat_takes_birds_alone_in_sorted_order(tmp_path, name):
    made_inat(tmp_path)
    (tmp_path / "train_mini").rename(tmp_path / name)
    manifest = loaded("inat_aves", tmp_path)
    assert len(manifest.frame) == 8
    assert manifest.frame["class_name"].str.contains("_Chordata_Aves_").all()
    assert [n[-8:] for n in manifest.classes("train")] == ["species0", "species1"]
    assert [n[-8:] for n in manifest.classes("test")] == ["species2", "species3"]


def test_plain_folders_are_halved_in_sorted_order_and_the_one_in_the_middle_trains(tmp_path):
    made_folders(tmp_path, ["owl", "auk", "tit", "jay", "emu"])
    (tmp_path / ".cache").mkdir()
    (tmp_path / "labels.csv").write_text("not a class")
    (tmp_path / "owl/.DS_Store").write_bytes(b"\0")
    manifest = loaded("folders", tmp_path)
    assert manifest.classes("train") == ["auk", "emu", "jay"]
    assert manifest.classes("test") == ["owl", "tit"]
    assert len(manifest.frame) == 10


@pytest.mark.parametrize("name", ["val", "validation"])
def test_folders_that_are_split_already_stay_so(tmp_path, name):
    made_folders(tmp_path / "train", ["zebra", "auk"])
    made_folders(tmp_path / "test", ["bat", "cat"])
    made_folders(tmp_path / name, ["ape"])
    manifest = loaded("folders", tmp_path)
    assert manifest.classes("train") == ["auk", "zebra"]
    assert manifest.classes("validation") == ["ape"]
    assert manifest.classes("test") == ["bat", "cat"]
    assert manifest.frame["class_id"].nunique() == 5


def test_a_class_may_be_called_train(tmp_path):
    made_folders(tmp_path, ["bus", "car", "train", "tram"])
    assert loaded("folders", tmp_path).classes("test") == ["train", "tram"]


def test_reading_a_layout_opens_no_image(tmp_path):
    made_cub(tmp_path)
    for path in (tmp_path / "images").rglob("*.jpg"):
        path.write_bytes(b"")
    assert len(read_layout("cub200", tmp_path)) == 8


@pytest.mark.parametrize(
    ("layout", "make"),
    [
        ("cub200", made_cub),
        ("cars196", made_cars),
        ("cars196", lambda root: made_cars(root, single=True)),
        ("aircraft", made_aircraft),
        ("aircraft", lambda root: made_aircraft(root / "data")),
        ("inat_aves", made_inat),
        ("folders", lambda root: made_folders(root, ["auk", "emu"])),
        ("folders", lambda root: made_folders(root / "train", ["auk", "emu"])),
    ],
)
def test_a_layout_is_recognised_by_what_the_folder_holds(tmp_path, layout, make):
    make(tmp_path)
    assert recognise(tmp_path) == layout


def test_a_drawn_dataset_is_recognised(tmp_path):
    config = SyntheticConfig(2, 0, 2, images_per_class=2, image_size=32)
    manifest = load_manifest(DatasetConfig(synthetic=config), tmp_path)
    assert recognise(manifest.root) == "synthetic"


def test_a_folder_that_could_be_several_or_none_is_told_with_what_is_there(tmp_path):
    write_lines(tmp_path / "notes.txt", "nothing to see")
    with pytest.raises(UserInputError, match=r"of none of the layouts .*Found there: notes\.txt"):
        recognise(tmp_path)
    write_lines(tmp_path / "images.txt", "1 a.jpg")
    write_lines(tmp_path / "variants.txt", "A380")
    with pytest.raises(UserInputError, match=r"of several \(cub200, aircraft\)"):
        recognise(tmp_path)
