"""How far some images are from others: figures, what was too much, and the images behind it.

A folder holds drift.parquet (one row per measured image) and drift.json, which is written last.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from saga.errors import UserInputError
from saga.files import digest_of, write_json
from saga.monitoring.image_statistics import STATISTICS
from saga.monitoring.similarities import SIMILARITIES
from saga.retrieval.storage import altered, read_facts, read_table, rows_digest, write_table

DRIFT, IMAGES = "drift.json", "drift.parquet"
MEASURES = (*SIMILARITIES, *STATISTICS)
SCHEMA = pa.schema(
    [
        pa.field("sample", pa.string()),
        pa.field("image", pa.string()),
        *(pa.field(name, pa.float32()) for name in MEASURES),
    ]
)
FACTS = ("name", "figures", "expected", "thresholds", "warnings", "not_judged", "digests", "facts")


@dataclass(frozen=True)
class DriftReport:
    """What was measured between samples of images, and which figures are warnings."""

    name: str
    """"queries" of a service, or "candidate" under judgement."""
    figures: dict[str, float]
    """Every figure, as `<kind or statistic>_<reference>`; larger is farther."""
    expected: dict[str, float]
    """What the same figure is where nothing has changed; 0 for those that are not named."""
    thresholds: dict[str, float]
    """Above which a figure is a warning: what is expected, what would matter and what may be
    chance, added. Figures without one are for information."""
    warnings: tuple[str, ...]
    """A sentence for each figure above its threshold."""
    not_judged: tuple[str, ...]
    """A sentence for each figure that could not be measured, or has too few rows to be judged."""
    digests: dict[str, str]
    """Of encoders, data and policy, by role."""
    images: pd.DataFrame
    """One row per image and sample: sample, image, `top1`, `margin` and the image statistics; <NA>
    where something was not measured."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Plain values for readers."""

    def __post_init__(self) -> None:
        if list(self.images.columns) != SCHEMA.names:
            raise ValueError(f"columns must be {SCHEMA.names}, got {list(self.images.columns)}")
        strange = (self.expected.keys() | self.thresholds.keys()) - self.figures.keys()
        if strange:
            raise ValueError(f"there are no figures {', '.join(sorted(strange))}")
        if len(self.warnings) != len(self.exceeded):
            raise ValueError(
                f"{len(self.warnings)} warnings for {len(self.exceeded)} figures above threshold"
            )

    @property
    def exceeded(self) -> list[str]:
        """Names of the figures above their threshold, in the order of the warnings."""
        return [name for name, most in self.thresholds.items() if self.figures[name] > most]

    @property
    def rows(self) -> dict[str, int]:
        """Images of each sample."""
        counts = self.images["sample"].value_counts(sort=False)
        return {str(sample): int(n) for sample, n in counts.items()}

    @cached_property
    def digest(self) -> str:
        """Of everything above."""
        return digest_of({"rows": rows_digest(self.images), "facts": self._facts()})

    def to_summary(self) -> dict[str, Any]:
        """Everything but the single images, as plain values."""
        return self._facts() | {"rows": self.rows}

    def page(self) -> str:
        """HTML."""
        from saga.reports.drift import drift_page

        return drift_page(self)

    def save(self, folder: Path) -> None:
        """Write drift.parquet, then drift.json, into an existing folder.

        Raises:
            ValueError: if a figure is NaN.
        """
        folder = Path(folder)
        facts = self._facts() | {"digest": self.digest}
        write_table(folder / IMAGES, self.images, SCHEMA)
        write_json(folder / DRIFT, facts)

    @classmethod
    def load(cls, folder: Path) -> "DriftReport":
        """Read a folder written by `save`.

        Raises:
            UserInputError: if files are missing, of another form, or were altered.
        """
        folder = Path(folder)
        facts = read_facts(folder / DRIFT, {*FACTS, "digest"})
        digest = facts.pop("digest")
        images = read_table(folder / IMAGES, SCHEMA)
        try:
            warnings, not_judged = (tuple(facts.pop(n)) for n in ("warnings", "not_judged"))
            report = cls(images=images, warnings=warnings, not_judged=not_judged, **facts)
            intact = report.digest == digest
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise UserInputError(
                f"{folder / DRIFT} is not a drift report of this version: {error}."
            ) from error
        if not intact:
            raise altered("drift report", folder)
        return report

    def _facts(self) -> dict[str, Any]:
        facts = {name: getattr(self, name) for name in FACTS}
        return facts | {name: list(facts[name]) for name in ("warnings", "not_judged")}


def image_rows(sample: str, images: pd.Series, *measures: pd.DataFrame) -> pd.DataFrame:
    """Rows of a report's table; columns that no table has are <NA>.

    Args:
        sample: what the images are.
        images: name of each.
        measures: tables with one row per image, in the same order.
    """
    columns: dict[str, Any] = {"sample": [sample] * len(images), "image": images.to_list()}
    known = {str(name): table[name] for table in measures for name in table.columns}
    for name in MEASURES:
        values = known[name].to_numpy(float) if name in known else [None] * len(images)
        columns[name] = pd.array(values, dtype=pd.Float32Dtype())
    return pd.DataFrame(columns)
