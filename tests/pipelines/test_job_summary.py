"""The job summary of a promotion: as GitHub would show it, rendered by another Markdown than ours."""

import json
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from pipelines.job_summary import MOST, Asked, job_summary, literal, main, read_outcome
from saga.gates.decision import GateDecision, Reference
from tests.pipelines.commands.conftest import saga  # noqa: F401 - a fixture
from tests.pipelines.promotion.made import FAILED, PASSED, register
from tests.reports.made import Page

ASKED = Asked("birds", "7", "production", "jana")
REFUSED = {"status": "refused", "message": "birds:7 is not promoted:\n- one reason\n- another"}
DECISION = GateDecision(
    policy="default",
    gates=(PASSED, FAILED),
    encoder_digest="a1" * 32,
    dataset_digest="b2" * 32,
    policy_digest="c3" * 32,
    report_digest="d4" * 32,
    references={"production": Reference("e5" * 32, "f6" * 32)},
    evidence={"drift": "a7" * 32},
)
HOSTILE = (
    '<script>alert(1)</script>"><img src=x onerror=alert(1)> | a `b` **c** [d](javascript:e) '
    "![f](//g) $h$ <!-- # i\n\n## j\n| - | - |\n\u202ek \\| &lt; http://l.example @m #1 ~~n~~"
)


def shown(markdown: str) -> Page:
    return Page(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))


def one_line(text: str) -> str:
    return " ".join(text.replace("\u202e", "�").split())


def test_a_text_is_shown_as_it_is_written():
    page = shown(f"| {literal(HOSTILE)} |\n| --- |\n\n- {literal(HOSTILE)}\n\n{literal(HOSTILE)}\n")
    assert page.tags == ["table", "thead", "tr", "th", "ul", "li", "p"] and not page.attributes
    assert page.text.count(one_line(HOSTILE)) == 3
    assert not set(literal(HOSTILE)) & set("<>|`*_[]()!$\\@:~\n")


def test_a_very_long_text_is_cut():
    page = shown(literal("a<" * 10 * MOST))
    assert page.text == "a<" * (MOST // 2) + " …"


@pytest.mark.parametrize("hostile", [HOSTILE, "\n\n- <b>x\n- y", "```\n<b>x"])
def test_hostile_text_adds_nothing_to_the_page(hostile):
    def page(text: str, status: str) -> Page:
        gate = replace(FAILED, id=text, reason=text)
        decision = replace(DECISION, policy=text, encoder_digest=text, gates=(PASSED, gate))
        outcome = {"status": status, "message": f"no: {one_line(text)}\n- no: {one_line(text)}"}
        if status == "ok":
            record = {"who": text, "number": 2, "at": text, "from_version": 6, "reason": text}
            outcome = {"status": status, "record": record | {"to_version": 7}}
        return shown(job_summary(Asked(text, text, text, text), outcome, decision))

    for status in ("ok", "refused"):
        plain, odd = page("plain", status), page(hostile, status)
        assert odd.tags == plain.tags and odd.attributes == plain.attributes == []
        assert odd.text.count(one_line(hostile)) == plain.text.count("plain") > 6


def test_every_gate_is_told_with_its_reason_and_everything_judged_with_its_digest():
    text = shown(job_summary(ASKED, REFUSED, DECISION)).text
    assert f"{PASSED.id} ✓ PASS none {PASSED.reason}" in text
    assert f"{FAILED.id} ✗ FAIL blocks {FAILED.reason}" in text
    for line in (
        f"encoder {'a1' * 32}",
        f"dataset {'b2' * 32}",
        f"policy default {'c3' * 32}",
        f"retrieval report {'d4' * 32}",
        f"production encoder {'e5' * 32}",
        f"drift {'a7' * 32}",
        f"decision {DECISION.digest}",
    ):
        assert line in text


def test_the_reasons_of_a_refusal_stay_a_list():
    page = shown(job_summary(ASKED, REFUSED, None, "it holds no decision."))
    assert page.tags.count("li") == 2
    assert "birds:7 to production: refused" in page.text
    assert "birds:7 is not promoted: one reason another" in page.text
    assert "asked by jana" in page.text and "The gates: it holds no decision." in page.text


@pytest.mark.parametrize("content", ["", "no JSON", "[1]", "[" * 100_000, None])
def test_a_promotion_that_left_no_answer_is_not_told_as_done(tmp_path, content):
    path = tmp_path / "outcome.json"
    if content is not None:
        path.write_text(content)
    text = shown(job_summary(ASKED, read_outcome(path))).text
    assert "production: no answer" in text and "left no answer that can be read" in text
    assert "promoted" not in text.replace("is promoted", "")


@pytest.fixture
def told(tmp_path, capsys, monkeypatch):
    """Runs the module on what `saga promote --json` said, as the workflow does."""
    monkeypatch.setenv("SAGA_ACTOR", "jana, run 5")

    def tell(outcome, model: str, version: str) -> Page:
        path = tmp_path / "outcome.json"
        path.write_text(outcome.out)
        capsys.readouterr()
        main(["--", str(path), model, version, "production"])
        return shown(capsys.readouterr().out)

    return tell


def test_what_was_promoted_is_told_with_who_and_the_record(saga, told):  # noqa: F811 - the fixture
    made = register("summary-a", seed=1)
    done = saga("promote", "summary-a", "latest", "--to", "production", "--reason", "why", "--json")
    record = json.loads(done.out)["record"]
    text = told(done, "summary-a", "latest").text
    assert "summary-a:1 to production: promoted" in text
    assert "asked by jana, run 5" in text and "reason why" in text
    assert f"audit record {record['number']}, {record['at']}" in text
    assert f"encoder {made.encoder_digest}" in text and f"decision {made.decision_digest}" in text
    assert "Gates: ✓ PASS" in text and PASSED.reason in text
    again = saga("promote", "summary-a", "1", "--to", "production", "--json")
    assert "there already" in told(again, "summary-a", "1").text


def test_what_was_refused_is_told_with_its_gates(saga, told):  # noqa: F811 - the fixture
    made = register("summary-b", seed=1, gate=FAILED)
    done = saga("promote", "summary-b", "1", "--to", "production", "--json")
    assert done.code == 3
    page = told(done, "summary-b", "1")
    assert "summary-b:1 to production: refused" in page.text and page.tags.count("li") == 1
    assert f"{FAILED.id} ✗ FAIL blocks {FAILED.reason}" in page.text
    assert "asked by jana, run 5" in page.text and made.decision_digest in page.text


def test_a_version_without_a_decision_or_a_name_that_is_not_there_is_told_so(saga, told):  # noqa: F811
    register("summary-c", seed=1, without=["decision"])
    done = saga("promote", "summary-c", "1", "--to", "production", "--json")
    assert "The gates: the version holds no decision." in told(done, "summary-c", "1").text
    typo = saga("promote", "--to", "production", "--json", "--", "--help", "1")
    assert typo.code == 2
    text = told(typo, "--help", "1").text
    assert "not tried, because the request is wrong" in text and "There is no model" in text


def test_an_altered_decision_is_not_told(saga, told):  # noqa: F811 - the fixture
    made = register("summary-e", seed=1)
    (file,) = [path for path in made.files("decision") if path.name == "decision.json"]
    file.write_text(file.read_text().replace("60.0", "99.0"))
    done = saga("promote", "summary-e", "1", "--to", "production", "--json")
    assert done.code == 3
    text = told(done, "summary-e", "1").text
    assert "the decision cannot be read" in text and "99.0" not in text
