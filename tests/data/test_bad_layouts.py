"""What a layout's reader refuses, and that it says where."""

import shutil
import struct

import numpy as np
import pytest
from scipy.io import savemat

from saga.data.configuration import LAYOUTS
from saga.data.layouts import read_layout
from saga.errors import UserInputError
from tests.data.made import (
    CORNERS,
    made_aircraft,
    made_cars,
    made_cub,
    made_folders,
    made_inat,
    structs,
    tiny_image,
    write_lines,
)


def changed(path, number: int, line: str) -> None:
    """Put another line in the place of one, counted from 1; behind the last one it is added."""
    lines = path.read_text().splitlines()
    lines[number - 1 : number] = [line]
    write_lines(path, *lines)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_root_is_told(tmp_path, layout):
    with pytest.raises(UserInputError, match=r"dataset\.root.*absent does not exist"):
        read_layout(layout, tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserInputError, match=r"file is not a folder"):
        read_layout(layout, tmp_path / "file")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_of_another_layout_is_told_with_what_is_there(tmp_path, layout):
    write_lines(tmp_path / "notes.txt", "nothing to see")
    with pytest.raises(
        UserInputError, match=rf"not of the layout {layout}.*Found there: notes.txt"
    ):
        read_layout(layout, tmp_path)


@pytest.mark.parametrize(
    "missing", ["images.txt", "image_class_labels.txt", "classes.txt", "images"]
)
def test_cub_needs_all_its_files(tmp_path, missing):
    made_cub(tmp_path)
    path = tmp_path / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserInputError, match=f"it has no {missing}"):
        read_layout("cub200", tmp_path)


@pytest.mark.parametrize(
    ("file", "number", "line", "problem"),
    [
        ("images.txt", 3, "3", r"images\.txt, line 3: expected <image id> <path>, got '3'"),
        ("images.txt", 3, "", r"images\.txt, line 3: expected"),
        ("images.txt", 3, "three a.jpg", r"line 3: expected a whole number, got 'three'"),
        ("images.txt", 3, "-3 a.jpg", r"line 3: expected a whole number, got '-3'"),
        ("images.txt", 3, "２ a.jpg", r"line 3: expected a whole number"),
        ("images.txt", 3, "1 a.jpg", r"line 3: the image id 1 was given in line 1 already"),
        ("images.txt", 3, "01 a.jpg", r"line 3: the image id 1 was given in line 1 already"),
        ("images.txt", 3, "3 /etc/passwd", r"line 3: '/etc/passwd' is no path below"),
        ("images.txt", 3, "3 a/../../../b.jpg", r"line 3: .* is no path below"),
        ("images.txt", 3, "3 a\\b.jpg", r"line 3: .* is no path below"),
        ("images.txt", 3, "3 a\0.jpg", r"line 3: expected"),
        ("images.txt", 3, "33 a.jpg", r"line 3: the image id 33 has no line in image_class_labels"),
        ("images.txt", 9, "9 a.jpg", r"line 9: the image id 9 has no line in image_class_labels"),
        ("image_class_labels.txt", 9, "9 1", r"line 9: the image id 9 has no line in images\.txt"),
        ("image_class_labels.txt", 2, "2 1.0", r"line 2: expected a whole number, got '1\.0'"),
        ("image_class_labels.txt", 2, "2 5", r"line 2: there is no class 5 in classes\.txt"),
        ("image_class_labels.txt", 2, "2 0", r"line 2: there is no class 0"),
        ("image_class_labels.txt", 2, "2 1 1", r"line 2: expected a whole number, got '1 1'"),
        ("image_class_labels.txt", 2, "1 1", r"line 2: the image id 1 was given in line 1"),
        ("classes.txt", 2, "1 001.Other", r"classes\.txt, line 2: the class id 1 was given"),
        ("classes.txt", 2, "2 001.Bird_1", r"classes\.txt, line 2: the class name 001\.Bird_1 was"),
        ("classes.txt", 2, "2", r"classes\.txt, line 2: expected <class id> <class name>"),
        (
            "bounding_boxes.txt",
            4,
            "4 1 2 nan 4",
            r"boxes\.txt, line 4: expected a number, got 'nan'",
        ),
        ("bounding_boxes.txt", 4, "4 1 2 1e999 4", r"line 4: expected a number"),
        (
            "bounding_boxes.txt",
            4,
            "4 1 2 3",
            r"line 4: expected <image id> <x> <y> <width> <height>",
        ),
        ("bounding_boxes.txt", 4, "4 1 2 0 4", r"line 4: a box must be wider and higher than 0"),
        ("bounding_boxes.txt", 4, "4 1 2 3 4 5", r"line 4: expected a number, got '4 5'"),
        ("bounding_boxes.txt", 9, "9 1 2 3 4", r"line 9: the image id 9 has no line in images"),
    ],
)
def test_a_wrong_line_of_cub_is_told_by_file_and_line(tmp_path, file, number, line, problem):
    made_cub(tmp_path)
    changed(tmp_path / file, number, line)
    with pytest.raises(UserInputError, match=problem):
        read_layout("cub200", tmp_path)


