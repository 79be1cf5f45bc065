"""Code, packages and hardware of a step: from where they were recorded."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.lineage.recording import RUN_FACTS, STEP_FACTS

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, StepRunResponse

RUNS = Path("runs")
SUMMARY = "summary.json"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of the machine and the code."""

    source: str | None
    """"step", "run", the path of a summary, or None where nothing is known."""
    environment: dict[str, Any] = field(default_factory=dict)
    """git_commit, git_dirty, versions, python."""
    hardware: dict[str, Any] | None = None
    command: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "git_commit": self.environment.get("git_commit"),
            "git_dirty": self.environment.get("git_dirty"),
            "python": self.environment.get("python"),
            "versions": self.environment.get("versions") or {},
            "hardware": self.hardware,
            "recorded_by": self.source,
        }


def recorded(run: "PipelineRunResponse", step: "StepRunResponse | None" = None) -> Recorded:
    """What the step itself recorded, else its run, else the run's summary below `runs`."""
    whole = _mapping(run.run_metadata.get(RUN_FACTS))
    own = _mapping(step.run_metadata.get(STEP_FACTS)) if step is not None else {}
    command = str(whole.get("command") or "")
    for source, facts in (("step", own), ("run", whole)):
        if facts:
            environment = _mapping(facts.get("environment"))
            return Recorded(source, environment, _mapping(facts.get("hardware")) or None, command)
    path = RUNS / run.name / SUMMARY
    summary = read_summary(path, run.name)
    if summary:
        environment = _mapping(summary.get("environment"))
        return Recorded(path.as_posix(), environment, None, str(summary.get("command") or ""))
    return Recorded(None)


def read_summary(path: Path, run_id: str) -> dict[str, Any]:
    """The summary of a run; empty where there is none of that run."""
    try:
        summary = _mapping(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return {}
    return summary if summary.get("run_id") == run_id else {}


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}
