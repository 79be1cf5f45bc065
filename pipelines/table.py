"""The table that a run ends with."""

from collections.abc import Iterator
from typing import Any

from saga.reports.page import visible

COLUMNS = {
    "recall_at_1": "R@1",
    "recall_at_2": "R@2",
    "recall_at_4": "R@4",
    "recall_at_8": "R@8",
    "map_at_r": "MAP@R",
    "nmi": "NMI",
}


def table(summary: dict[str, Any]) -> str:
    """Metrics of each method in per cent, what training came to, the gates with their reasons."""
    return "\n".join(_lines(summary))


def _lines(summary: dict[str, Any]) -> Iterator[str]:
    data, model = summary["dataset"], summary["model"]
    yield (
        f"{data['name']}: {data['test_images']} images of {data['test_classes']} unseen classes, "
        f"trained on {data['train_images']} of {data['train_classes']}"
    )
    yield ""
    heads = "".join(f"{head:>8}" for head in COLUMNS.values())
    yield f"{'':<12}{heads}{'steps':>8}{'train s':>9}"
    for name, figures in summary["methods"].items():
        cells = "".join(f"{100 * figures[metric]:8.1f}" for metric in COLUMNS)
        yield f"{name:<12}{cells}{figures['steps']:>8}{figures['train_seconds']:>9.0f}"
    yield ""
    for pair, metrics in summary["differences"].items():
        found = metrics["recall_at_1"]
        low, high = 100 * found["low"], 100 * found["high"]
        change = f"{100 * found['mean']:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})"
        yield f"{pair}: R@1 {change}{_studied(summary.get('study'), pair)}"
    training = summary["training"]
    if training["contributing_share"] is not None:
        yield (
            f"reward {training['reward_first']:.2f} → {training['reward_last']:.2f}, "
            f"{100 * training['contributing_share']:.0f} % of the pairs contributed"
        )
    if training["stopped_early"]:
        yield f"training stopped early: {training['stopped_early']}"
    if summary["supervisor"]["note"]:
        yield summary["supervisor"]["note"]
    yield ""
    yield f"gates: {summary['gate']['status']}"
    for gate in summary["gate"]["gates"]:
        effect = gate.get("effect", "none")
        marked = f"{gate['status']:<13} {'' if effect == 'none' else effect:<7}"
        yield f"  {marked} {gate['id']}: {_one_line(gate['reason'])}"
    yield f"model {model['name']}, version {model['version']} (not promoted)"
    if summary["gate"]["status"] == "PASS":
        yield f"promote it: saga promote {model['name']} {model['version']} --to production"


def _one_line(reason: str) -> str:
    """A reason may name classes, whose letters come from outside."""
    return " ".join(str(visible(reason)).split())


def _studied(study: dict[str, Any] | None, pair: str) -> str:
    """What a study found for the same difference."""
    if study is None or pair not in study["differences"]:
        return ""
    mean, low, high = (100 * study["differences"][pair][k] for k in ("mean", "low", "high"))
    return f"; study of {study['seeds']} seeds {mean:+.1f} ({low:+.1f} to {high:+.1f})"
