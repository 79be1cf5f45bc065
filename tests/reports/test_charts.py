"""Curves, recall and similarities: the lines are the figures that were given."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from saga.reports import curves, recall
from saga.reports.curves import PANELS, similarity_histogram, training_curves
from saga.reports.recall import recall_chart
from tests.reports.made import HOSTILE, made_history, opened
from tests.retrieval.made import made_report

REPORTS = {"dml": made_report([5] * 6, 0.8, name="dml"), "saga": made_report([5] * 6, 0.3)}
SAGA = {
    "loss/dml": [0.5, 0.4, 0.3],
    "loss/grpo": [0.1, None, -0.1],
    "loss/kl": [1.0, 0.9, 0.8],
    "rollout/reward": [0.5, 0.6, 0.7],
    "rollout/contributing": [0.5, 0.4, 0.3],
    "rollout/parsed": [1.0, 1.0, 0.9],
    "gradient/theta_dml": [1.0, 0.0, 0.5],
    "embedding/spread": [0.6, 0.7, float("nan")],
}


@pytest.fixture
def figure_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Draws, and gives the figure instead of the PNG."""

    def draw(function: Callable[..., Any], *arguments: Any) -> Any:
        kept = []
        for module in (curves, recall):
            monkeypatch.setattr(module, "png_of", lambda figure: kept.append(figure) or b"")
        function(*arguments)
        return kept[0]

    return draw


def drawn(axis: Any, label: str) -> list[tuple[list[float], list[float]]]:
    """Points of the lines in the colour that the legend gives to a label."""
    (color,) = {line.get_color() for line in axis.lines if line.get_label() == label}
    lines = [line for line in axis.lines if line.get_color() == color and len(line.get_xdata())]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in lines]


def panel(figure: Any, beginning: str) -> Any:
    (axis,) = [a for a in figure.axes if a.get_title(loc="left").startswith(beginning)]
    return axis


def test_curves_are_the_figures_of_the_history_where_they_occurred(figure_of: Any) -> None:
    figure = figure_of(training_curves, {"saga": made_history("saga", SAGA)})
    losses = panel(figure, "Losses")
    assert drawn(losses, "DML") == [([1, 2, 3], [0.5, 0.4, 0.3])]
    assert drawn(losses, "GRPO") == [([1, 3], [0.1, -0.1])]
    assert drawn(panel(figure, "Embeddings"), "spread") == [([1, 2], [0.6, 0.7])]


def test_a_log_panel_leaves_out_what_it_cannot_show(figure_of: Any) -> None:
    figure = figure_of(training_curves, {"saga": made_history("saga", SAGA)})
    gradients = panel(figure, "Gradient")
    assert gradients.get_yscale() == "log"
    assert drawn(gradients, "encoder, DML") == [([1, 3], [1.0, 0.5])]
    labels = [text.get_text() for text in gradients.get_legend().get_texts()]
    assert labels == ["encoder, DML"]


def test_panels_without_any_figure_are_left_out(figure_of: Any) -> None:
    dml = made_history("dml", {"loss/dml": [0.5, 0.4]})
    shown = [a for a in figure_of(training_curves, {"dml": dml}).axes if a.get_visible()]
    assert [axis.get_title(loc="left") for axis in shown] == [next(iter(PANELS))]
    both = {"dml": dml, "saga": made_history("saga", SAGA)}
    assert len([a for a in figure_of(training_curves, both).axes if a.get_visible()]) == 4


def test_arms_have_a_line_style_each(figure_of: Any) -> None:
    arms = {name: made_history(name, SAGA) for name in ("dml", "saga")}
    figure = figure_of(training_curves, arms)
    lines = [line for line in panel(figure, "Losses").lines if len(line.get_xdata())]
    assert {line.get_linestyle() for line in lines} == {"-", "--"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dml", "saga"]


def test_a_long_training_is_averaged_and_a_constant_stays_one(figure_of: Any) -> None:
    noisy = np.random.default_rng(0).normal(size=400)
    history = made_history("a", {"loss/dml": noisy.tolist(), "loss/kl": [2.0] * 400})
    losses = panel(figure_of(training_curves, {"a": history}), "Losses")
    raw, smooth = drawn(losses, "DML")
    assert raw[1] == noisy.tolist() and np.std(smooth[1]) < 0.5 * np.std(noisy)
    steps, values = drawn(losses, "KL")[1]
    assert values == pytest.approx([2.0] * len(values))
    assert steps[0] == pytest.approx(1 + 400 - steps[-1])  # as far from both ends


@pytest.mark.parametrize("histories", [{}, {"saga": made_history("saga", {"lr/encoder": [1.0]})}])
def test_histories_without_figures_still_give_a_picture(histories: dict[str, Any]) -> None:
    assert opened(training_curves(histories)).width > 500


def test_recalls_are_drawn_in_per_cent_with_their_intervals(figure_of: Any) -> None:
    (axis,) = figure_of(recall_chart, REPORTS).axes
    for name, report in REPORTS.items():
        recalls, *bars = drawn(axis, name)
        assert recalls[1] == pytest.approx(
            [100 * report.metrics[f"recall_at_{K}"] for K in (1, 2, 4, 8)]
        )
        for K, (_, ends), value in zip((1, 2, 4, 8), bars, recalls[1], strict=True):
            low, high = report.intervals[f"recall_at_{K}"]
            assert ends == pytest.approx([100 * max(low, 0), 100 * min(high, 1)])
            assert ends[0] <= value <= ends[1]


def test_histograms_hold_every_query_once(figure_of: Any) -> None:
    figure = figure_of(similarity_histogram, REPORTS)
    for axis, report in zip(figure.axes, REPORTS.values(), strict=True):
        texts = [text.get_text() for text in axis.get_legend().get_texts()]
        hits = int(report.per_query["hit_at_1"].sum())
        counts = {text.split(":")[0]: int(text.split()[1]) for text in texts}
        assert counts.get("right", 0) == hits
        assert counts.get("wrong", 0) == len(report.per_query) - hits
        low, high = axis.get_xlim()
        first = [float(s[0]) for s in report.per_query["similarities"]]
        assert low < min(first) and max(first) < high


def test_reports_without_anything_to_draw_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one report"):
        recall_chart({})
    with pytest.raises(ValueError, match="no report"):
        similarity_histogram({})


def test_equal_input_gives_equal_bytes() -> None:
    histories = {"saga": made_history("saga", SAGA)}
    for draw, data in (
        (training_curves, histories),
        (recall_chart, REPORTS),
        (similarity_histogram, REPORTS),
    ):
        assert draw(data) == draw(data)  # type: ignore[operator]


@pytest.mark.parametrize("name", [HOSTILE, "$", "_hidden", "", "a\nb", "\\frac{"])
def test_names_are_labels_and_never_formulas(name: str) -> None:
    report = replace(REPORTS["saga"], name=name)
    arms = {name: made_history("a", SAGA), "b": made_history("b", SAGA)}
    pictures = [recall_chart({name: report}), similarity_histogram({name: report})]
    if name == HOSTILE:
        pictures.append(training_curves(arms))
    assert all(500 < opened(png).width < 1200 for png in pictures)


def test_pyplot_keeps_no_figure() -> None:
    from matplotlib._pylab_helpers import Gcf

    recall_chart(REPORTS)
    training_curves({"saga": made_history("saga", SAGA)})
    assert not Gcf.get_all_fig_managers()