def test_a_list_that_was_cut_off_is_not_a_smaller_dataset(tmp_path):
    made_cub(tmp_path)
    lines = (tmp_path / "images.txt").read_text().splitlines()
    write_lines(tmp_path / "images.txt", *lines[:-1])
    with pytest.raises(
        UserInputError, match=r"class_labels\.txt, line 8: the image id 8 has no line"
    ):
        read_layout("cub200", tmp_path)


def test_an_image_that_is_listed_twice_is_told_with_both_places(tmp_path):
    made_cub(tmp_path)
    first = (tmp_path / "images.txt").read_text().splitlines()[0].split()[1]
    changed(tmp_path / "images.txt", 2, f"2 ./{first}")
    with pytest.raises(UserInputError, match=r"images\.txt, line 2: the path .* first in .*line 1"):
        read_layout("cub200", tmp_path)


def test_a_file_that_is_no_text_is_told_by_line(tmp_path):
    made_cub(tmp_path)
    with (tmp_path / "images.txt").open("ab") as file:
        file.write(b"9 \xff\xfe.jpg\n")
    with pytest.raises(UserInputError, match=r"images\.txt, line 9: not UTF-8"):
        read_layout("cub200", tmp_path)


def test_an_empty_list_is_told(tmp_path):
    made_cub(tmp_path)
    (tmp_path / "images.txt").write_text("\n\n")
    with pytest.raises(UserInputError, match=r"images\.txt is empty"):
        read_layout("cub200", tmp_path)


@pytest.mark.parametrize(
    ("make", "layout", "total"),
    [
        (lambda root: made_cub(root, 201, 1), "cub200", 200),
        (lambda root: made_aircraft(root, 101, 1), "aircraft", 100),
        (lambda root: made_cars(root, 197, 1, single=True), "cars196", 196),
    ],
)
def test_more_classes_than_the_set_has_are_refused(tmp_path, make, layout, total):
    make(tmp_path)
    with pytest.raises(UserInputError, match=f"{layout} has {total} classes, but {total + 1}"):
        read_layout(layout, tmp_path)


def test_too_few_classes_for_two_sides_are_refused(tmp_path):
    made_folders(tmp_path, ["a", "b", "c"])
    with pytest.raises(UserInputError, match="at least 4 classes.*found 3"):
        read_layout("folders", tmp_path)


@pytest.mark.parametrize("images", [0, 1])
def test_fewer_than_two_images_a_class_are_refused_by_its_name(tmp_path, images):
    made_folders(tmp_path, ["auk", "emu", "jay", "owl"])
    for path in sorted((tmp_path / "jay").iterdir())[images:]:
        path.unlink()
    with pytest.raises(UserInputError, match=rf"at least 2 images.*jay \({images}\)"):
        read_layout("folders", tmp_path)


