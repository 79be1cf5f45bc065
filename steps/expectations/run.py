"""Checks a manifest and its files against the suite.

Great Expectations runs in memory, without analytics and without a network. Its own verdict is not
taken over: it calls a suite with a failed warning a failure, and a check of nothing a success.
"""

import logging
import os
from collections.abc import Callable
from copy import copy
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pandas as pd

from saga.data.configuration import ImageLimits
from saga.data.decoding import inspect_images
from saga.data.manifest import DatasetManifest
from saga.data.validation import MOST_EXAMPLES, ExpectationOutcome, ValidationReport
from saga.files import digest_of
from steps.expectations.thresholds import Thresholds

if TYPE_CHECKING:
    from steps.expectations.suite import Check

Progress = Callable[[int, int], None]
FORMAT = {
    "result_format": "SUMMARY",
    "partial_unexpected_count": MOST_EXAMPLES,
    "unexpected_index_column_names": ["path"],
}
EXAMPLE_LENGTH = 300
"""Characters; names in a dataset can be of any length."""
DEFAULT_THRESHOLDS = Thresholds()


def validate_manifest(
    manifest: DatasetManifest,
    limits: ImageLimits,
    progress: Progress | None = None,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> ValidationReport:
    """Decode every image once and check all expectations.

    Args:
        manifest: the data.
        limits: what the image loader accepts.
        progress: called with (images done, images).
        thresholds: where the expectations draw their lines.
    """
    _quiet()
    from steps.expectations.suite import checks

    suite = checks(manifest.layout, thresholds)
    frame = joined(manifest, inspect_images(manifest, limits, progress))
    limited = asdict(limits) | {"formats": list(limits.formats)}
    return ValidationReport(
        dataset=manifest.name,
        layout=manifest.layout,
        dataset_digest=manifest.digest,
        counts=manifest.counts(),
        limits_digest=digest_of(limited),
        settings=limited | asdict(thresholds),
        expected=tuple(check.id for check in suite),
        outcomes=tuple(run_checks(suite, frame)),
    )


def joined(manifest: DatasetManifest, decoded: pd.DataFrame) -> pd.DataFrame:
    """The table that is checked: the manifest's columns, those of `Decoded`, side and aspect."""
    frame = pd.concat([manifest.frame.reset_index(drop=True), decoded], axis=1)
    frame["side"] = frame[["decoded_width", "decoded_height"]].min(axis=1)
    frame["aspect"] = frame["decoded_width"] / frame["decoded_height"]
    return frame


def run_checks(suite: "list[Check]", frame: pd.DataFrame) -> list[ExpectationOutcome]:
    """The outcome of each check that ran, in the order of the suite."""
    results = {result["expectation_config"]["meta"]["id"]: result for result in _run(suite, frame)}
    looked = {
        "all": len(frame),
        "existing": int(frame["exists"].eq(True).sum()),
        "decoded": int(frame["decodes"].eq(True).sum()),
    }
    return [
        _outcome(check, results[check.id], looked.get(check.looks_at))
        for check in suite
        if check.id in results
    ]


def _run(suite: "list[Check]", frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Great Expectations' results as JSON."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    # This one raises its own level while it is imported.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    asset = context.data_sources.add_pandas("dataset").add_dataframe_asset("images")
    batch = asset.add_batch_definition_whole_dataframe("all")
    expectations = context.suites.add(
        gx.ExpectationSuite("dataset", expectations=[copy(check.expectation) for check in suite])
    )
    definition = gx.ValidationDefinition(name="dataset", data=batch, suite=expectations)
    result = definition.run(batch_parameters={"dataframe": frame}, result_format=FORMAT)
    return [single.to_json_dict() for single in result.results]


def _outcome(check: "Check", result: dict[str, Any], must: int | None) -> ExpectationOutcome:
    """Args: `must` is how many images it must have looked at, None for a figure of the table."""
    found = result.get("result") or {}
    error = _error(result.get("exception_info") or {}) or _vacuous(found, must)
    return ExpectationOutcome(
        id=check.id,
        title=check.title,
        severity=check.severity,
        success=result.get("success") is True and error is None,
        observed=_observed(found),
        advice=check.advice,
        examples=() if result.get("success") else _examples(found),
        error=error,
    )


def _error(info: dict[str, Any]) -> str | None:
    """Message of the first exception; Great Expectations nests them by metric where one failed."""
    for single in (info, *(value for value in info.values() if isinstance(value, dict))):
        if single.get("raised_exception"):
            return str(single.get("exception_message") or "an error without a message")
    return None


def _vacuous(found: dict[str, Any], must: int | None) -> str | None:
    if must is None:
        return None if "observed_value" in found else "nothing was looked at"
    looked = int(found.get("element_count", 0)) - int(found.get("missing_count", 0))
    return None if looked == must else f"{looked} of {must} images were looked at"


def _observed(found: dict[str, Any]) -> str:
    if "observed_value" in found:
        return str(found["observed_value"])
    looked = int(found.get("element_count", 0)) - int(found.get("missing_count", 0))
    return f"{found.get('unexpected_count', 0)} of {looked} images do not comply"


def _examples(found: dict[str, Any]) -> tuple[str, ...]:
    texts = (found.get("details") or {}).get("examples")
    if texts is None:
        rows = found.get("partial_unexpected_index_list") or []
        texts = [_row(row) for row in rows]
    return tuple(_cut(str(text)) for text in texts[:MOST_EXAMPLES])


def _row(row: dict[str, Any]) -> str:
    values = [f"{k} {v}" for k, v in row.items() if k != "path" and not isinstance(v, bool)]
    return ", ".join([str(row.get("path")), *values])


def _cut(text: str) -> str:
    return text if len(text) <= EXAMPLE_LENGTH else text[: EXAMPLE_LENGTH - 1] + "…"


def _quiet() -> None:
    """Before the import: two hundred log lines otherwise, and an attempt at analytics."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
