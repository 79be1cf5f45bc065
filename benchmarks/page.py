"""A page whose tables come from committed results, between markers; no figure there is typed by hand."""

from collections.abc import Callable, Iterable, Iterator, Mapping


def filled(page: str, tables: Mapping[str, Callable[[], Iterable[str]]]) -> str:
    """The page with all its tables as the results are now.

    Args:
        page: with `<!-- name -->` and `<!-- end of name -->` around each table.
        tables: lines of each, by name.

    Raises:
        ValueError: if a table's markers are missing.
    """
    for name, make in tables.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, opened, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not opened or not closed:
            raise ValueError(f"the page must hold {begin} and {end}")
        page = "\n".join([f"{before}{begin}", *make(), f"{end}{after}"])
    return page


def head(*titles: str, numbers: bool = True) -> Iterator[str]:
    """A table's first two lines; all columns but the first are numbers, or none is."""
    yield row(*titles)
    yield row("---", *["---:" if numbers else "---"] * (len(titles) - 1))


def row(*cells: str) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"
