import shutil
from pathlib import Path

import numpy as np
import pytest

from saga.encoders.retriever import Retriever


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize("target", ["out", "deep/er/out", "empty"])
def test_an_encoder_folder_is_copied_byte_by_byte(saga, encoder, photos, tmp_path, target):
    (tmp_path / "empty").mkdir()
    said = saga("export", encoder, tmp_path / target, "--json")
    assert said.code == 0, said.err
    assert contents(tmp_path / target) == contents(encoder)
    assert said.facts["files"] == sorted(contents(encoder))
    exported, original = Retriever.load(tmp_path / target), Retriever.load(encoder)
    assert exported.digest == original.digest == said.facts["encoder_digest"]
    images = [photos / "a.png", photos / "b.jpg"]
    np.testing.assert_array_equal(exported.encode(images), original.encode(images))


def test_no_language_model_and_nothing_executable_is_in_it(saga, encoder, tmp_path):
    assert saga("export", encoder, tmp_path / "out").code == 0
    assert {p.suffix for p in (tmp_path / "out").iterdir()} <= {".safetensors", ".json", ".md"}
    names = Retriever.load(tmp_path / "out").state_dict()
    assert names and all(name.startswith(("tower.", "pooler.")) for name in names)


def test_people_are_told_how_to_use_it(saga, encoder, tmp_path):
    said = saga("export", encoder, tmp_path / "out")
    assert f"saga embed {tmp_path}/out IMAGES" in said.out and "Retriever.load(" in said.out


def test_nothing_is_written_over_what_is_there(saga, encoder, photos, tmp_path, monkeypatch):
    before = contents(tmp_path)
    for target, message in (
        (photos, "exists already and is not empty"),
        (photos / "a.png", "exists already and is not empty"),
        (photos / "a.png" / "out", "cannot be made"),
        (encoder / "inside", "lies in the encoder"),
        (encoder, "exists already and is not empty"),
    ):
        said = saga("export", encoder, target)
        assert said.code == 2 and message in said.err
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert "is the folder you are in" in saga("export", encoder, ".").err
    assert contents(tmp_path) == before
    Retriever.load(encoder)


def test_an_altered_encoder_is_not_passed_on(saga, encoder, tmp_path):
    shutil.copytree(encoder, tmp_path / "altered")
    (tmp_path / "altered" / "extra.bin").write_bytes(b"x")
    said = saga("export", tmp_path / "altered", tmp_path / "out")
    assert said.code == 2 and "extra.bin" in said.err
    assert not (tmp_path / "out").exists()


def test_an_encoder_with_a_symbolic_link_is_not_passed_on(saga, encoder, tmp_path):
    shutil.copytree(encoder, tmp_path / "linked")
    (tmp_path / "linked" / "README.md").unlink()
    (tmp_path / "linked" / "README.md").symlink_to("/etc/hostname")
    said = saga("export", tmp_path / "linked", tmp_path / "out")
    assert said.code == 2 and "symbolic link" in said.err
    assert not (tmp_path / "out").exists()
