"""The main job: load → validate → mine pairs → train → evaluate → gate.

Nothing here promotes. Whatever decides a step's outcome is a parameter or an input of it, so that
a step is reused exactly when nothing of that has changed. What is in production is neither: the step
that judges it looks it up, and is never reused.
"""

from dataclasses import replace
from typing import Any

from zenml import pipeline
from zenml.enums import ExecutionMode

from pipelines.configuration import RunConfig
from saga.gates.base import PRODUCTION
from steps.evaluate_production import evaluate_production
from steps.evaluate_retrieval import evaluate_retrieval
from steps.gate_candidate import gate_candidate
from steps.load_dataset import load_dataset
from steps.measure_drift import measure_drift
from steps.measure_encoder import measure_encoder
from steps.mine_pairs import mine_pairs
from steps.train_encoder import train_encoder
from steps.untrained_encoder import untrained_encoder
from steps.validate_dataset import validate_dataset


@pipeline(enable_cache=True, execution_mode=ExecutionMode.FAIL_FAST)
def train_and_judge(
    run: RunConfig,
    policy: dict[str, Any],
    drift_policy: dict[str, Any],
    bound: dict[str, str],
) -> None:
    """Train baseline, ablations and candidate; judge them, the untrained and the live encoder; decide.

    Args:
        run: the resolved configuration.
        policy: the gates, as plain values.
        drift_policy: what counts as drift, as plain values.
        bound: digests of code, supervisor and prompt.
    """
    limits, code = run.dataset.limits, bound["code"]
    manifest = load_dataset(run.dataset)
    validation = validate_dataset(manifest, limits, code)
    untrained = untrained_encoder(run.supervisor, bound)
    pairs = mine_pairs(manifest, validation, untrained, run.mining, limits, code)

    encoders: dict[str, Any] = {"pretrained": untrained}
    for arm in run.arms:
        train = train_encoder.with_options(substitutions={"arm": arm.name})
        encoders[arm.name], _ = train(manifest, pairs, arm, bound, id=f"train_{arm.name}")

    candidate, baseline = run.candidate_arm.name, run.baseline_arm.name
    judged = (candidate, baseline)
    plain = replace(run.evaluation, corruptions=())  # the gates do not ask the others
    reports: dict[str, Any] = {}
    for name, encoder in encoders.items():
        evaluate = evaluate_retrieval.with_options(substitutions={"arm": name})
        reports[name], _ = evaluate(
            manifest,
            encoder,
            name,
            run.evaluation if name in judged else plain,
            limits,
            id=f"evaluate_{name}",
            after=pairs,  # which refuses a dataset that failed its validation
        )
    reports[PRODUCTION], _, measured_production = evaluate_production(
        manifest,
        run.model,
        run.evaluation,
        limits,
        after=encoders[candidate],  # training takes hours, in which another may be promoted
    )

    measured: dict[str, Any] = {}
    for name in judged:
        measure = measure_encoder.with_options(substitutions={"arm": name})
        measured[name] = measure(
            manifest, encoders[name], name, limits, id=f"measure_{name}", after=reports[name]
        )
    drift = measure_drift(
        manifest,
        encoders[candidate],
        reports[candidate],
        reports[PRODUCTION],
        drift_policy,
    )
    gate_candidate(
        reports[candidate],
        reports[baseline],
        measured[candidate],
        measured[baseline],
        drift,
        policy,
        production=reports[PRODUCTION],
        measured_production=measured_production,
    )
