"""What happened in training, step by step, and what it comes to."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from saga.files import digest_of
from saga.retrieval.storage import altered, read_facts, read_table, rows_digest, write_table

STEPS, SUMMARY = "steps.parquet", "summary.json"


@dataclass(frozen=True)
class TrainingHistory:
    """Metrics of every step (a figure that did not occur in a step is null) and their summary."""

    frame: pd.DataFrame
    """One row per step; column `step` counts from 1, the others are figures by name."""
    summary: dict[str, Any]
    """arm, steps, planned_steps, seed, seconds, stopped_early (reason or None), and for arms with
    rollouts contributing_share, reward_first, reward_last (means of up to ten), parsed_share;
    where the data have true attribute values, accuracy_first and accuracy_last of the descriptions."""

    @cached_property
    def digest(self) -> str:
        """Of all rows and of the summary."""
        return digest_of({"rows": rows_digest(_nullable(self.frame)), "summary": self.summary})

    def save(self, folder: Path) -> None:
        """Write steps.parquet, then summary.json, into an existing folder."""
        from saga.files import write_json

        folder = Path(folder)
        frame = _nullable(self.frame)
        write_table(folder / STEPS, frame, _schema(list(frame.columns)))
        facts = {"columns": list(frame.columns), "summary": self.summary, "digest": self.digest}
        write_json(folder / SUMMARY, facts)

    @classmethod
    def load(cls, folder: Path) -> "TrainingHistory":
        """Read a folder written by `save`.

        Raises:
            UserInputError: if it is missing, of another form or was altered.
        """
        folder = Path(folder)
        facts = read_facts(folder / SUMMARY, {"columns", "summary", "digest"})
        if not isinstance(facts["columns"], list):
            raise altered("training history", folder)
        frame = read_table(folder / STEPS, _schema([str(name) for name in facts["columns"]]))
        history = cls(_nullable(frame), facts["summary"])
        if history.digest != facts["digest"]:
            raise altered("training history", folder)
        return history


def _nullable(frame: pd.DataFrame) -> pd.DataFrame:
    """Figures as floats that may be null."""
    return frame.astype(dict.fromkeys(frame.columns, "Float64"))


def _schema(columns: list[str]) -> pa.Schema:
    return pa.schema([pa.field(name, pa.float64()) for name in columns])
