"""Our pages in a real browser: nothing is fetched or run, and hostile text is text."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import visiting, without_space
from tests.browser.pages import PAGES
from tests.reports.made import HOSTILE

UNESCAPED = (
    "<!doctype html><title>a</title><script>alert(1)</script><img src=x onerror=alert(2)>"
    '<img src="https://example.invalid/a.png"><script>console.error("b"); c()</script>'
)
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
BROKEN = "[...document.images].filter(image => !image.naturalWidth).length"


def written(folder: Path, html: str) -> str:
    """The address of a file."""
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    return path.as_uri()


def test_a_page_that_does_run_and_fetch_is_noticed(browser: Any, tmp_path: Path) -> None:
    with visiting(browser) as visit:
        visit.page.goto(written(tmp_path, UNESCAPED))
        visit.page.wait_for_load_state()
        assert {"1", "2"} == set(visit.dialogs)
        assert "https://example.invalid/a.png" in visit.requests
        assert "b" in visit.complaints and any("c is not defined" in c for c in visit.complaints)


@pytest.mark.parametrize("kind", PAGES)
def test_hostile_text_is_text(browser: Any, tmp_path: Path, kind: str) -> None:
    address = written(tmp_path, PAGES[kind](HOSTILE, tmp_path))
    with visiting(browser) as visit:
        visit.page.goto(address)
        visit.page.screenshot(path=tmp_path / "page.png", full_page=True)
        assert visit.dialogs == [] and visit.complaints == []
        assert visit.requests == [address]
        shown = without_space(HOSTILE.replace("\u202e", "�"))
        assert visit.text.count(shown) > 2
        assert visit.page.evaluate(BROKEN) == 0


@pytest.mark.parametrize("kind", PAGES)
def test_a_page_fits_a_narrow_window(browser: Any, tmp_path: Path, kind: str) -> None:
    with visiting(browser, width=480) as visit:
        visit.page.goto(written(tmp_path, PAGES[kind](HOSTILE, tmp_path)))
        assert visit.page.evaluate(SIDEWAYS) <= 0
