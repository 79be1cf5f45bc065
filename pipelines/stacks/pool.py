"""A node pool: which nodes, and what a pod takes there."""

import re
from dataclasses import dataclass, field
from typing import Literal

from pipelines.stacks.quantity import amount, check_memory

LABEL_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
LABEL_KEY = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
)
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint of the pool's nodes, which its pods tolerate."""

    key: str
    """Its key."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"
    """What it does to pods that do not tolerate it."""
    value: str | None = None
    """Its value; null tolerates any."""

    def __post_init__(self) -> None:
        if LABEL_KEY.fullmatch(self.key) is None:
            raise ValueError(f"key must be like nvidia.com/gpu; got {self.key!r}")


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What a pod gets of a device."""

    resource: str = "nvidia.com/gpu"
    """Name of the device plugin's resource."""
    count: int = 1
    """How many a pod gets; whole ones, or MIG slices where the resource says so."""

    def __post_init__(self) -> None:
        if "/" not in self.resource or LABEL_KEY.fullmatch(self.resource) is None:
            raise ValueError(f"resource must be like nvidia.com/gpu; got {self.resource!r}")
        if self.count < 1:
            raise ValueError(f"count must be at least 1, got {self.count}; leave accelerator out")


@dataclass(frozen=True, slots=True)
class SecurityConfig:
    """What a container may do; the defaults pass the restricted pod security standard."""

    run_as_user: int | None = 10001
    """User id; null takes the image's, which then must not be root."""
    group: int | None = 10001
    """Group id of the process and of the volumes; null takes the image's."""
    read_only_root: bool = True
    """Whether only the volumes and /tmp can be written."""

    def __post_init__(self) -> None:
        if self.run_as_user is not None and self.run_as_user < 1:
            raise ValueError(f"run_as_user must be at least 1 (not root), got {self.run_as_user}")
        if self.group is not None and self.group < 1:
            raise ValueError(f"group must be at least 1, got {self.group}")


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """Nodes of one kind, and the pod that runs a step there."""

    labels: dict[str, str]
    """Labels of its nodes."""
    cores: float
    """Cores of a pod, as request and limit."""
    memory: str
    """Memory of a pod, as request and limit, such as 16Gi."""
    cores_limit: float | None = None
    """Most cores of a pod; null: no more than `cores`."""
    shared_memory: str | None = None
    """Size of /dev/shm, out of `memory`; null leaves the runtime's 64 MiB."""
    taints: tuple[Taint, ...] = ()
    """Taints of its nodes."""
    accelerator: Accelerator | None = None
    """Device of a pod; null: none."""
    nodes: int = 1
    """Most nodes of it that one training may use; more than one needs Kubeflow Trainer."""
    spot: bool = False
    """Whether its nodes may be taken away; steps are then restarted more often."""
    may_be_empty: bool = False
    """Whether it may have no node while nothing runs (scaled to zero)."""
    priority_class: str | None = None
    """PriorityClass of its pods."""
    runtime_class: str | None = None
    """RuntimeClass of its pods, such as nvidia."""
    security: SecurityConfig = field(default_factory=SecurityConfig)
    """What its containers may do."""
    env: dict[str, str] = field(default_factory=dict)
    """Further environment of its pods; no secrets."""

    def __post_init__(self) -> None:
        if not self.labels:
            raise ValueError("labels must name at least one label of the pool's nodes")
        for key, value in self.labels.items():
            if LABEL_KEY.fullmatch(key) is None:
                raise ValueError(f"labels: {key!r} is not a label's key")
            if value and LABEL_NAME.fullmatch(value) is None:
                raise ValueError(f"labels: {value!r} is not a label's value (of {key})")
        for name in self.env:
            if VARIABLE.fullmatch(name) is None:
                raise ValueError(f"env: {name!r} is not a variable's name")
        if self.nodes < 1:
            raise ValueError(f"nodes must be at least 1, got {self.nodes}")
        if self.cores <= 0:
            raise ValueError(f"cores must be above 0, got {self.cores}")
        if self.cores_limit is not None and self.cores_limit < self.cores:
            raise ValueError(
                f"cores_limit ({self.cores_limit}) must not be below cores ({self.cores})"
            )
        check_memory("memory", self.memory)
        if self.shared_memory is not None:
            check_memory("shared_memory", self.shared_memory)
            if amount(self.shared_memory) >= amount(self.memory):
                raise ValueError(
                    f"shared_memory ({self.shared_memory}) counts as memory and must be below "
                    f"memory ({self.memory})"
                )
