"""`saga run`: the main job, from a configuration to a judged encoder and a report."""

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.answer import REFUSED, Answer
from pipelines.configuration import (
    DEFAULT_CONFIG,
    RunConfig,
    drift_policy_path,
    gate_policy_path,
    load_run_config,
)
from pipelines.preflight import check_inputs
from pipelines.progress import shown
from pipelines.stacks.configuration import KubernetesStack, StackConfig, load_stack, stack_path
from pipelines.stacks.inputs import check_run

if TYPE_CHECKING:
    from pipelines.execution import Policies

RUNS = Path("runs")
LOCAL = "local"
"""The bundled stack of this machine."""


def main(config: Path | None, settings: list[str], stack: str = LOCAL) -> Answer:
    """Check everything that can be checked at once; then run, write the summary and the report."""
    run = load_run_config(config or DEFAULT_CONFIG, settings)
    place = load_stack(stack)
    if isinstance(place, KubernetesStack):
        check_run(run, place, str(stack_path(stack)))
    else:
        check_inputs(run)
    from pipelines.home import use_embedded_zenml
    from saga.gates.policy import GatePolicy
    from saga.monitoring.policy import DriftPolicy

    gates = GatePolicy.load(gate_policy_path(run.gates))
    drift = DriftPolicy.load(drift_policy_path(run.monitoring))
    if isinstance(place, KubernetesStack):
        _prepare(place, str(stack_path(stack)))
    use_embedded_zenml()
    from pipelines.execution import Policies
    from pipelines.stacks.components import active

    with shown(), active(place):
        return _perform(
            run,
            Policies(gates.to_dict(), drift.to_dict()),
            command_line(config, settings, stack),
            place,
        )


def command_line(config: Path | None, settings: list[str], stack: str = LOCAL) -> str:
    """The command that repeats this run."""
    words = ["saga", "run", *([str(config)] if config else [])]
    if stack != LOCAL:
        words += ["--stack", stack]
    for text in settings:
        words += ["--set", text]
    return shlex.join(words)


def resume_hint(config: Path | None, settings: list[str], stack: str = LOCAL) -> str:
    """What to do after Ctrl-C."""
    return (
        "What was finished is kept, and training goes on from its last checkpoint: "
        f"{command_line(config, settings, stack)}"
    )


def _prepare(stack: KubernetesStack, source: str) -> None:
    """Look at the cluster, and register the stack as its file says now."""
    from pipelines.stacks.checks.all import require
    from pipelines.stacks.components import apply_stack, choose_store
    from pipelines.stacks.following import say

    for finding in require(stack, source):
        say(f"{source}: {finding.key}: {finding.message}")
    choose_store(stack)
    apply_stack(stack)


def _perform(run: RunConfig, policies: "Policies", command: str, stack: StackConfig) -> Answer:
    from pipelines.execution import execute
    from pipelines.lineage.recording import record_run_facts
    from pipelines.provenance import bound_digests
    from pipelines.registry import production
    from pipelines.run_folder import new_run_id, write_run
    from pipelines.summary import reused, summarise
    from pipelines.table import table

    started = time.monotonic()
    bound = bound_digests(run.supervisor)
    run_id = new_run_id(RUNS, run.name)
    production(run.model)  # refuses what nothing can be compared with before the training
    outcome = execute(run, run_id, policies, bound, stack)
    summary = summarise(run, run_id, outcome, bound, command)
    summary["reused_steps"] = reused(outcome.run)
    summary["seconds"] = round(time.monotonic() - started, 1)
    files = write_run(RUNS / run_id, run, summary, outcome)
    record_run_facts(run_id, command, RUNS / run_id)
    if outcome.error is not None:
        outcome.error.add_note(f"What was reached: {files[0]}")
        raise outcome.error
    _discard_checkpoints(run, summary, bound)
    text = "\n".join([table(summary), "", *map(str, files)])
    return Answer(summary, text, 0 if summary["status"] == "ok" else REFUSED)


def _discard_checkpoints(run: RunConfig, summary: dict[str, Any], bound: dict[str, str]) -> None:
    """All encoders are stored now: their trainings will not be resumed."""
    from pipelines.checkpoints import checkpoint_folder, discard

    digests = {name: found["digest"] for name, found in summary["artifacts"].items()}
    for arm in run.arms:
        discard(checkpoint_folder(arm, digests["manifest"], digests["pairs"], bound))
