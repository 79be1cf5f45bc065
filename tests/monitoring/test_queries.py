from pathlib import Path

import pytest
from PIL import Image

from pipelines.images import collect
from saga.data.configuration import ImageLimits
from saga.errors import UserInputError
from saga.monitoring.queries import query_files, read_labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("robin/1.png", "2026-11/2.png", "3.png"):
        path = tmp_path / "queries" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), "red").save(path)
    return tmp_path / "queries"


def labels(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_folders_named_as_classes_are_labels_and_others_are_not(folder):
    files = query_files(folder, collect([folder]), ImageLimits(), {"robin", "wren"})
    assert {f.name: f.class_name for f in files} == {
        "robin/1.png": "robin",
        "2026-11/2.png": None,
        "3.png": None,
    }


def test_a_file_of_labels_takes_the_place_of_folders(folder, tmp_path):
    found = read_labels(labels(tmp_path / "l.csv", "\ufeffimage,class\n3.png,wren\n"))
    files = query_files(folder, collect([folder]), ImageLimits(), {"robin"}, found)
    assert {f.name for f in files if f.class_name} == {"3.png"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("file,label\na,b\n", "columns image and class; found 'file', 'label'"),
        ("", "found none"),
        ("image,class\na.png\n", "line 2: a value is missing"),
        ("image,class\na.png,\n", "line 2: a value is missing"),
        ("image,class\na.png,b\na.png,c\n", "line 3: 'a.png' is there twice"),
        ('image,class\n"a.png,b\n', "cannot be read as CSV"),
    ],
)
def test_a_file_that_is_no_list_of_labels_is_refused_with_the_line(tmp_path, text, problem):
    with pytest.raises(UserInputError, match=problem):
        read_labels(labels(tmp_path / "l.csv", text))
    with pytest.raises(UserInputError, match="cannot be read as CSV"):
        read_labels(tmp_path / "absent.csv")


def test_what_cannot_be_measured_is_named_all_at_once(folder, tmp_path):
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("<script>")
    Image.new("RGB", (8, 8)).save(tmp_path / "outside.png")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(UserInputError) as caught:
        query_files(folder, collect([folder]), ImageLimits(), (), {"gone.png": "robin"})
    told = str(caught.value)
    for name in ("empty.png", "text.jpg", "link.png", "gone.png"):
        assert name in told
    assert "leads outside" in told and "3.png" not in told


def test_the_policys_limits_hold(folder):
    with pytest.raises(UserInputError, match="more than the cap of 100"):
        query_files(folder, collect([folder]), ImageLimits(max_pixels=100), ())
