"""The main job: load → validate → mine pairs → train → evaluate → gate.

Nothing here promotes. Whatever decides a step's outcome is a parameter or an input of it, so that
a step is reused exactly when nothing of that has changed.
"""

from typing import Any

from zenml import pipeline
from zenml.enums import ExecutionMode

from pipelines.configuration import RunConfig
from steps.evaluate_retrieval import evaluate_retrieval
from steps.gate_candidate import gate_candidate
from steps.load_dataset import load_dataset
from steps.mine_pairs import mine_pairs
from steps.train_encoder import train_encoder
from steps.untrained_encoder import untrained_encoder
from steps.validate_dataset import validate_dataset


@pipeline(enable_cache=True, execution_mode=ExecutionMode.FAIL_FAST)
def train_and_judge(run: RunConfig, policy: dict[str, Any], bound: dict[str, str]) -> None:
    """Train the baseline, the ablations and the candidate; judge all and the untrained encoder; decide.

    Args:
        run: the resolved configuration.
        policy: the gates, as plain values.
        bound: digests of code, supervisor and prompt.
    """
    limits, code = run.dataset.limits, bound["code"]
    manifest = load_dataset(run.dataset)
    validation = validate_dataset(manifest, limits, code)
    untrained = untrained_encoder(run.supervisor, bound)
    pairs = mine_pairs(manifest, validation, untrained, run.mining, limits, code)

    encoders = {"pretrained": untrained}
    for arm in run.arms:
        train = train_encoder.with_options(substitutions={"arm": arm.name})
        encoders[arm.name], _ = train(manifest, pairs, arm, bound, id=f"train_{arm.name}")

    reports = {}
    for name, encoder in encoders.items():
        evaluate = evaluate_retrieval.with_options(substitutions={"arm": name})
        reports[name], _ = evaluate(
            manifest,
            encoder,
            name,
            run.evaluation,
            limits,
            id=f"evaluate_{name}",
            after=pairs,  # which refuses a dataset that failed its validation
        )
    gate_candidate(reports[run.candidate_arm.name], reports[run.baseline_arm.name], policy)
