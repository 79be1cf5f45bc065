"""What a run that was compiled once compares with, when promotions come between."""

import pytest
from zenml import Model
from zenml.client import Client
from zenml.execution.pipeline.utils import submit_pipeline
from zenml.pipelines.run_utils import create_placeholder_run

from pipelines.configuration import gate_policy_path, load_run_config
from pipelines.execution import artifact, load
from pipelines.lineage.consumers import consumers
from pipelines.provenance import bound_digests
from pipelines.registry import production
from pipelines.train_and_judge import train_and_judge
from saga.gates.policy import GatePolicy
from saga.monitoring.policy import DriftPolicy
from tests.e2e.command import TINY
from tests.pipelines.commands.conftest import saga  # noqa: F401 - a fixture
from tests.pipelines.promotion.made import register

MODEL = "compiled-once"
STEP = "evaluate_production"


@pytest.fixture(scope="module")
def snapshot():
    """The main job as a schedule holds it, compiled while nothing is in production."""
    config = load_run_config(TINY, ["ablations=[]", f"model={MODEL}", "training.steps=2"])
    policies = GatePolicy.load(gate_policy_path(config.gates)), DriftPolicy("drift")
    once = train_and_judge.with_options(model=Model(name=MODEL), run_name="compiled-{time}")
    bound = bound_digests(config.supervisor)
    once.prepare(config, *(policy.to_dict() for policy in policies), bound)
    return once._create_snapshot(**once._run_args).id


def run(compiled):
    snapshot = Client().get_snapshot(compiled)
    begun = create_placeholder_run(snapshot=snapshot)
    submit_pipeline(snapshot=snapshot, stack=Client().active_stack, placeholder_run=begun)
    return Client().get_pipeline_run(begun.id)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_run_compares_with_what_is_in_production_by_then(saga, snapshot):  # noqa: F811
    first = register(MODEL, seed=1)
    assert saga("promote", MODEL, first.number, "--to", "production").code == 0
    second = register(MODEL, seed=2, production=first.encoder_digest)
    compared = [(first, run(snapshot))]
    assert saga("promote", MODEL, second.number, "--to", "production").code == 0
    compared.append((second, run(snapshot)))

    for live, ended in compared:
        decision = load(ended, "decision")
        assert decision.references["production"].encoder_digest == live.encoder_digest
        assert "measurements of the production" in decision.evidence
        facts = artifact(ended, "report_production").run_metadata
        assert facts["production_version"] == live.number
        (own,) = (
            used
            for used in consumers(
                Client().get_model_version(MODEL, live.number).get_artifact("encoder_saga")
            )
            if used["run"] == ended.name
        )
        assert own["steps"] == [STEP]
        assert ended.steps[STEP].status == "completed"

    # The evidence of the run before the promotion is about what was in production then.
    late = saga("promote", MODEL, compared[0][1].model_version.number, "--to", "production")
    assert late.code == 3 and "The evidence is outdated" in late.err
    assert production(MODEL).version == second.number
