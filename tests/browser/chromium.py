"""A headless Chromium of the machine's own, and everything that a page did in it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--disable-gpu",
    "--disable-3d-apis",  # drawn by the processor, one animated picture stops everything else
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@contextmanager
def launched() -> Iterator[Any]:
    """A browser of Playwright's; skips where there is none."""
    driver = pytest.importorskip(
        "playwright.sync_api", reason="no pages seen in a browser: `make setup` installs playwright"
    )
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(
            "no pages seen in a browser: Chromium is not here. On Debian: apt-get install chromium"
        )
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page in a browser, and what it did since it was opened."""

    page: Any
    requests: list[str] = field(default_factory=list)
    """Addresses, without pictures that the page holds itself."""
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings of the console, and exceptions."""
    dialogs: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What can be seen, without any space: lines break where they fit."""
        return without_space(self.page.locator("body").inner_text())


@contextmanager
def visiting(browser: Any, width: int = 1600, offline: bool = True) -> Iterator[Visit]:
    """A page of a new, empty profile.

    Args:
        browser: of `launched`.
        width: of the window, in pixels.
        offline: whether even this machine cannot be reached.
    """
    context = browser.new_context(
        viewport={"width": width, "height": 1000}, offline=offline, reduced_motion="reduce"
    )
    visit = Visit(context.new_page())

    def asked(request: Any) -> None:
        if not request.url.startswith("data:"):
            visit.requests.append(request.url)

    def said(message: Any) -> None:
        if message.type in ("error", "warning"):
            visit.complaints.append(message.text)

    def opened(dialog: Any) -> None:
        visit.dialogs.append(dialog.message)
        dialog.dismiss()

    visit.page.on("request", asked)
    visit.page.on("console", said)
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.on("dialog", opened)
    yield visit
    context.close()


def without_space(text: str) -> str:
    """A text without its white space."""
    return "".join(text.split())
