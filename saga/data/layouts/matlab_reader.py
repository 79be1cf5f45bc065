"""The process that parses .mat files; started by `saga.data.layouts.matlab`, never imported.

    python matlab_reader.py '[[FILE, {"annotations": ["fname", "class"], "class_names": null}], …]'

Prints a line of JSON for each file: for a variable with fields, a list of records (lists in the
order of the fields); for one without, a list of texts. Only texts and finite numbers get out.
"""

import json
import sys
from typing import Any

MEMORY_BYTES = 4 << 30
MAX_VALUES = 2_000_000
MAX_TEXT = 1_000


def read(path: str, wanted: dict[str, list[str] | None]) -> dict[str, list[Any]]:
    """Plain values of the wanted variables that the file has."""
    from scipy.io import loadmat

    found = loadmat(path, squeeze_me=True, variable_names=list(wanted))
    return {name: values(found[name], wanted[name]) for name in wanted if name in found}


def values(variable: Any, fields: list[str] | None) -> list[Any]:
    """The entries of a cell array, or the records of a structure array."""
    import numpy as np

    entries = np.atleast_1d(np.asarray(variable)).ravel()
    if len(entries) * len(fields or "-") > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES:,} values")
    if fields is None:
        return [plain(entry) for entry in entries]
    missing = [field for field in fields if field not in (entries.dtype.names or ())]
    if missing:
        raise ValueError(f"no field {', '.join(missing)}")
    return [[plain(entry[field]) for field in fields] for entry in entries]


def plain(value: Any) -> str | int | float:
    """One text or number."""
    import numpy as np

    array = np.asarray(value)
    if array.dtype.kind == "O" and array.size == 1 and isinstance(array.item(), str):
        array = np.asarray(array.item())
    if array.size != 1 or array.dtype.kind not in "Uiuf":
        raise ValueError(f"expected one text or number, got {array.dtype} of shape {array.shape}")
    item = array.item()
    if isinstance(item, str) and len(item) > MAX_TEXT:
        raise ValueError(f"a text of {len(item)} characters")
    return item


def limit_memory() -> None:
    """Bound what decompressing can take, where the system can."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    except (ImportError, OSError, ValueError):
        return


if __name__ == "__main__":
    limit_memory()
    for path, wanted in json.loads(sys.argv[1]):
        try:
            text = json.dumps(read(path, wanted), allow_nan=False)
        except Exception as error:
            sys.exit(f"{type(error).__name__}: {error}")
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
