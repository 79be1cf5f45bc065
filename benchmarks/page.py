"""A page whose tables come from committed results, between markers; no figure there is typed by hand."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from saga.files import write_text

Facts = dict[str, Any]
Tables = Mapping[str, tuple[str, Callable[[Facts], Iterator[str]]]]
"""By the marker's name: the JSON file that the table comes from ("" for none), and what makes its lines."""


def filled(page: str, tables: Tables, folder: Path) -> str:
    """The page with all its tables as the results are now.

    Args:
        page: with `<!-- name -->` and `<!-- end of name -->` around each table.
        tables: of the page.
        folder: where their files lie.

    Raises:
        ValueError: if a table's markers are missing.
    """
    for name, (file, make) in tables.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, opened, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not opened or not closed:
            raise ValueError(f"the page must hold {begin} and {end}")
        facts = json.loads((folder / file).read_text()) if file else {}
        page = "\n".join([f"{before}{begin}", *make(facts), f"{end}{after}"])
    return page


def rewrite(tables: Tables, folder: Path) -> None:
    """Fill the page that the command line names."""
    target = Path(sys.argv[1])
    write_text(target, filled(target.read_text(), tables, folder))


def head(*titles: str) -> Iterator[str]:
    """A table's first two lines; all columns but the first are numbers."""
    yield row(*titles)
    yield row("---", *["---:"] * (len(titles) - 1))


def row(*cells: str) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"
