"""Reports of slices hold the right queries and figures."""

import pytest

from saga.gates.base import MissingMetricError
from saga.gates.slicing import sliced
from saga.retrieval.report import RetrievalReport
from tests.gates.made import report_of, with_column, without

REPORT = report_of([[1, 0], [1, 1], [0, 1, 0], [1, 1, 0], [1] * 5, [0] * 6])
"""Classes of 2, 2, 3, 3, 5 and 6 queries."""


def classes(report: RetrievalReport) -> list[int]:
    return sorted(report.per_query["class_id"].unique())


def test_classes_are_told_apart_by_thirds_of_their_sizes() -> None:
    found = sliced(REPORT, "class_size", "recall_at_1")
    assert {name: classes(part) for name, part in found.items()} == {
        "small": [0, 1],
        "medium": [2, 3],
        "large": [4, 5],
    }
    assert found["small"].metrics == {"recall_at_1": 0.75}
    assert found["medium"].metrics["recall_at_1"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ([4] * 9, {"small": 9}),
        ([2] * 8 + [9], {"small": 8, "large": 1}),
        ([1, 2, 3], {"small": 1, "medium": 1, "large": 1}),
        ([5], {"small": 1}),
        (list(range(1, 31)), {"small": 10, "medium": 10, "large": 10}),
    ],
)
def test_classes_of_one_size_are_never_parted(sizes: list[int], parts: dict[str, int]) -> None:
    found = sliced(report_of([[1] * n for n in sizes]), "class_size", "recall_at_1")
    assert {name: len(classes(part)) for name, part in found.items()} == parts
    assert sum(len(part.per_query) for part in found.values()) == sum(sizes)


def test_every_class_is_a_slice_under_its_name() -> None:
    found = sliced(REPORT, "class", "recall_at_1")
    assert list(found) == [f"class {i}" for i in range(6)]
    assert [classes(part) for part in found.values()] == [[i] for i in range(6)]
    rates = [part.metrics["recall_at_1"] for part in found.values()]
    assert rates == pytest.approx([0.5, 1, 1 / 3, 2 / 3, 1, 0])


def test_a_column_of_slices_gives_one_for_each_value_and_leaves_queries_without_out() -> None:
    colors = ["red", "blue", None] * 7
    report = with_column(REPORT, "slice.attribute.color", colors)
    found = sliced(report, "attribute.color", "map_at_r")
    assert list(found) == ["blue", "red"]
    for color, part in found.items():
        expected = [f"image-{i}" for i, value in enumerate(colors) if value == color]
        assert part.per_query["image_id"].tolist() == expected
        hits = report.per_query.set_index("image_id").loc[expected, "ap_at_r"]
        assert part.metrics == {"map_at_r": pytest.approx(hits.mean())}


def test_corrupted_queries_are_the_same_queries_with_other_hits() -> None:
    report = with_column(REPORT, "corrupted.jpeg", [0] * 21)
    report = with_column(report, "corrupted.gaussian_blur", [1] * 20 + [0])
    found = sliced(report, "corruption", "recall_at_1")
    assert {name: part.metrics for name, part in found.items()} == {
        "jpeg": {"recall_at_1": 0},
        "gaussian_blur": {"recall_at_1": pytest.approx(20 / 21)},
    }
    for part in found.values():
        assert part.per_query["image_id"].tolist() == REPORT.per_query["image_id"].tolist()
    assert REPORT.per_query["hit_at_1"].sum() == 11, "the report itself is as it was"


def test_what_is_not_there_is_said() -> None:
    report = with_column(REPORT, "slice.weather", "fog")
    with pytest.raises(
        MissingMetricError,
        match=r"no slices by wether \(it has class_size, corruption, class, weather",
    ):
        sliced(report, "wether", "recall_at_1")
    with pytest.raises(MissingMetricError, match=r"no corrupted queries: .* evaluation\.corrup"):
        sliced(report, "corruption", "recall_at_1")
    with pytest.raises(ValueError, match="only recall_at_1 is kept"):
        sliced(with_column(report, "corrupted.jpeg", 1), "corruption", "map_at_r")
    with pytest.raises(KeyError):
        sliced(without(report, "class_id"), "class_size", "recall_at_1")
