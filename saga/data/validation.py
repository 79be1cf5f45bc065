"""What the dataset validation found: every expectation and its outcome, bound to the data.

A folder holds validation.json. The report is a success only if every expectation of the suite ran,
none raised an error, and no critical one failed; warnings are shown and stop nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from saga.errors import RefusedError, UserInputError
from saga.files import digest_of, write_json
from saga.reports.page import render
from saga.retrieval.storage import altered, read_facts

VALIDATION = "validation.json"
TEMPLATE = "validation.html.jinja"
MOST_EXAMPLES = 10
FACTS = ("dataset", "layout", "dataset_digest", "counts", "limits_digest", "settings", "expected")
Severity = Literal["critical", "warning"]


@dataclass(frozen=True, slots=True)
class ExpectationOutcome:
    """One expectation and what was found."""

    id: str
    title: str
    """What should hold, in plain words."""
    severity: Severity
    success: bool
    observed: str
    """What was found, in words."""
    advice: str
    """What to do where it does not hold."""
    examples: tuple[str, ...] = ()
    """At most ten images or classes that break it."""
    error: str | None = None
    """Why it could not be checked."""

    def __post_init__(self) -> None:
        if self.severity not in ("critical", "warning"):
            raise ValueError(f"severity must be critical or warning, got {self.severity!r}")
        if len(self.examples) > MOST_EXAMPLES:
            raise ValueError(f"at most {MOST_EXAMPLES} examples, got {len(self.examples)}")
        if self.success is not True and self.success is not False:
            raise ValueError(f"success must be true or false, got {self.success!r}")
        if self.success and self.error is not None:
            raise ValueError("an expectation that raised an error cannot have succeeded")

    @property
    def state(self) -> Literal["passed", "failed", "warning"]:
        """An error always counts as a failure, whatever the severity."""
        if self.success:
            return "passed"
        return "failed" if self.severity == "critical" or self.error else "warning"


@dataclass(frozen=True)
class ValidationReport:
    """The outcome of all expectations on one dataset."""

    dataset: str
    """Name of the dataset."""
    layout: str
    dataset_digest: str
    """Of the manifest that was checked."""
    counts: Mapping[str, Any]
    """Images in all; images and classes of each split."""
    limits_digest: str
    """Of the image limits that files were read under."""
    settings: Mapping[str, Any]
    """Limits and thresholds."""
    expected: tuple[str, ...]
    """Ids of the expectations that should have run."""
    outcomes: tuple[ExpectationOutcome, ...]

    def __post_init__(self) -> None:
        if not self.expected:
            raise ValueError("a report that expects nothing would let everything pass")

    @property
    def missing(self) -> list[str]:
        """Expectations that did not run, and those that ran without being expected or twice."""
        ran = [outcome.id for outcome in self.outcomes]
        odd = {name for name in ran if name not in self.expected or ran.count(name) > 1}
        return [name for name in self.expected if name not in ran] + sorted(odd)

    @property
    def failed(self) -> list[ExpectationOutcome]:
        """Critical ones that do not hold, and all that could not be checked."""
        return [outcome for outcome in self.outcomes if outcome.state == "failed"]

    @property
    def warnings(self) -> list[ExpectationOutcome]:
        """Others that do not hold."""
        return [outcome for outcome in self.outcomes if outcome.state == "warning"]

    @property
    def success(self) -> bool:
        """Whether the data may be used."""
        return not self.missing and not self.failed

    @cached_property
    def digest(self) -> str:
        """Of everything above."""
        return digest_of(self._facts())

    def require(self) -> None:
        """Go on only with data that may be used.

        Raises:
            RefusedError: saying what failed.
        """
        if not self.success:
            raise RefusedError(self.message())

    def message(self) -> str:
        """Each failed expectation, with examples and what to do."""
        if self.success:
            return (
                f"{self.dataset}: all {len(self.outcomes)} expectations ran; none critical failed."
            )
        lines = [f"The dataset {self.dataset} was refused by its validation."]
        for outcome in self.failed:
            found = f"could not be checked: {outcome.error}" if outcome.error else outcome.observed
            lines.append(f"- {outcome.title}: {found}.")
            lines += [f"    {example}" for example in outcome.examples]
            lines.append(f"  What to do: {outcome.advice}")
        if self.missing:
            lines.append(
                f"- {len(self.outcomes)} expectations ran, {len(self.expected)} should have; "
                f"differing: {', '.join(self.missing)}. Validate again; nothing can be said so far."
            )
        return "\n".join(lines)

    def to_summary(self) -> dict[str, Any]:
        """What a run's summary says."""
        return {
            "success": self.success,
            "expectations": len(self.outcomes),
            "expected": len(self.expected),
            "failed": [_brief(outcome) for outcome in self.failed],
            "warnings": [_brief(outcome) for outcome in self.warnings],
            "digest": self.digest,
        }

    def page(self) -> str:
        """A self-contained HTML page; all that comes from the data is escaped."""
        order = ("failed", "warning", "passed")
        outcomes = sorted(self.outcomes, key=lambda outcome: order.index(outcome.state))
        return render(TEMPLATE, report=self, outcomes=outcomes)

    def save(self, folder: Path) -> None:
        """Write validation.json into a folder."""
        write_json(Path(folder) / VALIDATION, self._facts() | {"digest": self.digest})

    @classmethod
    def load(cls, folder: Path) -> "ValidationReport":
        """Read a folder written by `save`.

        Raises:
            UserInputError: if it is missing, of another form or was altered.
        """
        folder = Path(folder)
        facts = read_facts(folder / VALIDATION, {*FACTS, "success", "outcomes", "digest"})
        digest, success = facts.pop("digest"), facts.pop("success")
        try:
            outcomes = [
                ExpectationOutcome(**o | {"examples": tuple(o["examples"])})
                for o in facts.pop("outcomes")
            ]
            expected = tuple(facts.pop("expected"))
            report = cls(expected=expected, outcomes=tuple(outcomes), **facts)
            intact = report.digest == digest and report.success is success
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise UserInputError(
                f"{folder / VALIDATION} is not a validation report of this version: {error}."
            ) from error
        if not intact:
            raise altered("validation report", folder)
        return report

    def _facts(self) -> dict[str, Any]:
        outcomes = [asdict(o) | {"examples": list(o.examples)} for o in self.outcomes]
        facts = {name: getattr(self, name) for name in FACTS} | {"expected": list(self.expected)}
        facts |= {"counts": dict(self.counts), "settings": dict(self.settings)}
        return facts | {"success": self.success, "outcomes": outcomes}


def _brief(outcome: ExpectationOutcome) -> dict[str, str]:
    return {
        "id": outcome.id,
        "title": outcome.title,
        "observed": outcome.error or outcome.observed,
    }
