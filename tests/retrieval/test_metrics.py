import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

from saga.errors import UserInputError
from saga.retrieval.metrics import RetrievalConfig, evaluate_embeddings
from saga.retrieval.nmi import CLUSTERER, normalized_mutual_information
from saga.retrieval.slices import with_attribute_slices
from tests.retrieval.made import (
    made_embeddings,
    made_frame,
    made_report,
    naive_metrics,
    naive_ranking,
)

SIZES = [2, 3, 5, 8, 13, 21]
NAMES = {"name": "saga", "encoder_digest": "e", "dataset_digest": "d"}


def evaluate(embeddings, frame, **config):
    return evaluate_embeddings(embeddings, frame, RetrievalConfig(**config), **NAMES)


@pytest.mark.parametrize("noise", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("sizes", [SIZES, [6] * 10, [2, 2]])
def test_figures_are_those_of_pytorch_metric_learning(noise, sizes):
    frame = made_frame(sizes)
    embeddings = made_embeddings(frame, noise)
    report = evaluate(embeddings, frame, nmi_seed=1234)  # the seed that FAISS takes by default
    calculator = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r", "NMI"),
        k=len(frame) - 1,
        device=torch.device("cpu"),
    )
    theirs = calculator.get_accuracy(embeddings, frame["class_id"].to_numpy())
    assert report.metrics["recall_at_1"] == pytest.approx(theirs["precision_at_1"], abs=1e-12)
    expected = theirs["mean_average_precision_at_r"]
    assert report.metrics["map_at_r"] == pytest.approx(expected, abs=1e-12)
    assert report.metrics["nmi"] == pytest.approx(theirs["NMI"], abs=1e-9)


@pytest.mark.parametrize("backend", ["torch", "faiss"])
@pytest.mark.parametrize("chunk", [1, 17, 1024])
def test_figures_are_those_of_loops_over_every_query(backend, chunk):
    frame = made_frame(SIZES)
    embeddings = made_embeddings(frame, 0.5)
    report = evaluate(embeddings, frame, backend=backend, chunk=chunk, ks=(1, 2, 3, 4, 8, 20))
    expected = naive_metrics(embeddings, frame["class_id"].tolist(), [1, 2, 3, 4, 8, 20])
    assert expected["recall_at_1"] < expected["recall_at_20"] < 1
    for metric, value in expected.items():
        assert report.metrics[metric] == pytest.approx(value, abs=1e-12), metric


def test_recall_is_that_of_faiss_neighbours():
    faiss = pytest.importorskip("faiss")
    frame = made_frame([7] * 12)
    embeddings = made_embeddings(frame, 0.6)
    index = faiss.IndexFlatIP(embeddings.shape[1])
    index.add(embeddings)
    found = index.search(embeddings, 9)[1][:, 1:]
    labels = frame["class_id"].to_numpy()
    right = labels[found] == labels[:, None]
    report = evaluate(embeddings, frame)
    for K in (1, 2, 4, 8):
        assert report.metrics[f"recall_at_{K}"] == pytest.approx(right[:, :K].any(1).mean())


def test_every_query_keeps_its_hits_first_hit_and_nearest_images():
    frame = made_frame(SIZES)
    embeddings = made_embeddings(frame, 0.5)
    report = evaluate(embeddings, frame, neighbours_kept=5)
    labels, ids = frame["class_id"].tolist(), frame["image_id"].tolist()
    for query, row in report.per_query.iterrows():
        ranking = naive_ranking(embeddings, query)
        right = [labels[i] == labels[query] for i in ranking[:8]]
        assert row["image_id"] == ids[query]
        assert [row[f"hit_at_{K}"] for K in (1, 2, 4, 8)] == [any(right[:K]) for K in (1, 2, 4, 8)]
        assert (
            row["first_hit"] is pd.NA if not any(right) else row["first_hit"] - 1 == right.index(1)
        )
        assert list(row["neighbours"]) == [ids[i] for i in ranking[:5]]
        cosines = [embeddings[query] @ embeddings[i] for i in ranking[:5]]
        np.testing.assert_allclose(row["similarities"], cosines, atol=1e-6)
    assert report.per_query["first_hit"].isna().any()


def test_the_class_table_holds_the_means_of_its_queries_worst_first():
    report = made_report(SIZES, 0.6)
    table = report.per_class
    assert table["queries"].sum() == len(report.per_query) and len(table) == len(SIZES)
    assert table["recall_at_1"].is_monotonic_increasing
    weighted = (table["map_at_r"] * table["queries"]).sum() / table["queries"].sum()
    assert weighted == pytest.approx(report.metrics["map_at_r"])


