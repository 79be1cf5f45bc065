"""How a TrainJob is, in plain words: its conditions and its pods together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.trainjobs.pods import Member

Phase = Literal["suspended", "waiting", "running", "complete", "failed"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a TrainJob asks for."""

    nodes: int
    """Nodes, one pod each."""
    devices: int = 0
    """Accelerators of each."""
    device: str = ""
    """Their resource."""
    pool: str = ""
    """The nodes' pool."""


@dataclass(frozen=True, slots=True)
class State:
    """A TrainJob at a moment."""

    phase: Phase
    """What it does."""
    message: str
    """The same for a person; empty where there is nothing to say."""


def state_of(train_job: dict[str, Any], members: Sequence[Member], wanted: Wanted) -> State:
    """The state of a TrainJob.

    Args:
        train_job: as the cluster tells it.
        members: pods of its newest start.
        wanted: what it asks for.
    """
    held = {
        entry["type"]: str(entry.get("message") or entry.get("reason") or "")
        for entry in train_job.get("status", {}).get("conditions") or []
        if entry["status"] == "True"
    }
    if "Failed" in held:
        return State("failed", held["Failed"])
    if "Complete" in held:
        return State("complete", "")
    if "Suspended" in held or train_job["spec"].get("suspend"):
        return State("suspended", f"{_asks(wanted)}; it is held back until its queue has room")
    if any(member.phase in ("Running", "Succeeded") for member in members):
        placed = sum(member.placed for member in members)
        if placed >= wanted.nodes:
            return State("running", "")
    return State("waiting", _waits(members, wanted))


def _waits(members: Sequence[Member], wanted: Wanted) -> str:
    placed = sum(member.placed for member in members)
    if not members:
        return f"{_asks(wanted)}; its pods have not been made yet"
    reasons = {member.waits for member in members if member.waits}
    undecided = [m for m in members if not m.placed and not m.waits]
    if not reasons or undecided:
        return ""  # being made
    if placed == wanted.nodes:
        return f"its pods do not start: {'; '.join(sorted(reasons))}"
    free = f"{placed} {'is' if placed == 1 else 'are'} free"
    devices = f" ({placed * wanted.devices} {wanted.device})" if wanted.devices else ""
    return f"{_asks(wanted)}; {free}{devices}. The scheduler says: {'; '.join(sorted(reasons))}"


def _asks(wanted: Wanted) -> str:
    devices = ""
    if wanted.devices:
        total = wanted.nodes * wanted.devices
        devices = f" with {wanted.devices} {wanted.device} each ({total} in all)"
    pool = f" of the pool {wanted.pool}" if wanted.pool else ""
    return f"it wants {wanted.nodes} nodes{pool}{devices}"
