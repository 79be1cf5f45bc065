import errno
import json
import os
import stat
from pathlib import Path

import pytest
from safetensors import SafetensorError

from saga import files
from saga.errors import UserInputError
from saga.files import (
    canonical_json,
    digest_of,
    file_digests,
    replace_folder,
    sha256_bytes,
    sha256_file,
    write_json,
    write_text,
)

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


class Crash(BaseException):
    """As hard as an interrupt."""


def crashing(*_: object, **__: object) -> None:
    raise Crash


def disk_full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# Digests ----------------------------------------------------------------------------------------


def test_digests_are_the_published_ones(tmp_path):
    assert (sha256_bytes(b""), sha256_bytes(b"abc")) == (EMPTY, ABC)
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == ABC
    assert digest_of("") == sha256_bytes(b'""')


def test_a_file_larger_than_a_chunk_has_the_digest_of_all_of_it(tmp_path):
    data = os.urandom(2 * files.CHUNK_BYTES + 7)
    (tmp_path / "a").write_bytes(data)
    assert sha256_file(tmp_path / "a") == sha256_bytes(data)


def test_equal_values_have_equal_text_and_different_ones_do_not():
    assert canonical_json({"b": 1, "a": [1, 2]}) == '{"a":[1,2],"b":1}'
    assert digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})
    others = [{"a": 1}, {"a": 1.5}, {"a": "1"}, {"a": None}, {"a": [1]}, {"b": 1}, [], {}]
    assert len({digest_of(value) for value in others}) == len(others)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_does_not_have_is_refused_and_nothing_is_written(tmp_path, value):
    with pytest.raises(ValueError, match="JSON"):
        digest_of({"a": value})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": value})
    assert names(tmp_path) == []


def test_every_file_below_a_folder_is_bound_by_its_relative_name(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "b").write_bytes(b"abc")
    (tmp_path / ".hidden").write_bytes(b"")
    (tmp_path / "list").write_bytes(b"left out")
    assert file_digests(tmp_path, exclude=("list",)) == {".hidden": EMPTY, "deep/er/b": ABC}


@pytest.mark.parametrize("kind", ["file", "folder", "broken"])
def test_a_symbolic_link_is_refused_whatever_it_points_to(tmp_path, kind):
    (tmp_path / "artifact").mkdir()
    target = tmp_path / kind
    if kind == "file":
        target.write_bytes(b"x")
    elif kind == "folder":
        target.mkdir()
    (tmp_path / "artifact" / "link").symlink_to(target)
    with pytest.raises(UserInputError, match=r"link is a symbolic link"):
        file_digests(tmp_path / "artifact")


def test_what_is_neither_file_nor_folder_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserInputError, match=r"pipe is not a file"):
        file_digests(tmp_path)


# Files ------------------------------------------------------------------------------------------