def test_slices_are_the_named_and_the_categorical_columns():
    frame = made_frame([6] * 5)
    frame["weather"] = pd.Categorical(np.where(np.arange(30) % 3 == 0, "haze", "clear"))
    frame["camera"] = [None if i < 10 else i % 2 for i in range(30)]
    frame["path"] = "not a slice"
    report = evaluate(made_embeddings(frame, 0.6), frame, slices=("camera",))
    assert set(report.slices) == {"weather", "camera"}
    table = report.per_slice.set_index(["slice", "value"])
    assert table.loc[("weather", "haze"), "queries"] == 10
    assert table.loc[("camera", "1.0"), "queries"] == 10 and ("camera", "None") not in table.index
    hazy = report.per_query[(frame["weather"] == "haze").to_numpy()]
    assert table.loc[("weather", "haze"), "recall_at_1"] == hazy["hit_at_1"].mean()


def test_an_unknown_slice_is_refused_with_the_nearest_column():
    frame = made_frame([3, 3]).assign(weather="haze")
    with pytest.raises(UserInputError, match="wether is not a column.*Nearest: weather"):
        evaluate(made_embeddings(frame, 0.1), frame, slices=("wether",))


def test_attributes_of_the_images_become_slices():
    frame = made_frame([3, 3])
    frame["attributes"] = [f'{{"crest": "red", "id": "{i % 2}"}}' for i in range(5)] + [None]
    sliced = with_attribute_slices(frame)
    assert "attribute.crest" in sliced and "attribute.id" in sliced
    report = evaluate(made_embeddings(frame, 0.1), sliced)
    assert report.per_slice["slice"].value_counts()["attribute.crest"] == 1
    assert "attributes" not in " ".join(report.slices)


def test_the_interval_holds_the_figure_and_the_bootstrap_agrees():
    robust = made_report([9] * 30, 0.6)
    bootstrap = made_report([9] * 30, 0.6, bootstrap=2000)
    assert robust.metrics == bootstrap.metrics
    for metric, (low, high) in robust.intervals.items():
        assert low < robust.metrics[metric] < high
        assert bootstrap.intervals[metric] == pytest.approx([low, high], abs=(high - low) / 6)


def test_diagnostics_are_those_of_all_pairs_and_tell_a_collapsed_space():
    frame = made_frame(SIZES)
    embeddings = made_embeddings(frame, 0.3)
    facts = evaluate(embeddings, frame).facts
    cosines = embeddings.astype(np.float64) @ embeddings.T
    labels = frame["class_id"].to_numpy()
    same = labels[:, None] == labels
    off = ~np.eye(len(frame), dtype=bool)
    assert facts["mean_similarity"] == pytest.approx(cosines[off].mean(), abs=1e-6)
    assert facts["similarity_same"] == pytest.approx(cosines[same & off].mean(), abs=1e-6)
    assert facts["similarity_different"] == pytest.approx(cosines[~same].mean(), abs=1e-6)
    centred = embeddings.astype(np.float64) - embeddings.mean(0)
    shares = np.linalg.svd(centred, compute_uv=False) ** 2
    shares /= shares.sum()
    assert facts["effective_rank"] == pytest.approx(
        np.exp(-(shares * np.log(shares)).sum()), rel=1e-4
    )

    collapsed = evaluate(np.tile(embeddings[:1], (len(frame), 1)), frame)
    assert collapsed.facts["spread"] == pytest.approx(0, abs=1e-6)
    assert collapsed.facts["effective_rank"] == 1
    assert collapsed.metrics["recall_at_1"] < 0.5


def test_nmi_repeats_with_its_seed_and_the_report_says_which_kmeans_it_rests_on():
    frame = made_frame([8] * 9)
    embeddings, labels = made_embeddings(frame, 0.8), frame["class_id"].to_numpy()
    found = [normalized_mutual_information(embeddings, labels, seed) for seed in (0, *range(6))]
    assert found[0] == found[1] and len(set(found)) > 1
    report = evaluate(embeddings, frame, nmi_seed=5)
    assert report.metrics["nmi"] == found[-1]
    assert report.facts["nmi_clusterer"] == CLUSTERER


