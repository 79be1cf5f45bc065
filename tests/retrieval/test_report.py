import dataclasses
import json

import pandas as pd
import pytest

from saga.errors import UserInputError
from saga.retrieval.report import RetrievalReport
from tests.retrieval.made import made_report


@pytest.fixture
def report() -> RetrievalReport:
    return made_report([2, 4, 6], 0.8)


def test_a_saved_report_comes_back_the_same(report, tmp_path):
    report.save(tmp_path / "report")
    again = RetrievalReport.load(tmp_path / "report")
    assert again.digest == report.digest
    assert again.metrics == report.metrics and again.intervals == report.intervals
    assert again.config == report.config and again.facts == report.facts
    assert again.per_query.dtypes.equals(report.per_query.dtypes)
    pd.testing.assert_frame_equal(again.per_class, report.per_class)
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "report/per_class.parquet"), again.per_class
    )
    assert again.to_summary() == report.to_summary()


def test_the_summary_holds_the_six_figures(report):
    expected = ["recall_at_1", "recall_at_2", "recall_at_4", "recall_at_8", "map_at_r", "nmi"]
    assert list(report.to_summary()) == expected
    assert all(0 <= value <= 1 for value in report.to_summary().values())


def test_evaluating_again_gives_the_same_digest_and_another_encoder_another():
    assert made_report([3, 4], 0.5).digest == made_report([3, 4], 0.5).digest
    assert made_report([3, 4], 0.5).digest != made_report([3, 4], 0.5, seed=1).digest
    assert made_report([3, 4], 0.5).digest != made_report([3, 4], 0.5, name="dml").digest


@pytest.mark.parametrize(
    ("column", "other"),
    [
        ("hit_at_1", lambda values: ~values),
        ("first_hit", lambda values: values + 1),
        ("ap_at_r", lambda values: values / 2),
        ("class_name", lambda values: values + "!"),
        ("neighbours", lambda values: values.map(lambda ids: ids[::-1])),
        ("similarities", lambda values: values * 0),
    ],
)
def test_a_report_whose_outcomes_were_altered_does_not_load(report, tmp_path, column, other):
    report.save(tmp_path / "report")
    table = report.per_query.assign(**{column: other(report.per_query[column])})
    dataclasses.replace(report, per_query=table).save(tmp_path / "other")
    (tmp_path / "other/per_query.parquet").replace(tmp_path / "report/per_query.parquet")
    with pytest.raises(UserInputError, match="altered"):
        RetrievalReport.load(tmp_path / "report")


def test_a_report_whose_figures_were_altered_does_not_load(report, tmp_path):
    report.save(tmp_path)
    facts = json.loads((tmp_path / "report.json").read_text())
    facts["metrics"]["recall_at_1"] = 0.99
    (tmp_path / "report.json").write_text(json.dumps(facts))
    with pytest.raises(UserInputError, match="altered"):
        RetrievalReport.load(tmp_path)


@pytest.mark.parametrize("name", ["report.json", "per_query.parquet"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"a": NaN}'])
def test_a_missing_or_foreign_file_is_told_by_name(report, tmp_path, name, content):
    report.save(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserInputError, match=name.replace(".", r"\.")):
        RetrievalReport.load(tmp_path)


def test_a_table_of_other_columns_does_not_load(report, tmp_path):
    report.save(tmp_path)
    pd.DataFrame({"image_id": ["a"]}).to_parquet(tmp_path / "per_query.parquet")
    with pytest.raises(UserInputError, match="other columns.*Expected: image_id string"):
        RetrievalReport.load(tmp_path)


def test_a_report_with_a_figure_that_is_not_a_number_is_not_written(report, tmp_path):
    broken = RetrievalReport("saga", {"nmi": float("nan")}, report.per_query, "e", "d")
    with pytest.raises(ValueError):
        broken.save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_outcomes_under_corruptions_come_back_and_are_part_of_the_digest(tmp_path):
    report = made_report([2, 4, 6], 0.8, corruptions=("jpeg", "crop"))
    report.save(tmp_path)
    again = RetrievalReport.load(tmp_path)
    assert again.digest == report.digest and again.corruptions == ("jpeg", "crop")
    assert again.under_corruption == report.under_corruption
    assert again.per_query["corrupted.jpeg"].dtype == bool
    other = report.per_query.assign(**{"corrupted.crop": ~report.per_query["corrupted.crop"]})
    assert dataclasses.replace(report, per_query=other).digest != report.digest


@pytest.mark.parametrize("wrong", [[], ["jpeg", "blur"], "jpeg", None])
def test_a_report_that_names_other_corruptions_than_it_has_does_not_load(tmp_path, wrong):
    made_report([2, 4, 6], 0.8, corruptions=("jpeg",)).save(tmp_path)
    facts = json.loads((tmp_path / "report.json").read_text())
    (tmp_path / "report.json").write_text(json.dumps(facts | {"corruptions": wrong}))
    with pytest.raises(UserInputError, match="altered|other columns"):
        RetrievalReport.load(tmp_path)
