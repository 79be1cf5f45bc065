"""What an evaluation found: figures, and the outcome of every query for paired tests.

A folder holds report.json (figures, settings, digests), per_query.parquet, and for readers
per_class.parquet and per_slice.parquet, which follow from the queries and are not read back.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from saga.files import digest_of, write_json
from saga.retrieval.configuration import REPORTED_KS
from saga.retrieval.corruptions import PREFIX as CORRUPTED
from saga.retrieval.slices import PREFIX
from saga.retrieval.storage import altered, read_facts, read_table, rows_digest, write_table

REPORT, PER_QUERY, PER_CLASS, PER_SLICE = (
    "report.json",
    "per_query.parquet",
    "per_class.parquet",
    "per_slice.parquet",
)
SUMMARY = (*(f"recall_at_{K}" for K in REPORTED_KS), "map_at_r", "nmi")
FACTS = (
    "name",
    "metrics",
    "encoder_digest",
    "dataset_digest",
    "config",
    "intervals",
    "facts",
)
SHAPE = ("ks", "slices", "corruptions")
"""Which columns the queries' table has; follows from it."""


def outcome_column(metric: str) -> str:
    """The per-query column whose mean a metric is.

    Raises:
        ValueError: if it has none (NMI is one figure of the whole clustering).
    """
    if metric == "map_at_r":
        return "ap_at_r"
    head, _, K = metric.rpartition("_")
    if head != "recall_at" or not K.isdecimal():
        raise ValueError(f"{metric} has no outcome per query; recall_at_K and map_at_r have")
    return f"hit_at_{K}"


