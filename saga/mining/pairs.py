"""The pairs that were mined: an artifact with a strict schema and a digest."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from saga.files import digest_of, write_json
from saga.retrieval.storage import altered, read_facts, read_table, rows_digest, write_table

SCHEMA = pa.schema(
    [
        pa.field("anchor", pa.string(), nullable=False),
        pa.field("other", pa.string(), nullable=False),
        pa.field("same_class", pa.bool_(), nullable=False),
        pa.field("similarity", pa.float32()),
        pa.field("kind", pa.string(), nullable=False),
    ]
)
PAIRS, FACTS = "pairs.parquet", "pairs.json"
FACT_NAMES = {"strategy", "seed", "manifest_digest", "encoder_digest"}


@dataclass(frozen=True)
class PairSet:
    """Unordered pairs of training images."""

    frame: pd.DataFrame
    """anchor, other (image ids), same_class, similarity (cosine under the miner's encoder, or
    null), kind ("random" or "hard")."""
    strategy: str
    seed: int
    manifest_digest: str
    encoder_digest: str | None = None
    """Of the encoder whose neighbours were searched; None where none was needed."""

    def __post_init__(self) -> None:
        if list(self.frame.columns) != SCHEMA.names:
            raise ValueError(f"columns must be {SCHEMA.names}, got {list(self.frame.columns)}")
        if (self.frame["anchor"] == self.frame["other"]).any():
            raise ValueError("an image cannot be paired with itself")

    @cached_property
    def digest(self) -> str:
        """Of the rows and of what they came from."""
        known = self.frame["similarity"].notna()
        plain = self.frame.assign(
            similarity=self.frame["similarity"].astype(object).where(known, None)
        )
        return digest_of({"rows": rows_digest(plain), "facts": self._facts()})

    @property
    def same_share(self) -> float:
        """Share of same-class pairs."""
        return float(self.frame["same_class"].mean()) if len(self.frame) else 0.0

    def save(self, folder: Path) -> None:
        """Write pairs.parquet and pairs.json into an existing folder."""
        write_table(folder / PAIRS, self.frame, SCHEMA)
        write_json(folder / FACTS, self._facts() | {"digest": self.digest})

    @classmethod
    def load(cls, folder: Path) -> "PairSet":
        """Read a folder written by `save`.

        Raises:
            UserInputError: if it is missing, of another form or was altered.
        """
        facts = read_facts(folder / FACTS, FACT_NAMES | {"digest"})
        frame = read_table(folder / PAIRS, SCHEMA)
        digest = facts.pop("digest")
        try:
            pairs = cls(frame.astype({"similarity": "float32"}), **facts)
        except ValueError as error:
            raise altered("pair set", folder) from error
        if pairs.digest != digest:
            raise altered("pair set", folder)
        return pairs

    def _facts(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in sorted(FACT_NAMES)}
