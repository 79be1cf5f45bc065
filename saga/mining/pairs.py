"""The pairs that were mined: an artifact with a strict schema and a digest."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from saga.errors import UserInputError
from saga.files import digest_of, write_json

SCHEMA = pa.schema(
    [
        pa.field("anchor", pa.string(), nullable=False),
        pa.field("other", pa.string(), nullable=False),
        pa.field("same_class", pa.bool_(), nullable=False),
        pa.field("similarity", pa.float32()),
        pa.field("kind", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class PairSet:
    """Unordered pairs of training images."""

    frame: pd.DataFrame
    """anchor, other (image ids), same_class, similarity (cosine under the miner's encoder, or null),
    kind ("random" or "hard")."""
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
        rows = self.frame[["anchor", "other", "same_class", "kind"]].values.tolist()
        return digest_of({"rows": rows, "facts": self._facts()})

    @property
    def same_share(self) -> float:
        """Share of same-class pairs."""
        return float(self.frame["same_class"].mean()) if len(self.frame) else 0.0

    def save(self, folder: Path) -> None:
        """Write pairs.parquet and pairs.json into an existing folder."""
        table = pa.Table.from_pandas(self.frame, schema=SCHEMA, preserve_index=False)
        pq.write_table(table, folder / "pairs.parquet")
        write_json(folder / "pairs.json", self._facts() | {"digest": self.digest})

    @classmethod
    def load(cls, folder: Path) -> "PairSet":
        """Read a folder written by `save`.

        Raises:
            UserInputError: if it was altered.
        """
        facts = json.loads((folder / "pairs.json").read_text())
        table = pq.read_table(folder / "pairs.parquet")
        digest = facts.pop("digest")
        pairs = cls(table.cast(SCHEMA).to_pandas(), **facts)
        if pairs.digest != digest:
            raise UserInputError(f"The pair set in {folder} was altered: its digest differs.")
        return pairs

    def _facts(self) -> dict[str, Any]:
        return {
            "strategy": self.strategy,
            "seed": self.seed,
            "manifest_digest": self.manifest_digest,
            "encoder_digest": self.encoder_digest,
        }