def test_a_file_is_written_whole_in_folders_that_are_made(tmp_path):
    path = tmp_path / "deep" / "er" / "a.json"
    write_json(path, {"b": "ü", "a": 1})
    assert json.loads(path.read_text()) == {"a": 1, "b": "ü"}
    write_text(path, "ü")
    assert path.read_bytes() == "ü".encode()
    assert names(path.parent) == ["a.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("failure", [crashing, disk_full])
def test_a_failure_at_any_step_keeps_the_old_file_and_leaves_nothing(
    tmp_path, monkeypatch, step, failure
):
    path = tmp_path / "a"
    path.write_text("old")
    monkeypatch.setattr(files.os, step, failure)
    with pytest.raises((Crash, UserInputError)):
        write_text(path, "new")
    assert path.read_text() == "old" and names(tmp_path) == ["a"]


def test_a_full_disk_is_told_to_the_user_with_what_was_being_written(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "fsync", disk_full)
    with pytest.raises(UserInputError, match="No space left on the disk while writing .*/a. Noth"):
        write_text(tmp_path / "a", "x")
    with (
        pytest.raises(UserInputError, match="No space left on the disk while writing .*folder"),
        replace_folder(tmp_path / "folder") as building,
    ):
        write_text(building / "a", "x")
    assert names(tmp_path) == []


def test_a_full_disk_that_safetensors_reports_in_its_own_way_is_told_too(tmp_path):
    told = "Error while serializing: I/O error: No space left on device (os error 28)"
    with pytest.raises(UserInputError, match="No space left"), replace_folder(tmp_path / "x"):
        raise SafetensorError(told)
    with pytest.raises(SafetensorError), replace_folder(tmp_path / "x"):
        raise SafetensorError("another")
    assert names(tmp_path) == []


def test_another_error_stays_what_it_is(tmp_path):
    with pytest.raises(IsADirectoryError):
        write_text(tmp_path, "x")
    (tmp_path / "file").write_text("x")
    with pytest.raises((FileExistsError, NotADirectoryError)):
        write_text(tmp_path / "file" / "below", "x")
    with pytest.raises(ZeroDivisionError), replace_folder(tmp_path / "folder"):
        _ = 1 / 0
    assert names(tmp_path) == ["file"]


# Folders ----------------------------------------------------------------------------------------


def fill(folder: Path, text: str) -> None:
    (folder / "deep").mkdir(parents=True, exist_ok=True)
    (folder / "deep" / "a").write_text(text)


def test_a_folder_takes_its_name_only_when_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "target"
    with replace_folder(target) as building:
        fill(building, "new")
        assert not target.exists() and building.parent == target.parent
    assert (target / "deep" / "a").read_text() == "new"
    assert names(target.parent) == ["target"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


def test_the_old_folder_is_replaced_as_a_whole(tmp_path):
    fill(tmp_path / "target", "old")
    (tmp_path / "target" / "stale").write_text("")
    with replace_folder(tmp_path / "target") as building:
        fill(building, "new")
        assert (tmp_path / "target" / "stale").exists()
    assert names(tmp_path / "target") == ["deep"] and names(tmp_path) == ["target"]


def test_a_crash_while_it_is_built_keeps_the_old_and_leaves_nothing(tmp_path):
    fill(tmp_path / "target", "old")
    with pytest.raises(Crash), replace_folder(tmp_path / "target") as building:
        fill(building, "new")
        raise Crash
    assert (tmp_path / "target" / "deep" / "a").read_text() == "old"
    assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("failing_rename", [1, 2])
def test_a_crash_in_the_middle_of_the_exchange_keeps_the_old(tmp_path, monkeypatch, failing_rename):
    fill(tmp_path / "target", "old")
    rename, calls = os.replace, []

    def replace(source, target):
        calls.append(source)
        if len(calls) == failing_rename:
            raise Crash
        rename(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(Crash), replace_folder(tmp_path / "target") as building:
        fill(building, "new")
    assert (tmp_path / "target" / "deep" / "a").read_text() == "old"
    assert names(tmp_path) == ["target"]


def test_the_old_folder_is_never_deleted_where_the_new_one_did_not_take_its_place(
    tmp_path, monkeypatch
):
    fill(tmp_path / "target", "old")
    rename, calls = os.replace, []

    def replace(source, target):
        calls.append(source)
        if len(calls) > 1:
            raise Crash
        rename(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(Crash), replace_folder(tmp_path / "target") as building:
        fill(building, "new")
    (kept,) = tmp_path.rglob("previous/deep/a")
    assert kept.read_text() == "old"


def test_a_file_in_the_place_is_not_replaced(tmp_path):
    (tmp_path / "target").write_text("precious")
    with pytest.raises(UserInputError, match="is a file"), replace_folder(tmp_path / "target"):
        pass
    assert (tmp_path / "target").read_text() == "precious"


def test_a_symbolic_link_is_followed_not_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "target")
    for text in ("first", "second"):
        with replace_folder(tmp_path / "link") as building:
            fill(building, text)
        assert (tmp_path / "disk" / "target" / "deep" / "a").read_text() == text
    assert (tmp_path / "link").is_symlink() and names(tmp_path / "disk") == ["target"]


def test_every_file_is_flushed_to_disk_before_the_folder_takes_its_name(tmp_path, monkeypatch):
    flushed, sync, rename = set(), os.fsync, os.replace
    before: list[set[int]] = []

    def fsync(descriptor):
        flushed.add(os.fstat(descriptor).st_ino)
        sync(descriptor)

    def replace(source, target):
        before.append(set(flushed))
        rename(source, target)

    monkeypatch.setattr(files.os, "fsync", fsync)
    monkeypatch.setattr(files.os, "replace", replace)
    with replace_folder(tmp_path / "target") as building:
        fill(building, "new")
    assert (tmp_path / "target" / "deep" / "a").stat().st_ino in before[0]
