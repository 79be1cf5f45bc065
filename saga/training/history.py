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
    """arm, steps, planned_steps, seed, seconds, wait_share (share of the time in which training waited
    for images), stopped_early (reason or None); of several processes rank_wait_share and
    rank_wait_share_max (share of the time in which they waited for each other: the mean, and of the one
    that waited most); for arms with rollouts contributing_share, reward_first, reward_last (means of up
    to ten), parsed_share; where pairs were chosen contributing_share_explored (of those drawn evenly all
    the same) and similarity_shift (how much more alike the chosen are than those that were drawn); where
    the data have true attribute values, accuracy_first and accuracy_last of the descriptions."""

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


def history_of(rows: list[dict[str, float | None]], facts: dict[str, Any]) -> TrainingHistory:
    """Metrics of some steps, and what they come to.

    Args:
        rows: by figure, of each step; at least "step" and "seconds".
        facts: what the summary says besides: arm, steps, planned_steps, seed, stopped_early.
    """
    # Sorted: rows that come from a checkpoint's JSON have lost their own order.
    columns = ["step", *sorted(set().union(*rows) - {"step"})]
    frame = pd.DataFrame(rows, columns=columns)
    summary = facts | {"seconds": float(frame["seconds"].sum())}
    if "seconds/waited" in frame and summary["seconds"]:
        summary["wait_share"] = float(frame["seconds/waited"].sum()) / summary["seconds"]
    summary |= _rank_waits(frame)
    if "rollout/reward" in frame:
        first, last = _first_and_last(frame["rollout/reward"])
        summary |= {
            "contributing_share": float(frame["rollout/contributing"].mean()),
            "reward_first": first,
            "reward_last": last,
            "parsed_share": float(frame["rollout/parsed"].mean()),
        }
        if "choice/contributing_explored" in frame:
            summary |= {
                "contributing_share_explored": float(frame["choice/contributing_explored"].mean()),
                "similarity_shift": float(frame["choice/similarity_shift"].mean()),
            }
        if "accuracy/all" in frame:
            first, last = _first_and_last(frame["accuracy/all"])
            summary |= {"accuracy_first": first, "accuracy_last": last}
    return TrainingHistory(frame, summary)


def _rank_waits(frame: pd.DataFrame) -> dict[str, float]:
    """Over the steps that several processes took."""
    if "ranks/wait_share" not in frame:
        return {}
    shared = frame[frame["ranks/wait_share"].notna()]
    weights = shared["seconds"] / shared["seconds"].sum()
    by_rank = [name for name in map(str, shared) if name.startswith("ranks/wait_share_of_")]
    most = max(float((shared[name].fillna(0) * weights).sum()) for name in by_rank)
    mean = float((shared["ranks/wait_share"] * weights).sum())
    return {"rank_wait_share": mean, "rank_wait_share_max": most}


def _first_and_last(figures: pd.Series) -> tuple[float, float]:
    """Means of up to ten steps at either end."""
    found = figures.dropna()
    ten = max(1, min(10, len(found) // 2))
    return float(found.head(ten).mean()), float(found.tail(ten).mean())


def _nullable(frame: pd.DataFrame) -> pd.DataFrame:
    """Figures as floats that may be null."""
    return frame.astype(dict.fromkeys(frame.columns, "Float64"))


def _schema(columns: list[str]) -> pa.Schema:
    return pa.schema([pa.field(name, pa.float64()) for name in columns])
