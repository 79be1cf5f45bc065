"""Loading a supervisor: the same path for every size, and what is said when it cannot be loaded."""

import json
import shutil

import pytest
import torch

from saga.errors import UserInputError
from saga.files import file_digests, write_json
from saga.supervisors.checkpoint import attention_layer, choose_device, load_checkpoint
from saga.supervisors.configuration import SupervisorConfig
from saga.supervisors.source import supervisor_digest
from tests.checkpoints import write_tiny_qwen3_vl


@pytest.fixture
def folder(tiny_folders, tmp_path):
    """A checkpoint to be spoiled."""
    shutil.copytree(tiny_folders["qwen3_vl"], tmp_path / "model")
    return tmp_path / "model"


def loaded(folder, **settings):
    return load_checkpoint(SupervisorConfig(str(folder), image_size=64, device="cpu", **settings))


# What is loaded ----------------------------------------------------------------------------------


def test_the_tower_is_trainable_in_float32_and_the_rest_frozen(checkpoint):
    assert all(p.requires_grad and p.dtype == torch.float32 for p in checkpoint.tower.parameters())
    language = [*checkpoint.backbone.language.parameters()]
    assert language and not any(p.requires_grad for p in language)
    assert not any(p.requires_grad for p in checkpoint.backbone.model.lm_head.parameters())
    assert not checkpoint.backbone.language.training


def test_the_language_model_takes_the_configured_type_and_the_tower_does_not(folder):
    made = loaded(folder, dtype="bfloat16")
    assert {p.dtype for p in made.backbone.language.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in made.tower.parameters()} == {torch.float32}


def test_all_ways_to_end_a_completion_are_known(checkpoint):
    tokenizer = checkpoint.backbone.tokenizer
    ids = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert checkpoint.backbone.end_token_ids == tuple(sorted(ids))


def test_loading_twice_gives_the_same_bits_and_digest(folder):
    a, b = loaded(folder), loaded(folder)
    assert a.digest == b.digest == supervisor_digest(SupervisorConfig(str(folder)))
    for name, value in a.tower.state_dict().items():
        assert torch.equal(value, b.tower.state_dict()[name])


def test_another_seed_is_another_supervisor(folder, tmp_path):
    write_tiny_qwen3_vl(tmp_path / "other", seed=1)
    assert loaded(folder).digest != loaded(tmp_path / "other").digest


# Which layer teaches -----------------------------------------------------------------------------


@pytest.mark.parametrize("depth, layer", [(36, 26), (28, 20), (3, 2), (1, 0)])
def test_without_a_name_the_layer_is_at_the_papers_depth(depth, layer):
    assert attention_layer(SupervisorConfig(), depth) == layer


def test_a_named_layer_is_taken_and_one_beyond_the_depth_refused(folder):
    assert attention_layer(SupervisorConfig(attention_layer=26), 36) == 26
    with pytest.raises(UserInputError, match=r"has 3 decoder layers\. Allowed: 0 to 2"):
        loaded(folder, attention_layer=3)


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, what",
    [
        ("config.json", "config.json"),
        ("tokenizer.json", "tokenizer"),
        ("preprocessor_config.json", "preprocessor_config.json"),
    ],
)
def test_a_missing_file_is_named(folder, name, what):
    (folder / name).unlink()
    with pytest.raises(UserInputError, match=f"holds no {what}"):
        loaded(folder)


def test_missing_weights_are_told(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserInputError, match="cannot load"):
        loaded(folder)


def test_damaged_weights_are_told(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserInputError, match="cannot load"):
        loaded(folder)


def test_weights_that_execute_code_are_not_read(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"weight": torch.zeros(1)}, folder / "pytorch_model.bin")
    with pytest.raises(UserInputError, match="cannot load"):
        loaded(folder)


def test_weights_that_lack_a_tensor_are_told(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.language_model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserInputError, match=r"layers\.1\.mlp\.up_proj"):
        loaded(folder)


def test_a_damaged_configuration_is_told(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(UserInputError, match="cannot load"):
        loaded(folder)


def test_another_family_is_told_which_are_supported(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"model_type": "llava"} | {"x": 1}))
    assert config["model_type"] == "qwen3_vl"
    with pytest.raises(UserInputError, match="family 'llava'; supported are internvl, qwen3_vl"):
        loaded(folder)


def test_a_tokenizer_without_a_chat_template_is_refused(folder):
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(UserInputError, match="no chat template"):
        loaded(folder)


def test_a_chat_template_that_places_no_images_is_refused(folder):
    (folder / "chat_template.jinja").write_text("{{ messages[0]['role'] }}")
    backbone = loaded(folder).backbone
    with pytest.raises(UserInputError, match="places 0 images"):
        backbone.prefix("Compare.", (4, 4))


def test_image_tokens_in_the_prompt_are_refused(checkpoint):
    token = checkpoint.backbone.tokenizer.convert_ids_to_tokens(checkpoint.backbone.image_token_id)
    with pytest.raises(UserInputError, match="places 3 images"):
        checkpoint.backbone.prefix(f"Compare {token}.", (4, 4))


def test_a_folder_that_lists_digests_must_match_them(folder):
    write_json(folder / "digests.json", file_digests(folder))
    assert loaded(folder).digest
    (folder / "README.md").write_text("added")
    config = folder / "generation_config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(
        UserInputError, match=r"altered: README\.md, generation_config\.json do not match"
    ):
        loaded(folder)


def test_a_gpu_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(UserInputError, match="torch sees no GPU"):
        choose_device("cuda")
