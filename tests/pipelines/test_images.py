import os
from pathlib import Path

import pytest
from PIL import Image

from pipelines.images import NAMED_AT_ONCE, check_headers, collect
from saga.errors import UserInputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/2.PNG", "b/1.jpg", "a.jpeg", "notes.txt", "deep/er/3.webp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_images_below_folders_come_in_order_and_each_once(folder):
    found = collect([folder / "b" / "2.PNG", folder, folder / "b"])
    assert [p.relative_to(folder).as_posix() for p in found] == [
        "b/2.PNG",
        "a.jpeg",
        "b/1.jpg",
        "deep/er/3.webp",
    ]


def test_a_file_that_is_named_is_taken_whatever_its_ending(folder):
    assert collect([folder / "notes.txt"]) == [folder / "notes.txt"]


def test_what_does_not_exist_is_named(folder):
    absent = [Path("x" * 5000), *(folder / f"no{i}" for i in range(NAMED_AT_ONCE + 2))]
    with pytest.raises(UserInputError, match=r"No such file or folder: x.*and 3 more") as caught:
        collect([folder, *absent])
    assert "no0" in str(caught.value) and "no10" not in str(caught.value)


def test_a_folder_without_images_is_refused_with_the_endings_looked_for(tmp_path):
    with pytest.raises(UserInputError, match=r"No images in .*: looked for \.jpg, "):
        collect([tmp_path])


def test_a_name_that_no_table_can_hold_is_refused_before_the_work(tmp_path):
    (tmp_path / os.fsdecode(b"bad\xff.png")).write_bytes(b"x")
    with pytest.raises(UserInputError, match="must be UTF-8"):
        collect([tmp_path])


def test_every_file_that_is_no_image_is_named_up_to_ten(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    paths = [tmp_path / "good.png"]
    for i in range(NAMED_AT_ONCE + 3):
        paths.append(tmp_path / f"bad{i:02d}.png")
        paths[-1].write_bytes(b"not an image")
    check_headers(paths[:1])
    with pytest.raises(UserInputError) as caught:
        check_headers(paths)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{tmp_path}/bad00.png: not an image")
    assert len(lines) == NAMED_AT_ONCE + 1 and lines[-1] == "and 3 more"