def test_a_class_that_is_listed_but_has_no_image_is_refused_by_its_name(tmp_path):
    made_cub(tmp_path)
    changed(tmp_path / "classes.txt", 5, "5 005.Dodo")
    with pytest.raises(UserInputError, match=r"005\.Dodo \(0\)"):
        read_layout("cub200", tmp_path)


def test_a_class_on_two_sides_is_refused(tmp_path):
    made_folders(tmp_path / "train", ["auk", "emu", "jay"])
    made_folders(tmp_path / "test", ["owl", "jay"])
    with pytest.raises(
        UserInputError, match="class jay is on two sides: .*test/jay and .*train/jay"
    ):
        read_layout("folders", tmp_path)
    shutil.rmtree(tmp_path / "train/jay")
    made_folders(tmp_path / "val", ["emu"])
    with pytest.raises(UserInputError, match="class jay|class emu is on two sides"):
        read_layout("folders", tmp_path)


@pytest.mark.parametrize(
    ("sides", "problem"),
    [
        (["train", "val"], "no test"),
        (["test"], "no train"),
        (["train", "test", "other"], "beside train and test it has other"),
        (["train", "test", "val", "validation"], "both val and validation"),
    ],
)
def test_a_tree_that_is_half_split_is_refused(tmp_path, sides, problem):
    for side in sides:
        made_folders(tmp_path / side, [f"{side} 1", f"{side} 2"])
    with pytest.raises(UserInputError, match=problem):
        read_layout("folders", tmp_path)


def test_one_class_on_a_side_is_refused(tmp_path):
    made_folders(tmp_path / "train", ["auk", "emu"])
    made_folders(tmp_path / "test", ["owl"])
    with pytest.raises(UserInputError, match="test holds 1 class folders; at least 2"):
        read_layout("folders", tmp_path)


def test_a_folder_inside_a_class_is_refused(tmp_path):
    made_folders(tmp_path, ["auk", "emu", "jay", "owl"])
    tiny_image(tmp_path / "jay/more/a.jpg")
    with pytest.raises(UserInputError, match="jay/more is a folder inside the class folder jay"):
        read_layout("folders", tmp_path)


def test_a_file_name_that_is_no_clean_text_is_refused(tmp_path):
    made_folders(tmp_path, ["auk", "emu", "jay", "owl"])
    tiny_image(tmp_path / "jay/a\nb.jpg")
    with pytest.raises(UserInputError, match=r"jay.*a\\nb\.jpg.*cannot be printed"):
        read_layout("folders", tmp_path)


@pytest.mark.parametrize(
    ("file", "number", "line", "problem"),
    [
        (
            "variants.txt",
            2,
            "Variant 003",
            r"variants\.txt, line 2: the variant Variant 003 was given",
        ),
        (
            "images_variant_test.txt",
            1,
            "0000001 Zeppelin",
            r"line 1: there is no variant 'Zeppelin'",
        ),
        ("images_variant_test.txt", 1, "0000001", r"line 1: expected <image id> <variant>"),
        ("images_variant_test.txt", 1, "../x Variant 000", r"line 1: '\.\./x' is no path below"),
        (
            "images_variant_test.txt",
            1,
            "0000000 Variant 000",
            r"variant_test\.txt, line 1: the image 0000000 .*trainval\.txt, line 1 already",
        ),
        (
            "images_box.txt",
            1,
            "0000000 5 1 4 9",
            r"images_box\.txt, line 1: xmin and ymin must not",
        ),
        (
            "images_box.txt",
            1,
            "0000009 1 1 4 9",
            r"the image 0000000 has no line in images_box\.txt",
        ),
    ],
)
def test_a_wrong_line_of_aircraft_is_told_by_file_and_line(tmp_path, file, number, line, problem):
    made_aircraft(tmp_path)
    changed(tmp_path / file, number, line)
    with pytest.raises(UserInputError, match=problem):
        read_layout("aircraft", tmp_path)


def test_aircraft_without_a_list_of_images_is_told_what_it_needs(tmp_path):
    made_aircraft(tmp_path)
    (tmp_path / "images_variant_test.txt").unlink()
    with pytest.raises(UserInputError, match=r"trainval\.txt \+ images_variant_test\.txt or"):
        read_layout("aircraft", tmp_path)


