"""What a stack says of its TrainJobs: the part that no run changes.

It is worked out where the run is submitted, and travels to the training step in its pod's environment: the
pod sees neither the stack's file nor the pools.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

VARIABLE = "SAGA_TRAIN_JOB"
"""Environment variable of the training step's pod."""


@dataclass(frozen=True, slots=True)
class Template:
    """A TrainJob before a run gives it its name and size."""

    namespace: str
    """Namespace that it is made in."""
    runtime: str
    """TrainingRuntime of that namespace."""
    image: str
    """Image of its pods."""
    pool: str
    """Pool of its pods, for messages."""
    env: dict[str, str]
    """Environment of its pods."""
    resources: dict[str, dict[str, str]]
    """Requests and limits of a pod."""
    device: str | None
    """Resource of the pool's accelerator; None: none."""
    node_selector: dict[str, str]
    """Labels of the pool's nodes."""
    tolerations: list[dict[str, str]] = field(default_factory=list)
    """What lets its pods onto them."""
    volumes: list[dict[str, Any]] = field(default_factory=list)
    """Volumes of a pod."""
    mounts: list[dict[str, Any]] = field(default_factory=list)
    """Where a container sees them."""
    service_account: str = "saga-step"
    """Who its pods are."""
    labels: dict[str, str] = field(default_factory=dict)
    """Labels of the TrainJob, such as its queue."""
    deadline_seconds: float = 86400.0
    """Longest time from its making to its end."""
    disruptions: int = 10
    """How often it may begin anew because a node was taken away."""
    poll_seconds: float = 3.0
    """Pause between two looks at it."""

    def written(self) -> str:
        """As an environment variable's value."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @property
    def devices(self) -> int:
        """Accelerators of a pod."""
        return int(self.resources["limits"][self.device]) if self.device else 0


def given(environment: Mapping[str, str] = os.environ) -> Template | None:
    """The template of this pod; None where the stack has no nodes to spread over."""
    text = environment.get(VARIABLE)
    return Template(**json.loads(text)) if text else None
