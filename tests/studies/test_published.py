"""A study's differences beside a run's."""

import json

import pytest

from saga.errors import UserInputError
from saga.studies.published import published

FACTS = {
    "study_id": "small-1234",
    "date": "2026-01-02T03:04:05Z",
    "seeds": 5,
    "complete": True,
    "regimes": {
        "hazy": {"differences": {"saga-dml": {"mean": 0.1, "low": 0.05, "high": 0.2, "classes": 9}}}
    },
}


def test_the_first_regimes_differences_are_told(tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps(FACTS))
    assert published(tmp_path / "summary.json") == {
        "study_id": "small-1234",
        "date": "2026-01-02T03:04:05Z",
        "regime": "hazy",
        "seeds": 5,
        "differences": {"saga-dml": {"mean": 0.1, "low": 0.05, "high": 0.2}},
    }


@pytest.mark.parametrize(
    "text, message",
    [
        ("[]", "is no summary.json"),
        ("{", "is no summary.json"),
        (json.dumps(FACTS | {"regimes": {}}), "is no summary.json"),
        (json.dumps(FACTS | {"seeds": "many"}), "is no summary.json"),
        (json.dumps(FACTS | {"complete": False}), "is not complete"),
    ],
)
def test_what_is_no_complete_study_is_refused(tmp_path, text, message):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(UserInputError, match=message):
        published(tmp_path / "summary.json")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserInputError, match=r"is no summary\.json"):
        published(tmp_path / "none.json")