@dataclass(frozen=True)
class RetrievalReport:
    """One encoder on one set of unseen classes."""

    name: str
    """"pretrained", "dml", "saga", …"""
    metrics: dict[str, float]
    """recall_at_K, map_at_r, nmi; fractions in [0, 1]."""
    per_query: pd.DataFrame
    """One row per query: image_id, class_id, class_name, hit_at_K (bool), first_hit (rank of the
    first hit within the largest K, or <NA>), ap_at_r, neighbours and similarities (the nearest
    image ids and their cosines, nearest first), a text column "slice.<name>" per slice, and a
    column "corrupted.<name>" per corruption: does the corrupted query find its class at rank 1
    among the clean images, itself left out (bool)."""
    encoder_digest: str
    dataset_digest: str
    config: dict[str, Any] = field(default_factory=dict)
    """The settings it was judged under."""
    intervals: dict[str, list[float]] = field(default_factory=dict)
    """[low, high] of each metric with an outcome per query, clustered by class."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Which k-means NMI rests on, and diagnostics of the embeddings."""

    @property
    def ks(self) -> tuple[int, ...]:
        """The ranks K of Recall@K."""
        hits = [c for c in self._columns() if c.startswith("hit_at_")]
        return tuple(int(c.rpartition("_")[2]) for c in hits)

    @property
    def slices(self) -> tuple[str, ...]:
        """Names of the slices."""
        return tuple(c.removeprefix(PREFIX) for c in self._columns() if c.startswith(PREFIX))

    @property
    def corruptions(self) -> tuple[str, ...]:
        """Names of the corruptions under which the queries were searched for once more."""
        names = (c for c in self._columns() if c.startswith(CORRUPTED))
        return tuple(c.removeprefix(CORRUPTED) for c in names)

    @property
    def under_corruption(self) -> dict[str, float]:
        """Recall@1 of the corrupted queries among the clean images, by corruption."""
        table = self.per_query
        return {name: float(table[f"{CORRUPTED}{name}"].mean()) for name in self.corruptions}

    @cached_property
    def digest(self) -> str:
        """Of the figures, the outcomes and what was judged."""
        return digest_of({"rows": rows_digest(self.per_query), "facts": self._facts()})

    @property
    def per_class(self) -> pd.DataFrame:
        """class_id, class_name, queries and the class's own metrics, worst Recall@1 first."""
        table = self._means(["class_id", "class_name"])
        return table.sort_values(["recall_at_1", "class_id"], ignore_index=True)

    @property
    def per_slice(self) -> pd.DataFrame:
        """slice, value, queries, classes and the metrics over the queries of each slice."""
        parts = [pd.DataFrame(columns=["slice", "value", "queries", "classes", *self._metrics()])]
        for name in self.slices:
            column = f"{PREFIX}{name}"
            part = self._means([column]).rename(columns={column: "value"})
            classes = self.per_query.groupby(column)["class_id"].nunique()
            part["classes"] = part["value"].map(classes)
            part.insert(0, "slice", name)
            parts.append(part[list(parts[0].columns)])
        filled = [p for p in parts if len(p)]
        return pd.concat(filled, ignore_index=True) if filled else parts[0]

    def to_summary(self) -> dict[str, float]:
        """The figures of a run's summary: recall_at_1, _2, _4, _8, map_at_r, nmi."""
        return {name: self.metrics[name] for name in SUMMARY}

    def save(self, folder: Path) -> None:
        """Write the report's files into a folder, report.json last.

        Raises:
            ValueError: if a figure is NaN or a column does not have its type.
        """
        folder = Path(folder)
        shape = {name: list(getattr(self, name)) for name in SHAPE}
        facts = self._facts() | shape | {"digest": self.digest}
        write_table(folder / PER_QUERY, self.per_query, self._schema())
        for name, table in ((PER_CLASS, self.per_class), (PER_SLICE, self.per_slice)):
            write_table(folder / name, table, _table_schema(table))
        write_json(folder / REPORT, facts)

    @classmethod
    def load(cls, folder: Path) -> "RetrievalReport":
        """Read a folder written by `save`.

        Raises:
            UserInputError: if files are missing, of another form, or were altered.
        """
        folder = Path(folder)
        facts = read_facts(folder / REPORT, {*FACTS, *SHAPE, "digest"})
        digest, *shape = (facts.pop(name) for name in ("digest", *SHAPE))
        if not all(isinstance(names, list) for names in shape):
            raise altered("report", folder)
        schema = _query_schema(*(tuple(names) for names in shape))
        report = cls(per_query=read_table(folder / PER_QUERY, schema), **facts)
        if report.digest != digest:
            raise altered("report", folder)
        return report

    def _columns(self) -> list[str]:
        return [str(column) for column in self.per_query.columns]

    def _metrics(self) -> list[str]:
        return [*(f"recall_at_{K}" for K in self.ks), "map_at_r"]

    def _means(self, by: list[str]) -> pd.DataFrame:
        """Number of queries and mean outcomes of each group."""
        grouped = self.per_query.groupby(by, sort=True)
        table = grouped.size().rename("queries").to_frame()
        for metric in self._metrics():
            table[metric] = grouped[outcome_column(metric)].mean().astype(float)
        return table.reset_index()

    def _schema(self) -> pa.Schema:
        return _query_schema(self.ks, self.slices, self.corruptions)

    def _facts(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FACTS}


def _query_schema(
    ks: tuple[int, ...], slices: tuple[str, ...], corruptions: tuple[str, ...]
) -> pa.Schema:
    return pa.schema(
        [
            pa.field("image_id", pa.string()),
            pa.field("class_id", pa.int64()),
            pa.field("class_name", pa.string()),
            *(pa.field(f"hit_at_{K}", pa.bool_()) for K in ks),
            pa.field("first_hit", pa.int32()),
            pa.field("ap_at_r", pa.float64()),
            pa.field("neighbours", pa.list_(pa.string())),
            pa.field("similarities", pa.list_(pa.float32())),
            *(pa.field(f"{PREFIX}{name}", pa.string()) for name in slices),
            *(pa.field(f"{CORRUPTED}{name}", pa.bool_()) for name in corruptions),
        ]
    )


def _table_schema(table: pd.DataFrame) -> pa.Schema:
    """Of per_class and per_slice: text, counts, and metrics."""
    types = {"class_id": pa.int64(), "queries": pa.int64(), "classes": pa.int64()}
    text = {"class_name": pa.string(), "slice": pa.string(), "value": pa.string()}
    return pa.schema([(name, (types | text).get(name, pa.float64())) for name in table.columns])
