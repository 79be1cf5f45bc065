import os
import shutil

import numpy as np
import pytest
from PIL import Image

from saga.encoders.retriever import Retriever
from saga.retrieval.table import EmbeddingTable


@pytest.mark.parametrize("name", ["out.parquet", "new/out.npy"])
def test_the_file_holds_what_the_library_computes(saga, encoder, photos, tmp_path, name):
    said = saga("embed", encoder, photos, "--output", tmp_path / name, "--device", "cpu", "--json")
    assert said.code == 0, said.err
    names = ["a.png", "b.jpg", "c.png", "deeper/d.png", "e.bmp"]
    retriever = Retriever.load(encoder)
    table = EmbeddingTable.load(tmp_path / name)
    assert table.paths == tuple(str(photos / n) for n in names)
    expected = retriever.encode([photos / n for n in names])
    np.testing.assert_allclose(table.vectors, expected, atol=1e-6)
    assert table.encoder_digest == retriever.digest == said.facts["encoder_digest"]
    assert (said.facts["images"], said.facts["embedding_dim"]) == (5, 6)
    assert said.facts["output"][0] == str(tmp_path / name)


def test_the_batch_size_does_not_matter(saga, encoder, photos, tmp_path):
    for size in (1, 3):
        output = tmp_path / f"{size}.npy"
        assert saga("embed", encoder, photos, "--output", output, "--batch-size", size).code == 0
    one, three = (np.load(tmp_path / f"{size}.npy") for size in (1, 3))
    np.testing.assert_allclose(one, three, atol=1e-6)


def test_people_are_told_where_it_is_and_how_far_it_was(saga, encoder, photos, tmp_path):
    said = saga("embed", encoder, photos / "a.png", "--output", tmp_path / "o.parquet")
    assert said.out == f"1 vectors of 6 numbers in {tmp_path}/o.parquet\n"
    assert "embed: 1 of 1" in said.err


@pytest.mark.parametrize("file", ["weights.safetensors", "retriever.json", "provenance.json"])
def test_an_altered_encoder_is_refused(saga, encoder, photos, tmp_path, file):
    shutil.copytree(encoder, tmp_path / "altered")
    data = bytearray((tmp_path / "altered" / file).read_bytes())
    data[-2] ^= 1
    (tmp_path / "altered" / file).write_bytes(bytes(data))
    said = saga("embed", tmp_path / "altered", photos, "--output", tmp_path / "o.npy", "--json")
    assert said.code == 2 and said.facts["status"] == "error"
    assert "altered" in said.facts["message"] and file in said.facts["message"]
    assert not (tmp_path / "o.npy").exists()


def test_every_image_that_cannot_be_read_is_named_before_the_work(saga, encoder, photos, tmp_path):
    (photos / "empty.png").write_bytes(b"")
    (photos / "text.jpg").write_text("<script>")
    Image.new("RGB", (8, 8)).save(photos / "small.gif.png", format="GIF")
    whole = (photos / "a.png").read_bytes()
    (photos / "huge.png").write_bytes(whole[:16] + b"\x7f\xff\xff\xff" * 2 + whole[24:])
    said = saga("embed", encoder, photos, "--output", tmp_path / "o.npy")
    assert said.code == 2 and said.out == ""
    for name in ("empty.png", "text.jpg", "small.gif.png", "huge.png"):
        assert f"{photos}/{name}: " in said.err
    assert not (tmp_path / "o.npy").exists()


def test_an_image_that_only_turns_out_to_be_damaged_leaves_no_file(saga, encoder, photos, tmp_path):
    whole = (photos / "a.png").read_bytes()
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])
    said = saga("embed", encoder, photos, "--output", tmp_path / "o.npy")
    assert said.code == 2 and f"{photos}/cut.png: truncated or damaged" in said.err
    assert not (tmp_path / "o.npy").exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("o.csv", "a file of embeddings ends in .parquet or .npy"),
        ("photos/a.png/o.npy", "cannot be made"),
        ("taken.npy", "taken.json, which exists already"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    saga, encoder, photos, tmp_path, output, message
):
    (tmp_path / "taken.json").write_text("precious")
    before = sorted(os.walk(tmp_path))
    said = saga("embed", encoder, photos, "--output", tmp_path / output)
    assert said.code == 2 and message in said.err
    assert sorted(os.walk(tmp_path)) == before


def test_what_is_no_encoder_is_refused_with_what_may_be_given(saga, photos, tmp_path):
    for name in ("absent", photos, f"{tmp_path}/birds:3"):
        said = saga("embed", name, photos, "--output", tmp_path / "o.npy")
        assert said.code == 2 and ("model:version" in said.err or "encoder folder" in said.err)


def test_a_gpu_that_is_not_there_is_told(saga, encoder, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    said = saga("embed", encoder, photos, "--output", tmp_path / "o.npy", "--device", "cuda")
    assert said.code == 2 and "no GPU" in said.err
