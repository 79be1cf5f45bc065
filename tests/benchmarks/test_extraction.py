import json

import numpy as np
import pytest

from benchmarks import extraction
from saga.data.configuration import ImageLimits
from saga.data.images import read_header
from saga.retrieval.extract import extract_embeddings


@pytest.fixture
def photos(tmp_path):
    return extraction.made_photos(tmp_path, 8, (64, 48))


def test_the_pictures_are_different_jpeg_files(photos):
    headers = [read_header(photos.image_path(p), ImageLimits()) for p in photos.frame["path"]]
    assert {(h.format, h.width, h.height) for h in headers} == {("JPEG", 64, 48)}
    assert photos.frame["sha256"].nunique() == len(photos.frame) == 8


def test_the_bare_tower_and_extraction_embed_the_same_pixels(photos, monkeypatch):
    shape = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2}
    shape |= {"out_hidden_size": 16, "deepstack_visual_indexes": [0]}
    monkeypatch.setitem(extraction.SHAPES, "tiny", shape)
    retriever = extraction.made_retriever("tiny", "cpu")
    pooled = [
        retriever.pooler(retriever.tower(pixels).tokens_BND).embedding_BE.detach()
        for pixels in extraction._ready(retriever, photos, 3)
    ]
    assert [len(batch) for batch in pooled] == [3, 3, 2]
    found = extract_embeddings(retriever, photos, photos.frame, 3)
    np.testing.assert_array_equal(found, np.concatenate(pooled))


def test_the_report_holds_the_ratio_of_each_tower_and_what_it_follows_from(tmp_path, capsys):
    path = tmp_path / "extraction.json"
    arguments = ["--images", "8", "--batch-size", "2", "--rounds", "1"]
    arguments += ["--towers", "embedded", "stand-in"]
    extraction.main([*arguments, "--width", "64", "--height", "48", "--json", str(path)])
    report = json.loads(path.read_text())
    assert report == json.loads(capsys.readouterr().out)
    assert report["ratios"] == {n: f["ratio"] for n, f in report["towers"].items()}
    assert list(report["ratios"]) == ["embedded", "stand-in"]
    assert report["towers"]["stand-in"]["bare_ms"] >= 1e3 * extraction.WAIT_SECONDS
    figures = report["towers"]["embedded"]
    for name in ("bare", "ours", "alone", "prepare"):
        (seconds,) = figures["seconds"][name]
        assert figures[f"{name}_ms"] == pytest.approx(1e3 * seconds / 8, abs=0.001)
    expected = figures["seconds"]["bare"][0] / figures["seconds"]["ours"][0]
    assert figures["ratio"] == pytest.approx(expected, rel=0.001)
