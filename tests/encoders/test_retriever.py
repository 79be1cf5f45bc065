"""The deployable encoder: what is saved is what was trained, and nothing else is read."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from saga.data.images import ImageError
from saga.encoders.configuration import PoolerConfig
from saga.encoders.poolers import build_pooler
from saga.encoders.retriever import Retriever
from saga.errors import UserInputError
from saga.files import file_digests
from saga.supervisors.checkpoint import load_checkpoint
from saga.supervisors.configuration import SupervisorConfig
from tests.encoders.test_preprocess import photo

PROVENANCE = {"arm": "saga", "config": "c" * 64, "seed": 3}
FILES = ["weights.safetensors", "retriever.json", "provenance.json", "README.md"]


def made_retriever(checkpoint, kind="attention", embedding_dim=12):
    """A pooler that looks somewhere, on the checkpoint's tower."""
    pooler = build_pooler(PoolerConfig(kind, embedding_dim, seed=5), checkpoint.tower.width)
    with torch.no_grad():
        for parameter in pooler.parameters():
            parameter.normal_(0, 0.5, generator=torch.Generator().manual_seed(1))
    return Retriever(checkpoint.tower, pooler, checkpoint.preprocessor, PROVENANCE)


@pytest.fixture
def retriever(checkpoint):
    return made_retriever(checkpoint)


@pytest.fixture
def saved(retriever, tmp_path):
    retriever.save(tmp_path / "encoder", {"recall_at_1": 0.5})
    return tmp_path / "encoder"


@pytest.fixture
def photos():
    return [photo(70 + 9 * i, 90 - 5 * i, seed=i) for i in range(5)]


# Saving and loading ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mean", "max", "attention"])
@pytest.mark.parametrize("embedding_dim", [None, 12])
def test_a_saved_encoder_loads_with_the_same_bits(
    checkpoint, kind, embedding_dim, tmp_path, photos
):
    retriever = made_retriever(checkpoint, kind, embedding_dim)
    retriever.save(tmp_path / "encoder")
    loaded = Retriever.load(tmp_path / "encoder")
    assert loaded.state_dict().keys() == retriever.state_dict().keys()
    for name, value in retriever.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert np.array_equal(loaded.encode(photos), retriever.encode(photos))
    assert loaded.digest == retriever.digest
    assert loaded.preprocessor == checkpoint.preprocessor
    assert loaded.provenance == PROVENANCE and not loaded.training


def test_saving_twice_gives_the_same_files_and_replaces_the_folder(retriever, saved, tmp_path):
    (saved / "stray.txt").write_text("left from something else")
    retriever.save(saved, {"recall_at_1": 0.5})
    retriever.save(tmp_path / "twin", {"recall_at_1": 0.5})
    assert file_digests(saved) == file_digests(tmp_path / "twin")
    assert sorted(p.name for p in saved.iterdir()) == sorted([*FILES, "digests.json"])


def test_the_digest_follows_weights_settings_and_provenance_but_not_the_card(
    checkpoint, retriever, tmp_path
):
    digest = retriever.digest
    retriever.save(tmp_path / "encoder", {"recall_at_1": 0.9})
    assert Retriever.load(tmp_path / "encoder").digest == digest
    assert made_retriever(checkpoint).digest == digest
    retriever.provenance["seed"] = 4
    assert retriever.digest != digest
    retriever.provenance["seed"] = 3
    with torch.no_grad():
        retriever.pooler.query_QD[0, 0] += 1e-6
    assert retriever.digest != digest


def test_nothing_of_the_language_model_is_saved(checkpoint, saved):
    names = load_file(saved / "weights.safetensors").keys()
    assert all(name.startswith(("tower.vision.", "tower.projector.", "pooler.")) for name in names)
    assert not any("language_model" in n or "lm_head" in n or "embed_tokens" in n for n in names)
    kept = sum(p.numel() for p in checkpoint.tower.parameters()) + 32 * 32 + 32 + 12 * 32
    size = (saved / "weights.safetensors").stat().st_size
    assert size == pytest.approx(4 * kept, rel=0.15)
    text = (saved / "retriever.json").read_text()
    assert not re.search("text_config|vocab|num_hidden_layers_text|tokenizer", text)


