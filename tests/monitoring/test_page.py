import pandas as pd

from saga.monitoring.image_statistics import STATISTICS
from saga.monitoring.report import image_rows
from saga.monitoring.verdict import State, Verdict
from saga.reports.drift import drift_page
from tests.monitoring.made import made_report

HOSTILE = '<img src=x onerror="alert(1)">\u202egnp.png'


def test_the_page_shows_verdict_warnings_figures_and_proposal():
    report = made_report()
    verdict = Verdict(State.RETRAIN, "They can be told apart.", True)
    page = drift_page(report, verdict, "saga run runs/1/config.json")
    for said in ("RETRAIN", *report.warnings, "domain_auc_gallery", "0.900", "0.700", "above"):
        assert said in page
    assert "<pre>saga run runs/1/config.json</pre>" in page
    assert "for information" in page and "data:image/png;base64," in page


def test_hostile_file_names_and_facts_are_text():
    images = pd.Series([HOSTILE, "b.png"])
    near = pd.DataFrame({"top1": [0.1, 0.25], "margin": [0.25, 0.125]})
    statistics = pd.DataFrame({name: [0.5, 1.0] for name in STATISTICS})
    report = made_report(
        images=image_rows("queries", images, near, statistics), facts={"policy": "<script>x"}
    )
    page = report.page()
    assert "<img src=x" not in page and "<script" not in page and "\u202e" not in page
    assert "&lt;img src=x" in page and "&lt;script&gt;x" in page


def test_a_report_without_figures_has_a_page():
    report = made_report(
        figures={},
        expected={},
        thresholds={},
        warnings=(),
        not_judged=("too few images",),
        images=made_report().images.iloc[:0],
    )
    page = report.page()
    assert "too few images" in page and "No figure is above its threshold." in page
