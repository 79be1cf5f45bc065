"""The figures of docs/performance.md are those of the committed results."""

from pathlib import Path

import pytest

from benchmarks.page import filled
from benchmarks.tables import RESULTS, TABLES

PAGE = Path(__file__).parents[2] / "docs/performance.md"


def test_the_page_holds_what_the_results_say():
    assert filled(PAGE.read_text(), TABLES, RESULTS) == PAGE.read_text(), (
        "run python -m benchmarks.tables docs/performance.md"
    )


def test_a_page_without_a_table_s_place_is_refused():
    with pytest.raises(ValueError, match="must hold <!-- floor -->"):
        filled("nothing", TABLES, RESULTS)


def test_what_stands_between_the_markers_is_replaced_and_nothing_else():
    page = "".join(f"before {n}\n<!-- {n} -->old<!-- end of {n} -->\n" for n in TABLES)
    made = filled(page, TABLES, RESULTS)
    assert "old" not in made and all(f"before {n}\n" in made for n in TABLES)
    assert filled(made, TABLES, RESULTS) == made