def test_the_model_card_says_how_to_use_it_where_it_is_from_and_how_good_it_is(saved):
    card = (saved / "README.md").read_text()
    for part in ("attention pooler", "12 values", "64×64", "- arm: saga", "- recall_at_1: 0.5"):
        assert part in card
    assert "Retriever.load" in card


# Hostile folders ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def template(tiny_folders, tmp_path_factory):
    """A saved encoder of one family, to be copied and spoiled."""
    config = SupervisorConfig(str(tiny_folders["internvl"]), image_size=64, device="cpu")
    path = tmp_path_factory.mktemp("template") / "encoder"
    made_retriever(load_checkpoint(config)).save(path)
    return path


@pytest.fixture
def folder(template, tmp_path):
    return Path(shutil.copytree(template, tmp_path / "encoder"))


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_refused_and_its_file_named(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(UserInputError, match=f"altered: {re.escape(name)} do not match"):
        Retriever.load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_removed_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserInputError, match=f"altered: {re.escape(name)} do not match"):
        Retriever.load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_neither_there_nor_listed_is_missed(folder, name):
    (folder / name).unlink()
    relist(folder)
    with pytest.raises(UserInputError, match=f"altered: {re.escape(name)} do not match"):
        Retriever.load(folder)


def test_an_added_file_is_refused(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "code.py").write_text("print()")
    with pytest.raises(UserInputError, match=r"altered: sub/code\.py do not match"):
        Retriever.load(folder)


@pytest.mark.parametrize("name", [*FILES, "digests.json", "extra"])
def test_a_symbolic_link_is_refused(folder, tmp_path, name):
    aside = tmp_path / "aside"
    if (folder / name).exists():
        (folder / name).rename(aside)
    else:
        aside.write_text("")
    (folder / name).symlink_to(aside)
    with pytest.raises(UserInputError, match="symbolic link"):
        Retriever.load(folder)


@pytest.mark.parametrize("listing", ["", "{", "[]", "null", '{"a": 1}', "[" * 100_000])
def test_a_damaged_listing_is_refused(folder, listing):
    (folder / "digests.json").write_text(listing)
    with pytest.raises(UserInputError, match="altered"):
        Retriever.load(folder)


def test_a_folder_without_digests_is_no_encoder(tmp_path):
    with pytest.raises(UserInputError, match="not an encoder folder: it has no digests.json"):
        Retriever.load(tmp_path)
    with pytest.raises(UserInputError, match="not an encoder folder"):
        Retriever.load(tmp_path / "nowhere")


def relist(folder):
    """Make the digests match again, as an attacker would."""
    digests = file_digests(folder, exclude=("digests.json",))
    (folder / "digests.json").write_text(json.dumps(digests))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "[" * 100_000,
        '{"format": 2}',
        '{"format": 1, "family": "resnet"}',
        '{"format": 1, "family": ["qwen3_vl"]}',
    ],
)
def test_a_consistent_folder_with_a_senseless_description_is_refused(folder, text):
    (folder / "retriever.json").write_text(text)
    relist(folder)
    with pytest.raises(UserInputError):
        Retriever.load(folder)


