"""What a schedule's command needs to be right, long before it fires."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.configuration import (
    CONFIGS,
    RunConfig,
    drift_policy_path,
    gate_policy_path,
    load_run_config,
)
from pipelines.schedules.configuration import MonitorCommand, RunCommand, ScheduleConfig
from saga.errors import UserInputError
from saga.gates.policy import GatePolicy
from saga.monitoring.policy import DriftPolicy


@dataclass(frozen=True, slots=True)
class RunInputs:
    """Of `saga run`."""

    config: RunConfig
    gates: dict[str, Any]
    drift: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MonitorInputs:
    """Of `saga monitor`."""

    model: str
    version: str
    policy: DriftPolicy
    command: MonitorCommand


def inputs(schedule: ScheduleConfig) -> RunInputs | MonitorInputs:
    """The command's own files, read and checked.

    Raises:
        UserInputError: naming the schedule, the file and the key.
    """
    try:
        command = schedule.what.command
        return _run(command) if isinstance(command, RunCommand) else _monitor(command)
    except UserInputError as error:
        raise UserInputError(f"The schedule {schedule.name} cannot run:\n{error}") from error


def _run(command: RunCommand) -> RunInputs:
    config = load_run_config(Path(command.config), command.set)
    gates = GatePolicy.load(gate_policy_path(config.gates))
    drift = DriftPolicy.load(drift_policy_path(config.monitoring))
    return RunInputs(config, gates.to_dict(), drift.to_dict())


def _monitor(command: MonitorCommand) -> MonitorInputs:
    policy = DriftPolicy.load(command.policy or CONFIGS / "monitoring" / "default.yaml")
    model, _, version = command.model.partition(":")
    return MonitorInputs(model, version or "production", policy, command)
