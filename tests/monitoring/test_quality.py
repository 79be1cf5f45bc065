import numpy as np
import pandas as pd
import pytest

from saga.monitoring.quality import quality_of

GALLERY = pd.Series(["a", "a", "a", "b", "b", "lone"])
OWN = np.array([1, 0, 4, 4, 3, 0])  # two of three a's right, both b's


def test_recall_counts_known_classes_and_weighs_the_gallery_as_the_queries_are():
    queries = pd.Series(["a", "a", "b", "b", None, "new", "lone"], dtype=object)
    found = np.array([0, 3, 3, 4, 0, 0, 5])
    quality = quality_of(queries, GALLERY, found, OWN)
    assert quality is not None
    assert quality.recall_at_1 == 3 / 4
    assert (quality.queries, quality.classes, quality.unknown) == (4, 2, 2)
    assert quality.gallery == pytest.approx((2 / 3 + 2 / 3 + 1 + 1) / 4)
    assert quality.loss == quality.gallery - quality.high


def test_one_class_tells_nothing():
    assert quality_of(pd.Series(["a", "a", None]), GALLERY, np.array([0, 1, 2]), OWN) is None
