"""Embeddings of some image files, with the encoder that made them.

Vectors of different encoders cannot be compared, so a table carries its encoder's digest and
whoever searches it checks. Parquet (path, embedding) or .npy with the paths beside it in .json.

Shapes: n images, E embedding width.
"""

import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from saga.errors import UserInputError
from saga.files import sha256_bytes, write_bytes, write_json
from saga.retrieval.search import check_vectors

DIGEST_KEY = "saga_encoder_digest"
SUFFIXES = (".parquet", ".npy")


@dataclass(frozen=True)
class EmbeddingTable:
    """Unit vectors by path."""

    paths: tuple[str, ...]
    """As they were given."""
    vectors: np.ndarray
    """(n, E) float32."""
    encoder_digest: str
    """Of the Retriever that made the vectors."""

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.paths):
            raise ValueError(f"{len(self.paths)} paths for vectors of shape {self.vectors.shape}")
        if not all(isinstance(path, str) for path in self.paths):
            raise ValueError("paths must be text")
        check_vectors("vectors", self.vectors)

    def save(self, path: Path) -> list[Path]:
        """Write the table; returns the files.

        Raises:
            UserInputError: if the ending is neither .parquet nor .npy.
        """
        check_suffix(path)
        if path.suffix == ".parquet":
            write_bytes(path, self._parquet())
            return [path]
        buffer = BytesIO()
        np.save(buffer, self.vectors, allow_pickle=False)
        beside = path.with_suffix(".json")
        facts = {"encoder_digest": self.encoder_digest, "paths": list(self.paths)}
        write_bytes(path, buffer.getvalue())
        write_json(beside, facts | {"sha256": sha256_bytes(buffer.getvalue())})
        return [path, beside]

    @classmethod
    def load(cls, path: Path) -> "EmbeddingTable":
        """Read a table.

        Raises:
            UserInputError: if it is not one that `save` wrote.
        """
        check_suffix(path)
        try:
            return _read_parquet(path) if path.suffix == ".parquet" else _read_npy(path)
        except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            # RuntimeError: what pyarrow cannot read, JSON that is nested too deeply.
            raise UserInputError(
                f"{path} is not a file of embeddings ({_first_line(error)}). Write one with "
                "`saga embed ENCODER IMAGES --output FILE.parquet`."
            ) from error

    def _parquet(self) -> bytes:
        import pyarrow as pa
        from pyarrow import parquet

        flat = pa.array(np.ascontiguousarray(self.vectors, np.float32).ravel())
        table = pa.table(
            {
                "path": pa.array(self.paths, pa.string()),
                "embedding": pa.FixedSizeListArray.from_arrays(flat, self.vectors.shape[1]),
            }
        ).replace_schema_metadata({DIGEST_KEY: self.encoder_digest})
        buffer = BytesIO()
        parquet.write_table(table, buffer)
        return buffer.getvalue()


def check_suffix(path: Path) -> None:
    """Refuse an ending that is neither .parquet nor .npy.

    Raises:
        UserInputError: naming the two.
    """
    if path.suffix not in SUFFIXES:
        raise UserInputError(f"{path}: a file of embeddings ends in {' or '.join(SUFFIXES)}.")


def check_target(path: Path) -> None:
    """Refuse a place where `save` could not write, or would write over something else.

    Raises:
        UserInputError: saying which.
    """
    check_suffix(path)
    if path.is_dir():
        raise UserInputError(f"{path} is a folder. Give the name of a file.")
    beside = path.with_suffix(".json")
    if path.suffix == ".npy" and beside.exists() and not path.exists():
        raise UserInputError(
            f"{path} would be written with its paths in {beside.name}, which exists already and "
            "belongs to something else. Give another name."
        )


def _read_parquet(path: Path) -> EmbeddingTable:
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.ParquetFile(path).read()
    digest = (table.schema.metadata or {}).get(DIGEST_KEY.encode())
    if digest is None or table.column_names != ["path", "embedding"]:
        raise ValueError("another kind of Parquet file")
    column: Any = table["embedding"].combine_chunks()
    if not pa.types.is_fixed_size_list(column.type) or column.null_count:
        raise ValueError("embeddings must be lists of one length")
    flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    vectors = flat.reshape(len(table), column.type.list_size)
    return EmbeddingTable(tuple(table["path"].to_pylist()), vectors, digest.decode())


def _read_npy(path: Path) -> EmbeddingTable:
    data = path.read_bytes()
    facts = json.loads(path.with_suffix(".json").read_text())
    if facts["sha256"] != sha256_bytes(data):
        raise ValueError(f"it does not belong to {path.with_suffix('.json').name}")
    vectors = np.lib.format.read_array(BytesIO(data), allow_pickle=False).astype(np.float32)
    return EmbeddingTable(tuple(facts["paths"]), vectors, str(facts["encoder_digest"]))


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0]
