"""The procedural birds, as `saga.data.synthetic.dataset.materialise` wrote them."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from saga.data.layouts.lines import safe_path
from saga.data.layouts.tree import require
from saga.data.rows import ImageRow, check_classes
from saga.data.splits import SPLITS
from saga.errors import UserInputError
from saga.retrieval.storage import read_table

LAYOUT = "synthetic"
ANNOTATIONS, FACTS = "annotations.parquet", "synthetic.json"
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("path", pa.string()),
        pa.field("class_id", pa.int64()),
        pa.field("class_name", pa.string()),
        pa.field("split", pa.string()),
        pa.field("attributes", pa.string()),
    ]
)


def read(root: Path) -> list[ImageRow]:
    """Rows of the dataset in `root`.

    Raises:
        UserInputError: if it is not as it was written.
    """
    require(root, LAYOUT, ANNOTATIONS, FACTS, "images/")
    table = root / ANNOTATIONS
    records = read_table(table, SCHEMA).to_dict("records")
    rows = [_row(record, f"{table}, row {n}") for n, record in enumerate(records)]
    check_classes(rows, {row.class_id: row.class_name for row in rows})
    return rows


def _row(record: dict[Any, Any], source: str) -> ImageRow:
    try:
        attributes = json.loads(record["attributes"])
        texts = [record[name] for name in ("image_id", "path", "class_name")]
        if not all(isinstance(text, str) for text in texts) or not isinstance(attributes, dict):
            raise ValueError("a value is missing")
        if record["split"] not in SPLITS or not isinstance(record["class_id"], int):
            raise ValueError("its split or its class is none")
        return ImageRow(
            record["image_id"],
            safe_path(record["path"]),
            record["class_id"],
            record["class_name"],
            record["split"],
            source,
            attributes=attributes,
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise UserInputError(f"{source}: {error}. Delete the folder; it is drawn again.") from error