def test_inat_without_birds_is_told(tmp_path):
    made_inat(tmp_path, species=0)
    with pytest.raises(UserInputError, match="no folder named like 00001_Animalia_Chordata_Aves"):
        read_layout("inat_aves", tmp_path)


def test_cars_without_labels_of_the_test_images_are_told_why_they_are_needed(tmp_path):
    made_cars(tmp_path)
    (tmp_path / "cars_test_annos_withlabels.mat").unlink()
    with pytest.raises(UserInputError, match="the devkit's cars_test_annos.mat has no classes"):
        read_layout("cars196", tmp_path)


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ((1, 2, 5, 7, 5, "a.jpg"), "annotation 2: class must be a whole number from 1 to 4, got 5"),
        ((1, 2, 5, 7, 0, "a.jpg"), "annotation 2: class must be"),
        ((1, 2, 5, 7, 1.5, "a.jpg"), "annotation 2: class must be"),
        ((1, 2, 5, 7, "1", "a.jpg"), "annotation 2: class must be"),
        ((1, 2, 5, 7, 1, "../../a.jpg"), "annotation 2: .* is no path below"),
        ((5, 2, 1, 7, 1, "a.jpg"), "annotation 2: a box must be wider"),
        ((1, 2, 5, "7", 1, "a.jpg"), "annotation 2: the corners of a box must be numbers"),
        ((1, 2, 5, np.nan, 1, "a.jpg"), "cannot be read as a MATLAB file.*JSON compliant"),
        ((1, 2, 5, 7, 1, np.zeros((3, 3))), "cannot be read as a MATLAB file.*one text or number"),
    ],
)
def test_a_wrong_annotation_of_cars_is_told_by_its_number(tmp_path, record, problem):
    made_cars(tmp_path)
    rows = [(1, 2, 5, 7, 1, "00001.jpg"), record]
    path = tmp_path / "devkit/cars_train_annos.mat"
    savemat(path, {"annotations": structs([*CORNERS, "class", "fname"], rows)})
    with pytest.raises(UserInputError, match=problem):
        read_layout("cars196", tmp_path)


def deep_mat(depth: int) -> bytes:
    """A MATLAB file of a cell in a cell in a cell …"""

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    def head(name: bytes) -> bytes:
        shape = struct.pack("<ii", 1, 1)
        return element(6, struct.pack("<II", 1, 0)) + element(5, shape) + element(1, name)

    parts, size = [], 0
    for level in range(depth):
        body = head(b"class_names" if level == depth - 1 else b"")
        parts.append(struct.pack("<II", 14, len(body) + size) + body)
        size += 8 + len(body)
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + b"".join(reversed(parts))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a MATLAB file at all",
        b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"\x89HDF\r\n\x1a\n" + bytes(600),
        b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + struct.pack("<II", 15, 40) + bytes(40),
        deep_mat(40_000),
        None,
    ],
    ids=["empty", "text", "hdf5", "damaged", "deep", "cut"],
)
def test_a_hostile_matlab_file_ends_in_a_message(tmp_path, content):
    made_cars(tmp_path, classes=30)
    path = tmp_path / "devkit/cars_meta.mat"
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    with pytest.raises(UserInputError, match=r"cars_meta\.mat cannot be read as a MATLAB file"):
        read_layout("cars196", tmp_path)


def test_a_matlab_file_without_the_fields_is_told(tmp_path):
    made_cars(tmp_path)
    path = tmp_path / "devkit/cars_train_annos.mat"
    savemat(path, {"annotations": structs(["class", "fname"], [(1, "a.jpg"), (2, "b.jpg")])})
    with pytest.raises(UserInputError, match="no field bbox_x1"):
        read_layout("cars196", tmp_path)
    savemat(path, {"other": 1})
    with pytest.raises(UserInputError, match="no variable annotations"):
        read_layout("cars196", tmp_path)
