import json
from dataclasses import replace

import pytest

from saga.data.validation import ExpectationOutcome, ValidationReport
from saga.errors import RefusedError, UserInputError


def outcome(name="a", success=True, **changes) -> ExpectationOutcome:
    facts = {"title": f"title {name}", "severity": "critical", "observed": "found", "advice": "do"}
    return ExpectationOutcome(id=name, success=success, **facts | changes)


def report(*outcomes: ExpectationOutcome, expected=("a", "b"), **changes) -> ValidationReport:
    facts = {
        "dataset": "made",
        "layout": "folders",
        "dataset_digest": "0" * 64,
        "counts": {"images": 4, "train": {"images": 4, "classes": 2}},
        "limits_digest": "1" * 64,
        "settings": {"max_pixels": 9, "formats": ["PNG"]},
    }
    return ValidationReport(outcomes=outcomes, expected=expected, **facts | changes)


@pytest.mark.parametrize(
    ("outcomes", "success"),
    [
        ((outcome("a"), outcome("b")), True),
        ((outcome("a"), outcome("b", False, severity="warning")), True),
        ((outcome("a"), outcome("b", False)), False),
        ((outcome("a"), outcome("b", False, severity="warning", error="broke")), False),
        ((outcome("a"),), False),
        ((outcome("a"), outcome("a")), False),
        ((outcome("a"), outcome("c")), False),
        ((outcome("a"), outcome("b"), outcome("c")), False),
        ((), False),
    ],
)
def test_success_needs_every_expectation_to_run_and_no_critical_one_to_fail(outcomes, success):
    found = report(*outcomes)
    assert found.success is success and found.to_summary()["success"] is success
    if success:
        found.require()
    else:
        with pytest.raises(RefusedError):
            found.require()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"severity": "info"}, "severity"),
        ({"examples": ("x",) * 11}, "at most 10"),
        ({"success": 1}, "true or false"),
        ({"error": "broke"}, "cannot have succeeded"),
    ],
)
def test_an_outcome_that_makes_no_sense_is_refused(changes, problem):
    with pytest.raises(ValueError, match=problem):
        replace(outcome(), **changes)


def test_a_report_that_expects_nothing_is_refused():
    with pytest.raises(ValueError, match="expects nothing"):
        report(expected=())


def test_the_message_names_each_failure_its_examples_and_what_to_do():
    failed = outcome(
        "a", False, observed="2 pairs", examples=("x.png and y.png",), advice="Keep one."
    )
    broke = outcome("b", False, severity="warning", error="no such column")
    text = report(failed, broke, expected=("a", "b", "c")).message()
    for part in ("title a: 2 pairs", "x.png and y.png", "Keep one.", "no such column", "c"):
        assert part in text
    assert "2 expectations ran, 3 should have" in text


def test_a_saved_report_comes_back_the_same(tmp_path):
    saved = report(outcome("a", False, examples=("x", "y")), outcome("b"))
    saved.save(tmp_path)
    again = ValidationReport.load(tmp_path)
    assert again == saved and again.digest == saved.digest


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.update(success=True),
        lambda f: f["outcomes"][0].update(success=True),
        lambda f: f["outcomes"].pop(),
        lambda f: f["expected"].pop(),
        lambda f: f["outcomes"][0].update(severity="warning"),
        lambda f: f.update(dataset_digest="f" * 64),
        lambda f: f["settings"].update(max_pixels=10),
        lambda f: f["counts"].update(images=5),
        lambda f: f.update(digest="0" * 64),
        lambda f: f.update(extra=1),
        lambda f: f.pop("limits_digest"),
        lambda f: f.update(outcomes=[[]]),
        lambda f: f.update(expected=[]),
        lambda f: f.update(counts=3),
        lambda f: f["outcomes"][0].update(observed=float("nan")),
    ],
)
def test_a_tampered_report_is_refused(tmp_path, change):
    report(outcome("a", False), outcome("b")).save(tmp_path)
    path = tmp_path / "validation.json"
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))
    with pytest.raises(UserInputError, match="validation"):
        ValidationReport.load(tmp_path)


def test_nothing_of_the_data_reaches_the_page_unescaped():
    evil = "<script>alert(1)</script>"
    names = {"observed": evil, "examples": (evil,), "title": evil, "advice": evil}
    one = outcome("a", False, error=evil, **names)
    page = report(
        one,
        outcome("b"),
        expected=("a", "b", evil),
        dataset=evil,
        layout=evil,
        settings={evil: evil},
    ).page()
    assert "<script" not in page and page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 9
    assert page.startswith("<!doctype html>") and "http" not in page.replace("http-equiv", "")


def test_the_page_shows_what_failed_first():
    page = report(outcome("a"), outcome("b", False)).page()
    assert page.index("title b") < page.index("title a") and "Refused." in page
    assert "May be used." in report(outcome("a"), outcome("b")).page()
