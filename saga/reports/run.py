"""report.html of a run, from what summary.json holds and its pictures.

Sections that a run did not reach are left out of its summary, and so of the page.
"""

from collections.abc import Mapping
from typing import Any

from saga.reports.comparison import METHODS, METRICS, compared, difference_rows, method_rows
from saga.reports.page import duration, percent, render
from saga.reports.verdicts import VERDICTS

Facts = Mapping[str, Any]
CAPTIONS = {
    "recall": "Recall@K on unseen classes; the bars are intervals clustered by class.",
    "similarity": "Cosine of each query with its nearest image, where that is right and where it "
    "is wrong. The further the two lie apart, the better the similarity tells whether to trust an "
    "answer.",
    "gallery": "Queries (left) and their nearest images under the candidate. Whole green border "
    "and ✓: the query's class. Dashed red border and ✗: another. The queries are drawn at random, "
    "half with a wrong first neighbour and half with a right one, so they do not show how often it "
    "is right.",
    "attention": "Where the candidate's pooler looks on unseen images: coloured where a token "
    "weighs more than an even share.",
    "curves": "Training step by step.",
    "images_train": "Some training classes.",
    "images_test": "Some unseen classes, on which everything above is judged.",
}
"""By name of the picture."""
GIBIBYTE = 1 << 30


def run_report(summary: Facts, pictures: Mapping[str, bytes]) -> str:
    """HTML of a run.

    Args:
        summary: run_id, status, and what else the run reached.
        pictures: PNGs by a name of CAPTIONS.

    Raises:
        ValueError: for a picture without a caption.
    """
    unknown = pictures.keys() - CAPTIONS.keys()
    if unknown:
        raise ValueError(f"pictures without a caption: {sorted(unknown)}")
    methods, differences = _section(summary, "methods"), _section(summary, "differences")
    study = _section(summary, "study")
    return render(
        "run.html.jinja",
        run_id=summary["run_id"],
        verdict=_verdict(summary),
        error=summary.get("error"),
        gates=_section(summary, "gate").get("gates") or [],
        facts=_head(summary),
        metrics=METRICS,
        methods=method_rows(methods),
        explained={name: text for name, text in METHODS.items() if name in methods},
        compared=compared(differences),
        differences=difference_rows(differences, list(methods), study.get("differences")),
        study=_study(study),
        pictures={n: (text, pictures[n]) for n, text in CAPTIONS.items() if n in pictures},
        training=_training(_section(summary, "training")),
        supervisor=_supervisor(_section(summary, "supervisor")),
        note=_section(summary, "supervisor").get("note"),
        data=_data(_section(summary, "dataset")),
        validation=_validation(_section(summary, "dataset").get("validation")),
        artifacts=_artifacts(_section(summary, "artifacts")),
        timings=_timings(summary),
        environment=_environment(summary),
        dirty=_section(summary, "environment").get("git_dirty"),
        command=summary.get("command"),
    )


def _section(summary: Facts, name: str) -> Facts:
    return summary.get(name) or {}


def _verdict(summary: Facts) -> tuple[str, str]:
    """A word and a sentence: of the gates, or of how the run ended before them."""
    status = str(_section(summary, "gate").get("status") or "")
    if status and summary["status"] != "failed":
        return status, VERDICTS.get(status, "This encoder must not be promoted.")
    if summary["status"] == "refused":
        return "REFUSED", "The run was refused before the gates; nothing can be promoted."
    if summary["status"] == "ok":
        return "UNJUDGED", "No gate was asked; nothing can be promoted."
    return "FAILED", "The run ended with an error; nothing can be promoted."


def _head(summary: Facts) -> list[tuple[str, str]]:
    model, dataset = _section(summary, "model"), _section(summary, "dataset")
    config = _section(summary, "config")
    version = model.get("version")
    return _present(
        ("model", f"{model.get('name')}, version {version}" if version else model.get("name")),
        ("configuration", config.get("name")),
        ("data", dataset.get("name")),
        ("took", duration(summary["seconds"]) if "seconds" in summary else None),
    )


def _study(study: Facts) -> str | None:
    """Where the study's column comes from; None where there is none."""
    if "differences" not in study:
        return None
    facts = _present(
        ("of", study.get("date", "")[:10]),
        ("seeds", study.get("seeds")),
        ("regime", study.get("regime")),
    )
    told = ", ".join(f"{label} {value}" for label, value in facts)
    name = study.get("study_id")
    return (
        f"The study {name} ({told}) repeated the comparison on data of its own; a run is one seed."
    )


