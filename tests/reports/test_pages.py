"""Pages: whole, alone, escaped, and saying what their data say."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from saga.gates.base import Effect, GateResult, SliceFigure, Status
from saga.gates.decision import GateDecision
from saga.reports.attention import attention_overlays
from saga.reports.bars import interval_bar
from saga.reports.decision import SLICES_SHOWN, decision_page, figures
from saga.reports.evaluation import evaluation_page
from saga.reports.page import duration, percent, png, points, rates
from saga.reports.retrieval import retrieval_page
from saga.reports.run import CAPTIONS, run_report
from saga.retrieval.report import RetrievalReport
from tests.reports.made import (
    HOSTILE,
    LIMITS,
    Page,
    check_alone,
    made_decision,
    made_manifest,
    made_summary,
    planted,
)
from tests.reports.test_attention import made_retriever
from tests.retrieval.made import made_report

PICTURES = {name: f"picture {name}".encode() for name in CAPTIONS}


def made_retrieval(text: str) -> RetrievalReport:
    report = made_report([4] * 5, 0.4)
    table = report.per_query.copy()
    table["class_name"] = text + table["class_id"].astype(str)
    table[f"slice.{text}"] = [text if i % 2 else "other" for i in range(len(table))]
    return replace(report, name=text, per_query=table, facts=report.facts | {text: text})


def hostile_decision(text: str) -> GateDecision:
    decision = made_decision()
    odd = GateResult(text, text, Status.ERROR, text, Effect.BLOCKS, reference=text)
    numbers = {"value": 0.3, "low": 0.2, "high": 0.4, "threshold": 0.25, "limit": "most"}
    warned = replace(odd, status=Status.FAIL, effect=Effect.WARNS, metric=text, **numbers)
    slices = (SliceFigure(text, 4, -0.2, 0.001, True), SliceFigure(text, 4, 0.1, 1.0, False))
    return replace(
        decision,
        policy=text,
        gates=(*decision.gates, odd, replace(warned, slices=slices)),
        references={text: decision.references["baseline"]},
        evidence={text: text},
    )


PAGES: dict[str, Callable[[str], str]] = {
    "run": lambda text: run_report(made_summary(text), PICTURES),
    "retrieval": lambda text: retrieval_page(made_retrieval(text), b"gallery", b"attention"),
    "decision": lambda text: decision_page(hostile_decision(text)),
}


@pytest.mark.parametrize("kind", PAGES)
def test_a_page_is_balanced_and_fetches_and_runs_nothing(kind: str) -> None:
    page = Page(PAGES[kind]("plain"))
    check_alone(page)
    assert page.tags.count("html") == page.tags.count("body") == page.tags.count("title") == 1
    (policy,) = [v for tag, name, v in page.attributes if name == "content" and "default-src" in v]
    assert "default-src 'none'" in policy and "script-src" not in policy


@pytest.mark.parametrize("kind", PAGES)
def test_hostile_text_is_shown_as_text_and_adds_no_tag(kind: str) -> None:
    plain, hostile = Page(PAGES[kind]("plain")), Page(PAGES[kind](HOSTILE))
    check_alone(hostile)
    assert hostile.tags == plain.tags
    assert [a[:2] for a in hostile.attributes] == [a[:2] for a in plain.attributes]
    shown = " ".join(HOSTILE.replace("\u202e", "�").split())
    assert hostile.text.count(shown) == len(re.findall("plain", plain.text)) > 0


def test_letters_that_turn_or_hide_text_are_shown() -> None:
    summary = made_summary("\u202eevil\x00\x1b[31m\u2066\ttab")
    html = run_report(summary, {})
    assert not re.search("[\x00\x1b\u202e\u2066]", html)
    assert "�evil��[31m� tab" in Page(html).text


@pytest.mark.parametrize("kind", PAGES)
def test_long_words_may_break_in_every_cell(kind: str) -> None:
    style = Page(PAGES[kind]("plain")).style
    assert re.search(r"[^}]*\btd\b[^}]*{[^}]*overflow-wrap: anywhere", style)


def test_a_run_report_says_what_its_summary_says() -> None:
    text = Page(run_report(made_summary(), PICTURES)).text
    for piece in (
        "✓ PASS No gate blocks: this encoder may be promoted.",
        "43.1 38.0–48.7",
        "saga − dml +13.1 (+5.0 to +21.2) better +9.4 (+6.1 to +12.8)",
        "saga − pretrained +33.0 (−1.0 to +67.0) not told apart –",
        "The study plain (of 2026-01-02, seeds 5, regime plain) repeated the comparison",
        "true values described in the last steps 71.2 %",
        "dml − pretrained −20.0 (−30.0 to −10.0) worse",
        "contributing pairs 41.2 %",
        "reward in the first steps 57.1 %",
        "reward in the last steps 80.3 %",
        "rollouts that could be read 97.1 %",
        "1,234",
        "10 classes, 600 images",
        "Validation: failed",
        "failed plain: plain warning plain",
        "load_dataset reused",
        "5 min 21 s",
        "3.0 GiB",
        "saga run plain",
        "changes that are not committed",
    ):
        assert piece in text, piece
    assert text.index("pretrained 10.0") < text.index("dml 30.0") < text.index("saga 43.1")


def test_the_verdict_stands_before_everything_else() -> None:
    text = Page(run_report(made_summary(), PICTURES)).text
    sections = [text.index(word) for word in ("✓ PASS", "Unseen classes", "Training", "Artifacts")]
    assert sections == sorted(sections)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("PASS", "may be promoted"),
        ("FAIL", "must not be promoted"),
        ("INCONCLUSIVE", "must not be promoted"),
        ("ERROR", "must not be promoted"),
    ],
)
def test_only_a_pass_says_that_the_encoder_may_be_promoted(status: str, words: str) -> None:
    summary = made_summary()
    summary["gate"]["status"] = status
    text = Page(run_report(summary, {})).text
    assert words in text
    assert ("may be promoted" in text) == (status == "PASS")


@pytest.mark.parametrize("status", ["ok", "refused", "failed"])
def test_a_run_without_gates_promises_nothing_and_shows_its_error(status: str) -> None:
    summary = {"run_id": "r", "status": status, "error": "the dataset <b>failed</b>"}
    page = Page(run_report(summary, {}))
    assert "nothing can be promoted" in page.text and "may be promoted" not in page.text
    assert "the dataset <b>failed</b>" in page.text


def test_gates_that_passed_promise_nothing_if_the_run_failed_after_them() -> None:
    page = Page(run_report(made_summary() | {"status": "failed"}, {}))
    assert "nothing can be promoted" in page.text and "may be promoted" not in page.text


@pytest.mark.parametrize("missing", sorted(made_summary().keys() - {"run_id", "status"}))
@pytest.mark.parametrize("how", ["absent", "none"])
def test_a_missing_section_is_left_out(missing: str, how: str) -> None:
    summary = made_summary()
    if how == "absent":
        del summary[missing]
    else:
        summary[missing] = None
    check_alone(Page(run_report(summary, PICTURES)))


def inner_keys() -> list[tuple[str, str]]:
    """Every key inside a section, and inside each method, difference, artifact and gate."""
    return [
        (section, key)
        for section, found in made_summary().items()
        if isinstance(found, dict)
        for key in found
    ]


@pytest.mark.parametrize(("section", "key"), inner_keys())
def test_a_missing_entry_of_a_section_is_left_out(section: str, key: str) -> None:
    summary = made_summary()
    del summary[section][key]
    Page(run_report(summary, PICTURES))


@pytest.mark.parametrize("key", sorted(made_summary()["methods"]["saga"]))
def test_a_missing_figure_of_a_method_is_a_dash(key: str) -> None:
    summary = made_summary()
    for value in (None, float("nan")) if key != "intervals" else (None, {}):
        summary["methods"]["saga"] = summary["methods"]["dml"] | {key: value}
        Page(run_report(summary, {}))
    del summary["methods"]["saga"][key]
    assert "–" in Page(run_report(summary, {})).text


def test_pictures_have_their_captions_and_their_bytes() -> None:
    page = Page(run_report(made_summary(), PICTURES))
    sources = {value for tag, name, value in page.attributes if (tag, name) == ("img", "src")}
    assert sources == {str(png(data)) for data in PICTURES.values()}
    assert all(" ".join(caption.split()) in page.text for caption in CAPTIONS.values())
    none = Page(run_report(made_summary(), {}))
    assert "img" not in none.tags


def test_a_picture_without_a_caption_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        run_report(made_summary(), {"nonsense": b""})


def test_a_retrieval_page_says_what_its_report_says() -> None:
    report = made_retrieval("plain")
    text = Page(retrieval_page(report, None)).text
    low, high = report.intervals["recall_at_1"]
    head = f"Recall@1 {100 * report.metrics['recall_at_1']:.1f}"
    assert f"{head} {100 * low:.1f} to {min(100 * high, 100):.1f}" in text
    assert f"NMI {100 * report.metrics['nmi']:.1f} –" in text
    assert "All classes, worst first" in text and "Best classes" not in text
    assert "Effective rank" in text and "K-means behind NMI" in text
    assert "plain other 10" in text  # the slice's name, value and number of queries


def test_many_classes_are_told_from_both_ends() -> None:
    report = made_report([2] * 40, 0.9)
    text = Page(retrieval_page(report, None)).text
    worst, best = text.split("Best classes")
    assert "Worst classes" in worst
    order = report.per_class["class_name"].tolist()
    assert [order[0] in worst, order[9] in worst, order[20] in text] == [True, True, False]
    assert best.index(order[-1]) < best.index(order[-2])


def test_slices_beyond_the_most_are_counted() -> None:
    report = made_report([4] * 60, 0.4)
    table = report.per_query.copy()
    table["slice.one each"] = [f"value {i:03d}" for i in range(len(table))]
    assert "40 more are in per_slice.parquet" in retrieval_page(
        replace(report, per_query=table), None
    )


def test_an_evaluation_page_holds_gallery_and_attention(tmp_path: Path) -> None:
    manifest = made_manifest(tmp_path, ["gull", "tern"])
    report = planted(manifest, {"0-0": ["0-1"], "1-0": ["0-1"]})
    retriever = made_retriever("attention")
    page = Page(evaluation_page(report, manifest, retriever, LIMITS))
    check_alone(page)
    judged = manifest.frame[manifest.frame["image_id"].isin(["0-0", "1-0"])]
    attention = attention_overlays(retriever, manifest, judged, LIMITS)
    assert attention is not None
    sources = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert len(sources) == 2 and str(png(attention)) in sources
    bare = Page(evaluation_page(report, manifest, made_retriever("mean"), LIMITS))
    assert bare.tags.count("img") == 1


@pytest.mark.parametrize(("threshold", "status"), [(0.1, "PASS"), (0.99, "FAIL")])
def test_a_decision_page_gives_every_gate_its_reason_and_its_bar(
    threshold: float, status: str
) -> None:
    decision = made_decision(threshold)
    assert decision.status == status
    page = Page(decision_page(decision))
    for gate in decision.gates:
        assert gate.id in page.text and gate.reason in page.text
    assert page.tags.count("svg") == len(decision.gates)
    assert decision.encoder_digest in page.text and decision.policy_digest in page.text
    assert ("may be promoted" in page.text) == (status == "PASS")


def test_a_gate_that_could_not_be_judged_has_no_bar() -> None:
    page = Page(decision_page(hostile_decision("odd")))
    assert page.tags.count("svg") == 3 and "could not be judged" in page.text


def lone_decision(**changes: Any) -> GateDecision:
    """Of one gate with an interval."""
    gate = GateResult(
        "lone",
        "change_threshold",
        Status.PASS,
        "why",
        metric="map_at_r",
        statistic="difference",
        value=-0.02,
        low=-0.05,
        high=0.01,
        threshold=0.04,
        limit="most",
    )
    return replace(made_decision(), gates=(replace(gate, **changes),))


OUTCOMES = [
    (Status.PASS, Effect.NONE, "✓ PASS", None),
    (Status.FAIL, Effect.BLOCKS, "✗ FAIL blocks", "failed"),
    (Status.INCONCLUSIVE, Effect.BLOCKS, "? INCONCLUSIVE blocks", "failed"),
    (Status.ERROR, Effect.BLOCKS, "! ERROR blocks", "failed"),
    (Status.FAIL, Effect.WARNS, "⚠ FAIL warns, does not block", "warning"),
    (Status.INCONCLUSIVE, Effect.WARNS, "⚠ INCONCLUSIVE warns, does not block", "warning"),
    (Status.ERROR, Effect.WARNS, "⚠ ERROR warns, does not block", "warning"),
    (Status.INCONCLUSIVE, Effect.NONE, "? INCONCLUSIVE allowed by the policy", None),
]


@pytest.mark.parametrize(("status", "effect", "text", "marked"), OUTCOMES)
@pytest.mark.parametrize("of", ["decision", "run"])
def test_what_blocks_and_what_warns_are_told_apart(
    status: Status, effect: Effect, text: str, marked: str | None, of: str
) -> None:
    decision = lone_decision(status=status, effect=effect)
    if of == "decision":
        page = Page(decision_page(decision))
    else:
        page = Page(run_report(made_summary("x") | {"gate": decision.to_summary()}, {}))
    assert f"{text} why" in page.text
    classes = {value for tag, name, value in page.attributes if (tag, name) == ("span", "class")}
    assert ("status warning" in classes) is (effect is Effect.WARNS)
    assert f"status {status}" in classes or effect is Effect.WARNS
    if marked and of == "decision":
        assert marked in classes


def test_a_summary_of_before_effects_still_has_its_gates() -> None:
    summary = made_summary("x")
    del summary["gate"]["gates"][0]["effect"]
    assert "✓ PASS x" in Page(run_report(summary, {})).text


def test_a_decision_with_warnings_passes_and_counts_them() -> None:
    decision = made_decision()
    warned = lone_decision(status=Status.FAIL, effect=Effect.WARNS).gates
    text = Page(decision_page(replace(decision, gates=decision.gates + warned))).text
    assert "✓ PASS No gate blocks: this encoder may be promoted." in text
    assert "All 3 gates let it pass, 1 with a warning." in text


@pytest.mark.parametrize(("limit", "word"), [("least", "at least"), ("most", "at most")])
def test_the_good_side_of_a_bar_is_that_of_its_limit(limit: str, word: str) -> None:
    decision = lone_decision(limit=limit)
    page = Page(decision_page(decision))
    bar = interval_bar(-0.02, -0.05, 0.01, 0.04)
    assert bar is not None
    good = {n: float(v) for tag, n, v in page.attributes if tag == "rect" and n in ("x", "width")}
    expected = {"least": (bar.threshold, 100 - bar.threshold), "most": (0, bar.threshold)}[limit]
    assert (good["x"], good["width"]) == pytest.approx(expected)
    assert f"MAP@R -2.0 points (-5.0 to +1.0); {word} +4.0 points" in page.text


def test_a_bar_without_a_limit_has_no_good_side() -> None:
    page = Page(decision_page(lone_decision(limit=None)))
    assert page.tags.count("svg") == 1 and "rect" not in page.tags
    assert "threshold +4.0 points" in page.text


def test_rates_are_told_as_rates_and_differences_as_points() -> None:
    (difference,) = lone_decision().gates
    rate = replace(difference, statistic="bound", value=0.2, low=0.1, high=0.3)
    assert figures(rate) == "MAP@R 20.0 % (10.0 % to 30.0 %); at most 4.0 %"
    for missing in ("value", "low", "high", "threshold"):
        assert figures(replace(difference, **{missing: None})) == ""  # type: ignore[arg-type]


def test_slices_are_listed_with_their_alarms_and_the_rest_counted() -> None:
    alarms = [SliceFigure("lost", 40, -0.25, 0.00123, True)]
    rest = [SliceFigure(f"s{i:02d}.", 7, 0.001 * i, 1.0, False) for i in range(SLICES_SHOWN + 2)]
    text = Page(decision_page(lone_decision(slices=(*alarms, *rest)))).text
    assert "Slices of lone" in text and "lost 40 −25.0 0.00123 ✗ alarm" in text
    assert "s10. 7 +1.0 1 –" in text and text.count("✗ alarm") == 1
    assert f"s{SLICES_SHOWN - 2:02d}." in text and f"s{SLICES_SHOWN - 1:02d}." not in text
    assert "3 more are in decision.json." in text
    assert "Slices of" not in Page(decision_page(lone_decision())).text


def test_everything_else_that_was_looked_at_is_listed_with_its_digest() -> None:
    text = Page(decision_page(replace(lone_decision(), evidence={"drift": "abc"}))).text
    assert "drift abc" in text


def test_a_bar_places_its_values_in_order_and_in_proportion() -> None:
    bar = interval_bar(0.3, 0.2, 0.5, 0.1)
    assert bar is not None
    assert 0 < bar.threshold < bar.low < bar.value < bar.high < 100
    assert (bar.high - bar.low) / (bar.value - bar.low) == pytest.approx(3, abs=0.01)
    assert (bar.low - bar.threshold) == pytest.approx(bar.value - bar.low, abs=0.02)


def test_bars_of_one_span_can_be_read_together() -> None:
    wide, narrow = (interval_bar(v, v - 0.1, v + 0.1, 0.0, (-0.5, 0.5)) for v in (0.3, -0.2))
    assert wide is not None and narrow is not None
    assert wide.threshold == narrow.threshold == 50
    assert wide.high - wide.low == pytest.approx(narrow.high - narrow.low, abs=0.02)


@pytest.mark.parametrize("odd", [None, float("nan"), float("inf")])
def test_a_bar_needs_four_numbers(odd: float | None) -> None:
    for place in range(4):
        numbers: list[Any] = [0.3, 0.2, 0.5, 0.1]
        numbers[place] = odd
        assert interval_bar(*numbers) is None
    flat = interval_bar(0.5, 0.5, 0.5, 0.5)
    assert flat is not None and 0 <= flat.value <= 100


def test_figures_for_readers() -> None:
    assert [percent(0.43125), percent(0), percent(None), percent(float("nan"))] == [
        "43.1",
        "0.0",
        "–",
        "–",
    ]
    assert [points(-0.0123), points(0.05), points(None)] == ["−1.2", "+5.0", "–"]
    assert [rates(None), rates([0.2, 0.3]), rates([-0.1, 1.2], "–")] == [
        "",
        "20.0 to 30.0",
        "0.0–100.0",
    ]
    times = [0.0, 59.94, 59.96, 60, 320.9, 3599.7, 7260]
    assert [duration(t) for t in times] == [
        "0.0 s",
        "59.9 s",
        "1 min 0 s",
        "1 min 0 s",
        "5 min 21 s",
        "1 h 0 min",
        "2 h 1 min",
    ]
    assert duration(None) == "–"
