"""Which targets a study meets, in words."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from saga.studies.configuration import Target

Difference = Mapping[str, Any]


def judged(target: Target, difference: Difference | None, seeds: int) -> dict[str, Any]:
    """A target with its outcome.

    Args:
        target: what was asked.
        difference: what was found (mean, low, high, per_seed); None where nothing was.
        seeds: how many seeds there should be.

    Returns:
        the target's settings; `met` (None where it cannot be judged) and `words`.
    """
    name = f"{target.regime}: {target.difference.replace('-', ' − ')}"
    kind = "" if target.kind == "floor" else "aim: "
    asked = f"{kind}{name} {_asked(target)}"
    present = [] if difference is None else [v for v in difference["per_seed"] if v is not None]
    if difference is None or len(present) < seeds:
        words = f"{asked}: not judged, {len(present)} of {seeds} seeds are there"
        return asdict(target) | {"met": None, "words": words}
    met = _met(target, difference)
    found = f"found {told(difference)}"
    return asdict(target) | {
        "met": met,
        "words": f"{asked}: {'met' if met else 'NOT met'}, {found}",
    }


def verdict(outcomes: list[dict[str, Any]]) -> str:
    """One sentence for all of a study's targets."""
    if not outcomes:
        return "The study sets no targets."
    parts = []
    for kind, noun in (("floor", "targets"), ("aim", "aims")):
        of_kind = [o for o in outcomes if o["kind"] == kind]
        if of_kind:
            met = sum(o["met"] is True for o in of_kind)
            unjudged = sum(o["met"] is None for o in of_kind)
            parts.append(
                f"{met} of {len(of_kind)} {noun} met"
                + (f" ({unjudged} could not be judged)" if unjudged else "")
            )
    return "; ".join(parts) + "."


def told(difference: Difference) -> str:
    """A difference in points with both intervals."""
    text = (
        f"{_points(difference['mean'])} (classes {_interval(difference['low'], difference['high'])}"
    )
    if difference["seed_low"] is not None:
        text += f"; seeds {_interval(difference['seed_low'], difference['seed_high'])}"
    return f"{text})"


def _asked(target: Target) -> str:
    parts = []
    if target.at_least is not None:
        parts.append(f"at least {_points(target.at_least)} R@1")
    if target.interval == "above_zero":
        parts.append("interval above 0")
    if target.interval == "not_below_zero":
        parts.append("interval not below 0")
    return ", ".join(parts) or "is reported"


def _met(target: Target, difference: Difference) -> bool:
    enough = target.at_least is None or difference["mean"] >= target.at_least
    clear = {
        "above_zero": difference["low"] > 0,
        "not_below_zero": difference["high"] >= 0,
        "any": True,
    }[target.interval]
    return bool(enough and clear)


def _interval(low: float, high: float) -> str:
    return f"{_points(low)} to {_points(high)}"


def _points(rate: float) -> str:
    return f"{100 * rate:+.1f}"