def _training(training: Facts) -> list[tuple[str, str]]:
    if not training:
        return []

    def rate(name: str, meaning: str = "") -> str | None:
        value = training.get(name)
        return None if value is None else f"{percent(value)} %{meaning}"

    return _present(
        (
            "contributing pairs",
            rate("contributing_share", " of those tried: their rollouts disagree, so they teach"),
        ),
        (
            "of pairs drawn evenly",
            rate(
                "contributing_share_explored",
                f" contributing; the chosen pairs' cosine is {training['similarity_shift']:+.3f} off"
                if training.get("similarity_shift") is not None
                else "",
            ),
        ),
        ("waiting for images", rate("wait_share", " of the training time")),
        (
            "waiting of processes for each other",
            rate("rank_wait_share", " of the training time"),
        ),
        ("reward in the first steps", rate("reward_first")),
        ("reward in the last steps", rate("reward_last")),
        ("true values described in the first steps", rate("accuracy_first")),
        ("true values described in the last steps", rate("accuracy_last")),
        ("rollouts that could be read", rate("parsed_share")),
        ("stopped early", training.get("stopped_early") or "no"),
    )


def _supervisor(supervisor: Facts) -> list[tuple[str, str]]:
    names = ("name", "prompt", "digest")
    return _present(*((name, supervisor.get(name)) for name in names))


def _data(dataset: Facts) -> list[tuple[str, str]]:
    def split(name: str) -> str | None:
        images, classes = dataset.get(f"{name}_images"), dataset.get(f"{name}_classes")
        if not classes:
            return None
        return f"{classes:,} classes" + (f", {images:,} images" if images is not None else "")

    images = dataset.get("images")
    return _present(
        ("name", dataset.get("name")),
        ("layout", dataset.get("layout")),
        ("images", None if images is None else f"{images:,}"),
        ("trained on", split("train")),
        ("model selection", split("validation")),
        ("judged on", split("test")),
        ("digest", dataset.get("digest")),
    )


def _validation(validation: Facts | None) -> dict[str, Any] | None:
    """Outcome in words, and what failed or warns."""
    if not validation:
        return None
    success = bool(validation.get("success"))
    return {
        "success": success,
        "word": "passed" if success else "failed",
        "failed": _outcomes(validation.get("failed")),
        "warnings": _outcomes(validation.get("warnings")),
    }


def _outcomes(found: Any) -> list[str]:
    """Expectations in words: an id, or an object's title (else its id) and what was observed."""
    if not isinstance(found, list):
        return []
    return [_outcome(item) if isinstance(item, Mapping) else str(item) for item in found]


def _outcome(facts: Facts) -> str:
    name = facts.get("title") or facts.get("id") or "unnamed"
    return f"{name}: {facts['observed']}" if facts.get("observed") else str(name)


def _artifacts(artifacts: Facts) -> list[tuple[str, str, str]]:
    return [
        (name, _or_dash(facts.get("version")), _or_dash(facts.get("digest")))
        for name, facts in artifacts.items()
    ]


def _timings(summary: Facts) -> list[tuple[str, str, float]]:
    """Step, time in words, and its share of the longest in per cent."""
    timings, reused = _section(summary, "timings"), summary.get("reused_steps") or []
    taken = {name: 0.0 if name in reused else seconds for name, seconds in timings.items()}
    longest = max([*taken.values(), 1e-9])
    return [
        (name, "reused" if name in reused else duration(seconds), round(100 * seconds / longest, 1))
        for name, seconds in taken.items()
    ]


def _environment(summary: Facts) -> list[tuple[str, str]]:
    environment, peak = _section(summary, "environment"), summary.get("peak_memory_bytes")
    versions = environment.get("versions") or {}
    commit = environment.get("git_commit")
    changes = " with changes that are not committed" if environment.get("git_dirty") else ""
    return _present(
        ("commit", f"{commit}{changes}" if commit else None),
        ("Python", environment.get("python")),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("peak memory", f"{peak / GIBIBYTE:.1f} GiB" if peak else None),
    )


def _present(*rows: tuple[str, Any]) -> list[tuple[str, str]]:
    """The rows that have a value."""
    return [(label, str(value)) for label, value in rows if value not in (None, "")]


def _or_dash(value: Any) -> str:
    return "–" if value is None else str(value)
