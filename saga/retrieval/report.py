"""What an evaluation found: figures, and the outcome of every query for paired tests."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from saga.errors import UserInputError
from saga.files import digest_of, write_json


@dataclass(frozen=True)
class RetrievalReport:
    """One encoder on one set of unseen classes."""

    name: str
    """"pretrained", "dml", "saga", …"""
    metrics: dict[str, float]
    """recall_at_{1,2,4,8}, map_at_r, nmi; fractions in [0, 1]."""
    per_query: pd.DataFrame
    """image_id, class_id, class_name, hit_at_K, map_at_r, neighbours, similarities."""
    encoder_digest: str
    dataset_digest: str
    facts: dict[str, Any] = field(default_factory=dict)
    """Seeds and diagnostics."""

    @cached_property
    def digest(self) -> str:
        """Of the figures, the outcomes and what was judged."""
        hits = [c for c in self.per_query.columns if c.startswith("hit_at_")]
        rows = self.per_query[["image_id", *hits]].values.tolist()
        return digest_of({"rows": rows, "facts": self._facts()})

    @property
    def per_class(self) -> pd.DataFrame:
        """Mean outcomes and number of queries of each class, worst Recall@1 first."""
        columns = [c for c in self.per_query.columns if c.startswith(("hit_at_", "map_at_r"))]
        grouped = self.per_query.groupby(["class_id", "class_name"])
        table = grouped[columns].mean()
        table["queries"] = grouped.size()
        return table.reset_index().sort_values(["hit_at_1", "class_id"], ignore_index=True)

    def save(self, folder: Path) -> None:
        """Write report.json, per_query.parquet and per_class.parquet into an existing folder."""
        self.per_query.to_parquet(folder / "per_query.parquet", index=False)
        self.per_class.to_parquet(folder / "per_class.parquet", index=False)
        write_json(folder / "report.json", self._facts() | {"digest": self.digest})

    @classmethod
    def load(cls, folder: Path) -> "RetrievalReport":
        """Read a folder written by `save`.

        Raises:
            UserInputError: if it was altered.
        """
        facts = json.loads((folder / "report.json").read_text())
        digest = facts.pop("digest")
        report = cls(per_query=pd.read_parquet(folder / "per_query.parquet"), **facts)
        if report.digest != digest:
            raise UserInputError(f"The report in {folder} was altered: its digest differs.")
        return report

    def _facts(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "metrics": self.metrics,
            "encoder_digest": self.encoder_digest,
            "dataset_digest": self.dataset_digest,
            "facts": self.facts,
        }
