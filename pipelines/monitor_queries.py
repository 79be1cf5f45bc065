"""Monitoring: version → its gallery and training images → live queries → drift → verdict.

Nothing here trains or promotes. The version is looked up at every run, so that a scheduled run follows
the stage.
"""

from typing import Any

from zenml import pipeline
from zenml.enums import ExecutionMode

from saga.data.configuration import ImageLimits
from steps.drift.decide_retraining import decide_retraining
from steps.drift.measure_live_drift import measure_live_drift
from steps.drift.measure_queries import measure_queries
from steps.drift.measure_reference import measure_reference
from steps.drift.resolve_version import resolve_version


@pipeline(enable_cache=True, execution_mode=ExecutionMode.FAIL_FAST)
def monitor_queries(
    model: str,
    version: str,
    queries: str,
    labels: str | None,
    split: str,
    policy: dict[str, Any],
    limits: ImageLimits,
    device: str,
    code: str,
) -> None:
    """Compare live images with what the encoder was judged and trained on.

    Args:
        model: name of the registered model.
        version: number or stage.
        queries: folder of live images.
        labels: CSV file, or None.
        split: of the version's manifest that is the gallery.
        policy: the drift policy, as plain values.
        limits: what the image loader accepts; the policy's.
        device: auto, cpu or cuda.
        code: digest of our code.
    """
    number = resolve_version(model, version)
    gallery, training = measure_reference(model, number, split, limits, device, code)
    asked = measure_queries(model, number, gallery, queries, labels, limits, device)
    drift = measure_live_drift(asked, gallery, training, policy)
    decide_retraining(drift, policy)