@pytest.mark.parametrize(
    "path, value",
    [
        (("tower",), None),
        (("tower",), {"vision": {}}),
        (("tower", "vision"), {"num_hidden_layers": "many"}),
        (("tower", "vision", "hidden_size"), 31),
        (("tower", "vision", "num_attention_heads"), 0),
        (("tower", "downsample_ratio"), 0),
        (("pooler", "kind"), "median"),
        (("pooler", "queries"), 6),
        (("pooler", "embedding_dim"), 13),
        (("pooler",), []),
        (("preprocessing", "size"), 65),
        (("preprocessing", "size"), 0),
        (("preprocessing", "std"), [0, 0, 0]),
        (("preprocessing", "mean"), ["a", "b", "c"]),
        (("preprocessing", "resample"), 3),
        (("preprocessing",), "none"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder, path, value):
    description = json.loads((folder / "retriever.json").read_text())
    section = description
    for name in path[:-1]:
        section = section[name]
    section[path[-1]] = value
    (folder / "retriever.json").write_text(json.dumps(description))
    relist(folder)
    with pytest.raises(UserInputError):
        Retriever.load(folder)


def test_weights_that_are_damaged_not_finite_or_of_another_model_are_refused(folder):
    weights = load_file(folder / "weights.safetensors")
    for change, message in (
        ({"pooler.query_QD": torch.full((1, 32), float("nan"))}, "not finite"),
        ({"pooler.query_QD": torch.zeros(2, 32)}, "cannot|can read"),
        ({"model.embed_tokens.weight": torch.zeros(2)}, "can read"),
    ):
        save_file(weights | change, folder / "weights.safetensors")
        relist(folder)
        with pytest.raises(UserInputError, match=message):
            Retriever.load(folder)
    (folder / "weights.safetensors").write_bytes(b"\x80\x04not tensors")
    relist(folder)
    with pytest.raises(UserInputError, match="can read"):
        Retriever.load(folder)


# Encoding ----------------------------------------------------------------------------------------


def test_vectors_are_float32_of_unit_length_in_the_order_given(retriever, photos):
    vectors = retriever.encode(photos)
    assert vectors.dtype == np.float32 and vectors.shape == (5, retriever.embedding_dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(retriever.encode(photos[::-1])[::-1], vectors, atol=1e-6)
    assert np.abs(vectors[:1] - vectors[1:]).max(1).min() > 1e-3
    assert retriever.encode([]).shape == (0, 12)


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_the_batch_size_does_not_matter_and_progress_reaches_the_end(retriever, photos, batch_size):
    told = []
    vectors = retriever.encode(photos, batch_size, lambda *done: told.append(done))
    np.testing.assert_allclose(vectors, retriever.encode(photos), atol=1e-6)
    assert told[-1] == (5, 5) and len(told) == -(-5 // batch_size)


def test_array_picture_and_path_agree(retriever, photos, tmp_path):
    paths = []
    for i, image in enumerate(photos):
        paths.append(tmp_path / f"{i}.png")
        image.save(paths[-1])
    vectors = retriever.encode(photos)
    assert np.array_equal(retriever.encode([np.asarray(image) for image in photos]), vectors)
    assert np.array_equal(retriever.encode(paths), vectors)
    assert np.array_equal(retriever.encode([str(p) for p in paths]), vectors)


def test_encoding_equals_tower_and_pooler_by_hand(retriever, photos):
    with torch.no_grad():
        pixels = retriever.preprocessor(photos)
        expected = retriever.pooler(retriever.tower(pixels).tokens_BND).embedding_BE
    np.testing.assert_allclose(retriever.encode(photos), expected.numpy(), atol=1e-6)


def test_files_go_through_the_guarded_loader(retriever, tmp_path):
    (tmp_path / "fake.png").write_text("no image")
    with pytest.raises(ImageError, match=r"fake\.png"):
        retriever.encode([tmp_path / "fake.png"])
    with pytest.raises(ImageError, match="no such file"):
        retriever.encode([tmp_path / "absent.png"])


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)]
)
def test_an_array_that_is_no_rgb_picture_is_refused(retriever, array):
    with pytest.raises(ValueError, match=r"uint8 \(H, W, 3\)"):
        retriever.encode([array])


def test_a_grey_or_transparent_picture_is_accepted(retriever):
    for mode in ("L", "RGBA", "P"):
        assert retriever.encode([Image.new(mode, (30, 30))]).shape == (1, 12)


def test_attention_is_a_distribution_over_the_grid_that_encoding_uses(
    checkpoint, retriever, photos
):
    weights = retriever.attention(photos)
    assert weights.shape == (5, 1, 4, 4)
    np.testing.assert_allclose(weights.sum((2, 3)), 1, atol=1e-5)
    with torch.no_grad():
        tokens = retriever.tower(retriever.preprocessor(photos)).tokens_BND.numpy()
    pooled = (weights.reshape(5, 16, 1) * tokens).sum(1) @ retriever.pooler.output_ED.numpy(
        force=True
    ).T
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(retriever.encode(photos), pooled, atol=1e-5)
    assert made_retriever(checkpoint, "mean").attention(photos) is None
