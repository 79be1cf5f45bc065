"""Artifacts made of tables and facts: strict Parquet and JSON, whole or refused.

Used by the retrieval report, the pair set and the gate decision. The JSON file holds the artifact's
digest and is written last: a folder whose writing was interrupted does not load.
"""

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from saga.errors import UserInputError
from saga.files import digest_of, write_bytes

NULLABLE = {pa.int32(): pd.Int32Dtype(), pa.float32(): pd.Float32Dtype()}
"""Columns of these types may hold nulls, and show them as <NA>, not NaN."""


def rows_digest(frame: pd.DataFrame) -> str:
    """SHA-256 over column names and values, in the frame's order of rows.

    Raises:
        ValueError: if a value is NaN; a missing one is null.
    """
    columns = [[name, [_plain(v) for v in frame[name].tolist()]] for name in frame.columns]
    return digest_of(columns)


def write_table(path: Path, frame: pd.DataFrame, schema: pa.Schema) -> None:
    """Write a Parquet file atomically, with exactly this schema.

    Raises:
        ValueError: if the frame's columns are not the schema's or a value does not fit.
    """
    if list(frame.columns) != schema.names:
        raise ValueError(f"columns must be {schema.names}, got {list(frame.columns)}")
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), buffer)
    write_bytes(path, buffer.getvalue())


def read_table(path: Path, schema: pa.Schema) -> pd.DataFrame:
    """Read a Parquet file that must have exactly this schema.

    Raises:
        UserInputError: if the file is missing or unreadable, or its schema is another.
    """
    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise UserInputError(f"{path} cannot be read as Parquet: {error}") from error
    if table.schema.remove_metadata() != schema:
        raise UserInputError(
            f"{path} has other columns than this version writes. Found: "
            f"{_describe(table.schema)}. Expected: {_describe(schema)}."
        )
    return table.to_pandas(types_mapper=NULLABLE.get, ignore_metadata=True)


def read_facts(path: Path, keys: set[str]) -> dict[str, Any]:
    """Read a JSON object that must have exactly these keys.

    Raises:
        UserInputError: if the file is missing, is not such an object, or holds NaN.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise UserInputError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(facts, dict) or facts.keys() != keys:
        found = sorted(facts) if isinstance(facts, dict) else type(facts).__name__
        raise UserInputError(f"{path} must hold {sorted(keys)}; found {found}.")
    return facts


def altered(what: str, folder: Path) -> UserInputError:
    """The error of an artifact whose digest differs."""
    return UserInputError(
        f"The {what} in {folder} was altered: its digest differs from its content. "
        "Make it again from what it came from."
    )


def _plain(value: Any) -> Any:
    """A cell as JSON; lists stay lists, a null is None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if value is pd.NA else value


def _describe(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