@pytest.mark.parametrize("noise", [0.3, 0.8, 2.0])
def test_nmi_and_recall_are_those_of_pytorch_metric_learning(noise):
    frame = made_frame([40] * 9)
    embeddings, labels = made_embeddings(frame, noise, width=16), frame["class_id"].to_numpy()
    theirs = AccuracyCalculator(
        include=("NMI", "precision_at_1"), k=8, device=torch.device("cpu")
    ).get_accuracy(torch.from_numpy(embeddings), torch.from_numpy(labels))
    ours = evaluate(embeddings, frame, nmi_seed=1234).metrics  # the seed of FAISS
    assert ours["nmi"] == pytest.approx(theirs["NMI"], abs=1e-12)
    assert ours["recall_at_1"] == pytest.approx(theirs["precision_at_1"], abs=1e-6)


def test_a_class_of_one_image_is_refused_by_name():
    frame = made_frame([3, 1, 4])
    with pytest.raises(UserInputError, match="1 of 3 classes have a single image .class_id 4."):
        evaluate(made_embeddings(frame, 0.1), frame)


@pytest.mark.parametrize("broken", [np.nan, 0.0, 5.0])
def test_broken_embeddings_are_refused(broken):
    frame = made_frame([3, 4])
    embeddings = made_embeddings(frame, 0.1)
    embeddings[2] = broken
    with pytest.raises(ValueError, match="embeddings"):
        evaluate(embeddings, frame)


def test_embeddings_of_other_images_are_refused():
    frame = made_frame([3, 4])
    with pytest.raises(ValueError, match="6 embeddings for 7 images"):
        evaluate(made_embeddings(frame, 0.1)[:6], frame)
    twice = frame.assign(image_id="a")
    with pytest.raises(ValueError, match="unique"):
        evaluate(made_embeddings(frame, 0.1), twice)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ks": (1, 2, 4)},
        {"ks": (8, 4, 2, 1)},
        {"ks": (0, 1, 2, 4, 8)},
        {"chunk": 0},
        {"nmi_seed": -1},
        {"confidence": 1.0},
        {"bootstrap": 5},
        {"slices": ("a", "a")},
        {"corruptions": ("jpeg", "jpeg")},
        {"corruptions": ("gausian_noise",)},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        dataclasses.replace(RetrievalConfig(), **wrong)


def test_a_misspelt_corruption_is_told_the_nearest():
    with pytest.raises(ValueError, match=r"Nearest: gaussian_noise\. Allowed: .*jpeg, crop"):
        RetrievalConfig(corruptions=("gausian_noise",))


@pytest.mark.parametrize("chunk", [3, 1024])
def test_a_corrupted_query_is_searched_among_the_clean_images_without_its_own(chunk):
    frame = made_frame(SIZES)
    clean, poor = made_embeddings(frame, 0.5), made_embeddings(frame, 0.9, seed=0)
    report = evaluate_embeddings(
        clean,
        frame,
        RetrievalConfig(corruptions=("jpeg",), chunk=chunk),
        **NAMES,
        corrupted={"jpeg": poor},
    )
    labels = frame["class_id"].to_numpy()
    scores = poor.astype(float) @ clean.astype(float).T
    np.fill_diagonal(scores, -np.inf)
    expected = labels[scores.argmax(1)] == labels
    np.testing.assert_array_equal(report.per_query["corrupted.jpeg"], expected)
    assert report.under_corruption == {"jpeg": pytest.approx(expected.mean())}
    assert report.under_corruption["jpeg"] < report.metrics["recall_at_1"]
    without = evaluate(clean, frame)
    pd.testing.assert_frame_equal(
        report.per_query.drop(columns="corrupted.jpeg"), without.per_query
    )
    assert without.corruptions == () and without.under_corruption == {}


def test_a_picture_that_corruption_does_not_change_is_found_as_the_clean_one():
    frame = made_frame(SIZES)
    clean = made_embeddings(frame, 0.5)
    report = evaluate_embeddings(
        clean,
        frame,
        RetrievalConfig(corruptions=("crop", "jpeg")),
        **NAMES,
        corrupted={"jpeg": clean, "crop": clean},
    )
    assert report.corruptions == ("crop", "jpeg")
    for name in report.corruptions:
        np.testing.assert_array_equal(
            report.per_query[f"corrupted.{name}"], report.per_query["hit_at_1"]
        )


def test_embeddings_of_other_corruptions_than_the_settings_name_are_refused():
    frame = made_frame([3, 4])
    vectors = made_embeddings(frame, 0.1)
    with pytest.raises(ValueError, match="embeddings of: none"):
        evaluate(vectors, frame, corruptions=("jpeg",))
    with pytest.raises(ValueError, match="embeddings of: crop"):
        evaluate_embeddings(vectors, frame, RetrievalConfig(), **NAMES, corrupted={"crop": vectors})
