import argparse
import json

import numpy as np
import pytest

from benchmarks import retrieval
from benchmarks.retrieval import CONTENDERS, OURS, PML, PRODUCT, Size, made_embeddings


@pytest.fixture
def here(monkeypatch):
    """Without a process for each run, which would take most of the time."""
    monkeypatch.setattr(retrieval, "_in_a_fresh_process", lambda function, *given: function(*given))


def test_the_embeddings_are_unit_vectors_in_classes_that_can_be_mistaken():
    embeddings, labels = made_embeddings(Size(600, 64))
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert np.bincount(labels).tolist() == [60] * 10
    found = retrieval.by_saga(embeddings, labels)
    assert 0.3 < found["recall_at_1"] < found["recall_at_8"] < 1


def test_the_report_holds_each_contender_and_the_same_results(here, tmp_path, capsys):
    path = tmp_path / "retrieval.json"
    retrieval.main(["--sizes", "400x32,300x16", "--rounds", "2", "--json", str(path)])
    report = json.loads(path.read_text())
    assert report == json.loads(capsys.readouterr().out)
    assert report["environment"]["threads"] >= 1
    assert [case["size"] for case in report["cases"]] == ["400x32", "300x16"]
    for case in report["cases"]:
        assert set(case["seconds"]) == set(case["peak_memory_bytes"]) == set(CONTENDERS)
        assert {name: len(runs) for name, runs in case["runs"].items()} == {
            name: 1 if name == PML else 2 for name in CONTENDERS
        }
        assert case["seconds"] == {name: min(runs) for name, runs in case["runs"].items()}
        assert case["queries_right_more_than_theirs"] == 0
        assert case["nmi_more_than_theirs"] == pytest.approx(0, abs=1e-9)
        ours, whole = case["results"][OURS], case["results"]["saga_report"]
        assert ours == {name: whole[name] for name in ours}
        for name in (PML, PRODUCT):
            expected = case["seconds"][name] / case["seconds"][OURS]
            assert case["ratios"][f"vs_{name}"] == expected
    for name in (f"vs_{PML}", f"vs_{PRODUCT}"):
        assert report["ratios"][name] == min(case["ratios"][name] for case in report["cases"])
        assert report["cpu_ratios"][name] == min(c["cpu_ratios"][name] for c in report["cases"])


@pytest.mark.parametrize("text", ["6000", "6000xwide", "x", "10x16"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a size.*6000x4096"):
        Size.parse(text)
