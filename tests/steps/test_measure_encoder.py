from types import SimpleNamespace

import pandas as pd
import pytest

from saga.data.configuration import ImageLimits
from saga.retrieval import measurements
from steps import measure_encoder as module
from steps.measure_encoder import measure_encoder


@pytest.mark.parametrize(("images", "measured"), [(3, 3), (64, 64), (1000, 64)])
def test_it_measures_with_test_images_from_all_over_the_table(monkeypatch, images, measured):
    asked = []
    table = {"test": pd.DataFrame({"path": range(images)})}
    manifest = SimpleNamespace(subset=table.__getitem__)
    monkeypatch.setattr(module, "load_images", lambda _, frame, limits: list(frame["path"]))
    monkeypatch.setattr(
        measurements,
        "measure_encoder",
        lambda encoder, images, name: asked.append((encoder, images, name)),
    )
    measure_encoder.entrypoint(manifest, "encoder", "saga", ImageLimits())
    ((encoder, chosen, name),) = asked
    assert (encoder, name) == ("encoder", "saga")
    assert len(chosen) == len(set(chosen)) == measured
    assert chosen[0] == 0 and chosen[-1] == images - 1 and chosen == sorted(chosen)
