"""The tables of docs/study.md, from the committed results of the studies.

    python -m benchmarks.study_tables docs/study.md

rewrites what stands between the page's markers. R@1 and other rates in per cent, differences in points.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.page import Facts, Tables, head, rewrite, row
from saga.studies.explanation_table import explanation_table
from saga.studies.targets import told

STUDIES = Path(__file__).parents[1] / "configs" / "studies"
HAZY = "hazy_habitat"

MAIN = ("dml", "grpo", "kl", "kl_only", "pretrained", "saga")
"""The arms of a main table."""

PARTNERS = {
    "one query (the paper's pooler)": ("dml_one_query", "saga_one_query"),
    "Proxy-Anchor": ("dml_proxy_anchor", "saga_proxy_anchor"),
    "Potential Field": ("dml_potential_field", "saga_potential_field"),
    "generic prompt, no alignment": ("dml", "saga_generic"),
    "SAGA against Proxy-Anchor alone": ("dml_proxy_anchor", "saga"),
    "with the usual augmentations": ("dml_augmented", "saga_augmented"),
    "what verdicts add to alignment with them": ("kl_augmented", "saga_augmented"),
    "SAGA without against DML with them": ("dml_augmented", "saga"),
    "SAGA against an oracle": ("oracle", "saga"),
    "an oracle against DML": ("dml", "oracle"),
    "an oracle against DML + alignment": ("kl", "oracle"),
    "verdicts alone, mean pooling, against the tower as it came": ("pretrained", "grpo_only"),
}
"""What is compared in the main regime beside its five arms: title, and without and with."""


def source(found: Facts) -> Iterator[str]:
    """Command, date, commits and hours of a study."""
    commits = ", ".join(commit[:10] for commit in found["commits"])
    yield (
        f"`{found['command']}`; {found['date'][:10]}, commit{'s' * (len(found['commits']) > 1)} "
        f"{commits}; {found['seeds']} seeds, {found['cells']} cells, {_time(found['cell_seconds'])} of "
        "them one after the other."
    )
    yield ""


def main_arms(found: Facts) -> Iterator[str]:
    """The main arms, with what the supervisor said."""
    yield from source(found)
    yield from head(
        "arm",
        *("R@1", "R@4", "NMI", "R@1 of each seed", "reward, first → last steps"),
        *("true values described", "chosen rates (tried)"),
    )
    for name, arm in _main(found)["arms"].items():
        if name not in MAIN:
            continue
        training = arm["training"]
        yield row(
            name,
            *_figures(arm),
            _change(training["reward_first"], training["reward_last"]),
            _change(training["accuracy_first"], training["accuracy_last"]),
            _rates(arm),
        )


def main_differences(found: Facts) -> Iterator[str]:
    """The differences between the main arms, with both intervals."""
    yield from head(
        "difference of R@1", "points", "95 %, clustered by class", "95 %, over seeds", "each seed"
    )
    for name, values in _main(found)["differences"].items():
        if not set(name.split("-")) <= set(MAIN):
            continue
        yield row(
            name.replace("-", " − "),
            _points(values["mean"]),
            _interval(values, "low", "high"),
            _interval(values, "seed_low", "seed_high"),
            _each(values["per_seed"], _points),
        )


def explained(found: Facts) -> Iterator[str]:
    """What `--explain` printed."""
    yield from ("```", explanation_table(found["regimes"]), "```")


def targets(found: Facts) -> Iterator[str]:
    """What was asked beforehand, and what came of it."""
    yield from (found["verdict"], "")
    for target in found["targets"]:
        yield f"- {target['words']}"


def regimes(found: Facts) -> Iterator[str]:
    """DML, alignment and SAGA in every regime that has them."""
    yield from source(found)
    yield from head(
        "regime", "DML", "DML + alignment", "SAGA", "SAGA − DML", "SAGA − (DML + alignment)"
    )
    for name, regime in found["regimes"].items():
        arms = regime["arms"]
        yield row(
            name.replace("_", " "),
            *(
                _rate(arms[arm]["recall_at_1"]) if arm in arms else ""
                for arm in ("dml", "kl", "saga")
            ),
            *(_difference(regime, pair) for pair in ("saga-dml", "saga-kl")),
        )


def arms(found: Facts) -> Iterator[str]:
    """Further arms of the main regime, and what they are to be compared with."""
    regime = found["regimes"][HAZY]
    yield from head("hazy habitat", "without", "with", "difference")
    for title, (without, with_it) in PARTNERS.items():
        rates = (_rate(regime["arms"][arm]["recall_at_1"]) for arm in (without, with_it))
        yield row(title, *rates, _difference(regime, f"{with_it}-{without}"))
    yield ""
    yield from head("arm", "R@1", "R@4", "NMI", "R@1 of each seed", "chosen rates (tried)")
    for name, arm in regime["arms"].items():
        if name not in MAIN:
            yield row(name, *_figures(arm), _rates(arm))


def tries(found: Facts) -> Iterator[str]:
    """R@1 of each try on the validation classes."""
    tuning = found["tuning"]
    yield (
        f"`saga study configs/studies/{found['study']}.yaml --tune`; {found['date'][:10]}, commit "
        f"{', '.join(commit[:10] for commit in found['commits'])}; {tuning['seeds']} seeds of data seed "
        f"{tuning['data_seed']}, {found['steps']} steps where nothing else is said."
    )
    yield ""
    yield from head("try", "R@1 on validation classes", "each seed")
    for entry in found["settings"]:
        yield row(entry["arm"], _rate(entry["mean"]), _each(entry["per_seed"], _rate))


def _main(found: Facts) -> Facts:
    """The hazy habitat, or the regime that a study has instead."""
    made = {name: regime for name, regime in found["regimes"].items() if regime["arms"]}
    return made[HAZY] if HAZY in made else next(iter(made.values()))


def _difference(regime: Facts, pair: str) -> str:
    """Points, both intervals and every seed; nothing where it was not made."""
    values = regime["differences"].get(pair)
    if values is None:
        return ""
    return f"{told(values)}; {_each(values['per_seed'], _points)}"


def _figures(arm: Facts) -> Iterator[str]:
    """R@1, R@4 and NMI, and R@1 of each seed."""
    yield from (_rate(arm[metric]) for metric in ("recall_at_1", "recall_at_4", "nmi"))
    yield _each(arm["per_seed"], _rate)


def _rates(arm: Facts) -> str:
    """The encoder's and the pooler's learning rates, and how many settings were compared."""
    if arm["of"] != "train":
        return "–"
    rates = arm["rates"]
    encoder = "frozen" if rates["encoder_lr"] is None else f"{rates['encoder_lr']:g}"
    chosen = arm["settings_from"] or arm["settings_tried"]
    return f"{encoder}, {rates['pooler_lr']:g}" + (f" ({chosen})" if chosen else "")


def _each(values: list[float], say: Callable[[float], str]) -> str:
    return " ".join(say(value) for value in values)


def _change(first: float | None, last: float | None) -> str:
    return "–" if first is None or last is None else f"{_rate(first)} → {_rate(last)}"


def _interval(values: Facts, low: str, high: str) -> str:
    return f"{_points(values[low])} to {_points(values[high])}"


def _rate(value: float) -> str:
    return f"{100 * value:.1f}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"


TABLES: Tables = {
    "arms": ("results/miniature.json", main_arms),
    "differences": ("results/miniature.json", main_differences),
    "explained": ("explained/miniature.json", explained),
    "targets": ("results/miniature.json", targets),
    "shallow targets": ("results/full.json", targets),
    "shallow arms": ("results/full.json", main_arms),
    "shallow differences": ("results/full.json", main_differences),
    "regimes": ("results/full.json", regimes),
    "further arms": ("results/full.json", arms),
    "earlier arms": ("results/deep.json", main_arms),
    "earlier differences": ("results/deep.json", main_differences),
    "photos": ("results/cub200-photos.json", main_arms),
    "photos' differences": ("results/cub200-photos.json", main_differences),
    "tries": ("tried.json", tries),
}


if __name__ == "__main__":
    rewrite(TABLES, STUDIES)
