"""Where a supervisor comes from: a folder that holds everything, a hub id, the one that ships."""

import json

import pytest

from saga.errors import UserInputError
from saga.files import file_digests
from saga.supervisors.source import EMBEDDED, resolve_model


def test_missing_files_are_named(tiny_folders, tmp_path):
    assert resolve_model(str(tiny_folders["qwen3_vl"])) == str(tiny_folders["qwen3_vl"])
    (tmp_path / "vocab.json").touch()
    with pytest.raises(UserInputError) as error:
        resolve_model(str(tmp_path))
    first, second = str(error.value).splitlines()
    assert first.startswith(f"supervisor.model: the folder {tmp_path} holds no config.json. Save")
    assert "holds no preprocessor_config.json" in second
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(UserInputError, match="holds no tokenizer"):
        resolve_model(str(tmp_path))


@pytest.mark.parametrize("model", ["./absent", "/absent/model", "absent", "a/b/c", "~/absent"])
def test_what_looks_like_a_folder_must_be_one(model):
    with pytest.raises(UserInputError, match="is not a folder here"):
        resolve_model(model)


def test_a_hub_id_is_left_to_the_hub():
    assert resolve_model("Qwen/Qwen3-VL-8B-Instruct") == "Qwen/Qwen3-VL-8B-Instruct"
    assert resolve_model("embedded") == str(EMBEDDED)


def test_the_embedded_supervisor_is_as_it_was_released():
    listed = json.loads((EMBEDDED / "digests.json").read_text())
    assert file_digests(EMBEDDED, exclude=("digests.json",)) == listed
