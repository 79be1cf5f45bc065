"""Slices: outcomes told apart by what the images have in common beside their class."""

import difflib
import json

import pandas as pd

from saga.errors import UserInputError

PREFIX = "slice."
"""A report's per-query column of the slice "weather" is "slice.weather"."""
IDENTITY = ("image_id", "class_id", "class_name")
"""Never slices by themselves, even where they are categorical: classes have their own table."""
MOST_VALUES = 20
"""An attribute with more values than this makes no slices."""


def slice_columns(frame: pd.DataFrame, named: tuple[str, ...]) -> pd.DataFrame:
    """The columns to slice by, as text under the report's names; missing values are null.

    Args:
        frame: the images' table.
        named: columns the configuration names; those of pandas' categorical type are added.

    Raises:
        UserInputError: if a named column does not exist.
    """
    for name in named:
        if name not in frame:
            near = difflib.get_close_matches(name, list(map(str, frame.columns)), 1)
            raise UserInputError(
                f"evaluation.slices: {name} is not a column of the images' table. "
                f"{f'Nearest: {near[0]}. ' if near else ''}Columns: "
                f"{', '.join(map(str, frame.columns))}."
            )
    categorical = [
        str(c)
        for c in frame
        if isinstance(frame[c].dtype, pd.CategoricalDtype) and c not in IDENTITY
    ]
    names = list(dict.fromkeys([*named, *categorical]))
    table = frame[names].reset_index(drop=True)
    text = table.astype(object).map(lambda v: None if pd.isna(v) else str(v))
    return text.add_prefix(PREFIX)


def with_attribute_slices(frame: pd.DataFrame) -> pd.DataFrame:
    """Add a categorical column "attribute.<name>" for each attribute of a manifest's images.

    Args:
        frame: manifest rows; `attributes` holds a JSON object or None.

    Returns:
        A copy; attributes with more than 20 values or a single one are left out.
    """
    parsed = [json.loads(text) if isinstance(text, str) else {} for text in frame["attributes"]]
    table = pd.DataFrame(parsed, index=frame.index, dtype=object).sort_index(axis=1)
    result = frame.copy()
    for name in table:
        if 1 < table[name].astype(str).nunique() <= MOST_VALUES:
            values = table[name].map(lambda v: None if pd.isna(v) else str(v))
            result[f"attribute.{name}"] = values.astype("category")
    return result
