from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saga.encoders.retriever import Retriever
from saga.retrieval.report import RetrievalReport
from tests.retrieval.made import naive_metrics

CONFIG = """
name: judged
model: judged
dataset: {layout: folders, root: ROOT, name: dots}
supervisor: {prompt: synthetic_birds}
training: {steps: 1, classes_per_batch: 2, images_per_class: 2, pairs_per_round: 2}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two classes to train, three to test, three images each."""
    rng = np.random.default_rng(0)
    for split, names in (("train", "ab"), ("test", "cde")):
        for name in names:
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(3):
                pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{name}{i}.png")
    (tmp_path / "run.yaml").write_text(CONFIG.replace("ROOT", str(tmp_path / "data")))
    return tmp_path / "run.yaml"


@pytest.mark.parametrize(("split", "classes"), [("test", "cde"), ("train", "ab")])
def test_the_figures_are_those_of_a_naive_search(saga, encoder, config, tmp_path, split, classes):
    said = saga(
        "evaluate", encoder, config, "--split", split, "--output", tmp_path / "out", "--json"
    )
    assert said.code == 0, said.err
    files = [tmp_path / "data" / split / c / f"{c}{i}.png" for c in classes for i in range(3)]
    vectors = Retriever.load(encoder).encode(files)
    labels = [i for i in range(len(classes)) for _ in range(3)]
    for metric, value in naive_metrics(vectors, labels, [1, 2, 4, 8]).items():
        assert said.facts["metrics"][metric] == pytest.approx(value), metric
    assert said.facts["dataset"]["images"] == len(files)
    assert said.facts["encoder"] == {"name": str(encoder), "digest": Retriever.load(encoder).digest}
    report = RetrievalReport.load(tmp_path / "out")
    assert report.metrics == said.facts["metrics"] and len(report.per_query) == len(files)


def test_people_are_told_the_figures_and_without_output_nothing_is_written(saga, encoder, config):
    before = sorted(config.parent.rglob("*"))
    said = saga("evaluate", encoder, config)
    assert said.code == 0 and "recall_at_1" in said.out and "dots, test: 9 images" in said.out
    assert sorted(config.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "validation"], "has no images in the split validation"),
        (["--set", "training.stepz=3"], "training.stepz is not a setting"),
        (["--set", "dataset.root=absent"], "dataset.root: absent does not exist"),
        (["--set", "evaluation.ks=[1]"], "evaluation.ks must be ascending"),
        (["--output", "."], "is the folder you are in"),
    ],
)
def test_what_cannot_be_judged_is_refused(saga, encoder, config, options, message):
    said = saga("evaluate", encoder, config, *options)
    assert said.code == 2 and message in said.err


def test_an_output_folder_that_holds_something_is_kept(saga, encoder, config, tmp_path):
    said = saga("evaluate", encoder, config, "--output", tmp_path / "data")
    assert said.code == 2 and "exists already and is not empty" in said.err
