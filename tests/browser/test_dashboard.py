"""A run in ZenML's dashboard, served without a network from the database that the run wrote.

The pages that the run leaves beside its summary are looked at here too, because the run is there.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import Visit, visiting, without_space
from tests.browser.dashboard import asked, served
from tests.e2e.command import TINY, saga

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SMALLEST = ("ablations=[]", "training.steps=2", "training.checkpoint_every=2", "mining.pairs=8")
PATIENCE = 120_000
"""Milliseconds for the dashboard to show something; it takes a few thousand alone on a machine."""


@pytest.fixture(scope="module")
def workplace(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing is trained where nobody could look at it."""
    return tmp_path_factory.mktemp("workplace")


@pytest.fixture(scope="module")
def summary(workplace: Path) -> dict[str, Any]:
    """Of a real run on next to nothing."""
    settings = [word for setting in SMALLEST for word in ("--set", setting)]
    done = saga("run", TINY, *settings, "--json", folder=workplace)
    assert done.code in (0, 3) and "artifacts" in done.json, done.err
    return done.json


@pytest.fixture(scope="module")
def dashboard(workplace: Path, summary: dict[str, Any]) -> Iterator[str]:
    with served(workplace / ".saga", workplace / "server.log") as address:
        yield address


@pytest.fixture
def run(browser: Any, dashboard: str, summary: dict[str, Any]) -> Iterator[Visit]:
    """The page of the run."""
    (found,) = asked(f"{dashboard}/api/v1/runs?name={summary['run_id']}")["items"]
    with visiting(browser, offline=False) as visit:
        visit.page.set_default_timeout(PATIENCE)
        visit.page.goto(f"{dashboard}/projects/default/runs/{found['id']}")
        # Of a run with many steps it shows the first ones, and draws what can be seen.
        visit.page.get_by_text(next(iter(summary["timings"])), exact=True).first.wait_for()
        visit.page.get_by_role("button", name="Fit view").click()
        yield visit


def preview(visit: Visit, artifact: str) -> Any:
    """The frame in which the dashboard shows the page of an artifact."""
    visit.page.get_by_text(artifact, exact=True).first.click()
    visit.page.get_by_role("tab", name="Visualization").last.click()
    visit.page.get_by_role("button", name="Load Preview").click()
    frame = visit.page.frame_locator("iframe")
    frame.locator("h1").wait_for()
    return frame


@pytest.mark.parametrize("name", ["report", "validation"])
def test_a_page_that_a_run_leaves_opens_alone(
    browser: Any, workplace: Path, summary: dict[str, Any], tmp_path: Path, name: str
) -> None:
    address = (workplace / "runs" / summary["run_id"] / f"{name}.html").as_uri()
    with visiting(browser) as visit:
        visit.page.goto(address)
        visit.page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
        assert visit.requests == [address]
        assert visit.complaints == [] and visit.dialogs == []
        widths = visit.page.evaluate("[...document.images].map(image => image.naturalWidth)")
        assert all(widths) and len(widths) >= (4 if name == "report" else 0)
        assert summary["dataset"]["name"] in visit.text


def test_a_run_is_shown_with_its_steps_and_artifacts(
    run: Visit, summary: dict[str, Any], tmp_path: Path
) -> None:
    shown = [*summary["timings"], "manifest", "pairs", "encoder_saga", "page_saga", "decision"]
    for name in shown:
        run.page.get_by_text(name, exact=True).first.wait_for()
    run.page.screenshot(path=tmp_path / "run.png")
    assert len(summary["timings"]) >= 10 and without_space(summary["run_id"]) in run.text


def test_the_gates_are_shown_with_their_reasons(
    run: Visit, summary: dict[str, Any], tmp_path: Path
) -> None:
    frame = preview(run, "decision")
    text = without_space(frame.locator("body").inner_text())
    run.page.screenshot(path=tmp_path / "decision.png")
    assert frame.locator("h1").inner_text() == "Gate decision"
    assert summary["gate"]["status"] in text and summary["gate"]["gates"]
    for gate in summary["gate"]["gates"]:
        assert without_space(gate["reason"]) in text


def test_the_gallery_is_shown_with_its_pictures(
    run: Visit, summary: dict[str, Any], tmp_path: Path
) -> None:
    frame = preview(run, "page_saga")
    frame.locator("img").first.scroll_into_view_if_needed()
    run.page.screenshot(path=tmp_path / "gallery.png")
    widths = frame.locator("img").evaluate_all("images => images.map(i => i.naturalWidth)")
    assert len(widths) == 2 and min(widths) > 100
    assert "Queriesandtheirnearestimages" in without_space(frame.locator("body").inner_text())
