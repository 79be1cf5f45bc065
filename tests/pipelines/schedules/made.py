"""Schedules for tests."""

from typing import Any

from pipelines.schedules.configuration import RunCommand, ScheduleConfig, What


def schedule(**changes: Any) -> ScheduleConfig:
    """One that retrains on Sundays."""
    values: dict[str, Any] = {
        "name": "retrain",
        "what": What(run=RunCommand("configs/embedded.yaml")),
        "cron": "0 4 * * sun",
        "time_zone": "Europe/Berlin",
        "stack": "kubernetes",
    }
    return ScheduleConfig(**{**values, **changes})
