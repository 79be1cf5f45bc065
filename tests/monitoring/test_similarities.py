import numpy as np
import pytest

from saga.errors import UserInputError
from saga.monitoring.similarities import nearest, similarities_of
from tests.retrieval.made import made_report, unit


def test_top1_and_margin_are_the_two_largest_cosines():
    rng = np.random.default_rng(0)
    queries, gallery = unit(rng.normal(size=(5, 4))), unit(rng.normal(size=(9, 4)))
    table, found = nearest(queries, gallery)
    for i, query in enumerate(queries):
        first, second = sorted((float(query @ g) for g in gallery), reverse=True)[:2]
        assert table["top1"][i] == pytest.approx(first, abs=1e-6)
        assert table["margin"][i] == pytest.approx(first - second, abs=1e-6)
        assert float(query @ gallery[found[i]]) == pytest.approx(first, abs=1e-6)


def test_the_gallery_itself_does_not_find_itself():
    gallery = unit(np.random.default_rng(0).normal(size=(9, 4)))
    table, found = nearest(gallery, gallery, exclude_self=True)
    assert (found != np.arange(9)).all() and (table["top1"] < 0.9999).all()
    with pytest.raises(UserInputError, match="at least 3"):
        nearest(gallery, gallery[:2])


def test_a_report_keeps_the_same_figures():
    report = made_report([4, 5, 6], 0.4)
    table = similarities_of(report)
    kept = report.per_query["similarities"].iloc[3]
    assert table["top1"][3] == kept[0] and table["margin"][3] == kept[0] - kept[1]
    with pytest.raises(UserInputError, match="keeps 1 neighbours"):
        similarities_of(made_report([4, 5, 6], 0.4, neighbours_kept=1))
