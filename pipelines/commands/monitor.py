"""`saga monitor`: drift of live queries, and whether it asks for a retraining."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.answer import REFUSED, Answer
from pipelines.commands import outputs
from pipelines.images import collect
from pipelines.progress import shown
from saga.errors import UserInputError
from saga.files import write_json, write_text
from saga.monitoring.policy import DriftPolicy
from saga.monitoring.queries import query_files, read_labels

if TYPE_CHECKING:
    from zenml.models import ArtifactVersionResponse, PipelineRunResponse

    from saga.monitoring.report import DriftReport
    from saga.monitoring.verdict import Verdict

STAGE = "production"


def main(
    name: str,
    queries: Path,
    labels: Path | None,
    policy_file: Path | None,
    output: Path,
    split: str,
    device: str,
) -> Answer:
    """Check the input, run the pipeline, write the report."""
    from pipelines.configuration import CONFIGS

    model, _, version = name.partition(":")
    version = version or STAGE
    policy = DriftPolicy.load(policy_file or CONFIGS / "monitoring" / "default.yaml")
    outputs.check_parent(output, "--output")
    _check_queries(queries, labels, policy)
    encoder = _encoder(model, version)
    with shown():
        run = _run(model, version, queries, labels, split, policy, device)
    return _answer(run, name, model, policy, output, encoder)


def _check_queries(queries: Path, labels: Path | None, policy: DriftPolicy) -> None:
    """Refuse what the pipeline would refuse later."""
    if not queries.is_dir():
        raise UserInputError(f"{queries} is not a folder. Give a folder of live images.")
    given = None if labels is None else read_labels(labels)
    query_files(queries, collect([queries]), policy.images, (), given)


def _encoder(model: str, version: str) -> "ArtifactVersionResponse":
    from pipelines.home import use_embedded_zenml

    use_embedded_zenml()
    from pipelines.registry import existing_model, model_version, registered_encoder

    return registered_encoder(model_version(existing_model(model), version))


def _run(
    model: str,
    version: str,
    queries: Path,
    labels: Path | None,
    split: str,
    policy: DriftPolicy,
    device: str,
) -> "PipelineRunResponse":
    """One run of the pipeline; what stopped a step is raised as it was."""
    from zenml.client import Client

    from pipelines.monitor_queries import monitor_queries
    from pipelines.provenance import code_digest
    from pipelines.run_folder import new_run_id
    from steps import failures

    failures.forget()
    run_id = new_run_id(Path("runs"), f"monitor-{model}")
    pipeline = monitor_queries.with_options(run_name=run_id, on_failure=failures.remember)
    try:
        pipeline(
            model=model,
            version=version,
            queries=str(queries.absolute()),
            labels=None if labels is None else str(labels.absolute()),
            split=split,
            policy=policy.to_dict(),
            limits=policy.images,
            device=device,
            code=code_digest(),
        )
    except Exception as error:
        cause = failures.last()
        if cause is None:
            raise
        raise cause from error
    return Client().get_pipeline_run(run_id)


def _answer(
    run: "PipelineRunResponse",
    name: str,
    model: str,
    policy: DriftPolicy,
    output: Path,
    encoder: "ArtifactVersionResponse",
) -> Answer:
    from pipelines.execution import load
    from saga.monitoring.verdict import State, judge
    from saga.reports.drift import drift_page

    report: DriftReport = load(run, "drift")
    verdict = judge(report, policy)
    proposal = _proposal(model, encoder) if verdict.state is State.RETRAIN else ""
    page, facts = output / "drift.html", output / "drift.json"
    summary: dict[str, Any] = {
        "model": {"name": model, "version": load(run, "version")},
        "verdict": {"state": str(verdict.state), "reason": verdict.reason},
        "retrain": verdict.state is State.RETRAIN,
        "proposal": proposal or None,
        "run_id": run.name,
        "drift": report.to_summary() | {"digest": report.digest},
        "report": str(page),
    }
    write_text(page, drift_page(report, verdict, proposal))
    write_json(facts, summary)
    text = _text(name, report, verdict, proposal, [page, facts])
    return Answer(summary, text, REFUSED if verdict.refused else 0)


def _text(
    name: str, report: "DriftReport", verdict: "Verdict", proposal: str, files: list[Path]
) -> str:
    counts = ", ".join(f"{n} {sample}" for sample, n in report.rows.items())
    said = [f"warning: {warning}" for warning in report.warnings]
    unsaid = [f"not judged: {sentence}" for sentence in report.not_judged]
    advice = [f"To train again, once the new images are in the dataset: {proposal}"]
    lines = [f"{name}: {counts}", f"{verdict.state}: {verdict.reason}", *said, *unsaid]
    return "\n".join([*lines, *(advice if proposal else []), *map(str, files)])


def _proposal(model: str, encoder: "ArtifactVersionResponse") -> str:
    """The command that trains anew with the settings of the version's own run."""
    from zenml.client import Client

    run_id = encoder.producer_pipeline_run_id
    run = Client().get_pipeline_run(run_id).name if run_id else ""
    config = Path("runs") / run / "config.json"
    if run and config.is_file():
        return shlex.join(["saga", "run", str(config)])
    return shlex.join(["saga", "run", "CONFIG", "--set", f"model={model}"])
