import json
import shutil

import numpy as np
import pytest

from saga.encoders.retriever import Retriever
from saga.retrieval.table import EmbeddingTable


@pytest.fixture
def gallery(saga, encoder, photos, tmp_path):
    assert saga("embed", encoder, photos, "--output", tmp_path / "g.parquet").code == 0
    return tmp_path / "g.parquet"


def test_the_nearest_come_first_and_the_query_itself_is_nearest(saga, encoder, photos, gallery):
    said = saga("search", encoder, gallery, photos / "c.png", "-k", 3, "--json")
    assert said.code == 0, said.err
    (found,) = said.facts["queries"]
    retriever = Retriever.load(encoder)
    names = sorted(str(p) for p in photos.rglob("*.*") if p.suffix != ".txt")
    cosines = retriever.encode(names) @ retriever.encode([photos / "c.png"])[0]
    order = np.argsort(-cosines)[:3]
    assert found["query"] == str(photos / "c.png")
    assert [r["path"] for r in found["results"]] == [names[i] for i in order]
    assert found["results"][0]["path"] == str(photos / "c.png")
    for rank, (result, i) in enumerate(zip(found["results"], order), start=1):
        assert result["rank"] == rank
        assert result["similarity"] == pytest.approx(cosines[i], abs=1e-5)
    assert said.facts["gallery"] == 5


def test_a_folder_is_a_gallery_too_with_the_same_answer(saga, encoder, photos, gallery):
    table = saga("search", encoder, gallery, photos, "-k", 2, "--json").facts
    folder = saga("search", encoder, photos, photos, "-k", 2, "--json").facts
    assert table == folder and len(table["queries"]) == 5


def test_more_neighbours_than_there_are_images_are_all_of_them(saga, encoder, photos, gallery):
    said = saga("search", encoder, gallery, photos / "a.png", "-k", 100)
    assert said.code == 0
    assert said.out.splitlines()[0] == str(photos / "a.png")
    assert len(said.out.splitlines()) == 6
    assert said.out.splitlines()[1].split() == ["1", "1.0000", str(photos / "a.png")]


def test_a_gallery_of_another_encoder_is_refused(saga, encoders, photos, gallery):
    said = saga("search", encoders["others"], gallery, photos / "a.png", "--json")
    assert said.code == 2
    assert "was embedded by another encoder" in said.facts["message"]
    assert "Embed the gallery again" in said.facts["message"]


def test_an_altered_encoder_is_refused(saga, encoder, photos, gallery, tmp_path):
    shutil.copytree(encoder, tmp_path / "altered")
    (tmp_path / "altered" / "README.md").write_text("another")
    said = saga("search", tmp_path / "altered", gallery, photos / "a.png")
    assert said.code == 2 and "README.md" in said.err and "altered" in said.err


def test_a_gallery_whose_vectors_have_another_width_is_refused(saga, encoder, photos, tmp_path):
    digest = Retriever.load(encoder).digest
    EmbeddingTable(("x",), np.eye(3, dtype=np.float32)[:1], digest).save(tmp_path / "g.npy")
    said = saga("search", encoder, tmp_path / "g.npy", photos / "a.png")
    assert said.code == 2 and "vectors of 3 numbers, but its encoder makes 6" in said.err


def test_a_gallery_that_is_none_is_refused(saga, encoder, photos, tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really PAR1")
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "bad.json").write_text(json.dumps({"paths": []}))
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("bad.parquet", "is not a file of embeddings"),
        ("bad.npy", "is not a file of embeddings"),
        ("absent", "no such file or folder"),
        ("photos/a.png", "ends in .parquet or .npy"),
        ("empty", "No images in"),
    ):
        said = saga("search", encoder, tmp_path / name, photos / "a.png")
        assert said.code == 2 and message in said.err


def test_a_query_that_is_no_image_is_named(saga, encoder, photos, gallery):
    said = saga("search", encoder, gallery, photos / "notes.txt")
    assert said.code == 2 and f"{photos}/notes.txt: not an image" in said.err
    assert saga("search", encoder, gallery, photos / "none.png").code == 2
