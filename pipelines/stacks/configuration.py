"""A stack file: where a pipeline runs, strictly read.

    stack = load_stack("kubernetes")           configs/stacks/kubernetes.yaml
    stack = load_stack("our-cluster.yaml")

Kubernetes takes text where one would write numbers (labels, counts of accelerators). Here counts and
cores are numbers, and pipelines.stacks.pools writes them as text; labels, taints and environment are
text, and a number there is refused, because YAML's 010 or 1e3 would arrive as something else.

docs/kubernetes.md explains every setting.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pipelines.configuration import CONFIGS
from pipelines.stacks.pool import PoolConfig
from saga.errors import UserInputError
from saga.settings.describe import closest
from saga.settings.strict_yaml import read_mapping
from saga.settings.typed import Problems, build

STACKS = CONFIGS / "stacks"
STEPS = Path(__file__).parents[2] / "steps"
KINDS = ("local", "kubernetes")
TRAINS = "train_encoder"
"""The step that may use several nodes."""

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
IMAGE = re.compile(
    r"(?P<name>[a-z0-9.-]+(?::[0-9]+)?(?:/[a-z0-9._-]+)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
STORES = ("s3", "gs", "az", "abfs")


@dataclass(frozen=True, slots=True)
class LocalStack:
    """This machine: the embedded ZenML, steps in this process."""

    name: str
    """Name of the stack."""
    kind: Literal["local"] = "local"
    """What it is."""


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """The cluster and the namespace in it."""

    namespace: str
    """Namespace that everything runs in."""
    context: str | None = None
    """Context of the kubeconfig ($KUBECONFIG, else ~/.kube/config)."""
    in_cluster: bool = False
    """Whether the command itself runs in a pod of this cluster."""

    def __post_init__(self) -> None:
        if (self.context is None) != self.in_cluster:
            raise ValueError(
                "context: give the kubeconfig's context, or in_cluster: true; not both"
            )
        if NAME.fullmatch(self.namespace) is None:
            raise ValueError(
                f"namespace must be lower-case letters, digits and '-'; got {self.namespace!r}"
            )


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The ZenML server."""

    url: str
    """Address that this machine and the pods reach."""
    api_key_variable: str | None = "SAGA_ZENML_API_KEY"
    """Environment variable with the API key of a service account; null where the server asks for none."""
    token_as_secret: bool = True
    """Whether pods get their token from a Secret; false only for a server that asks for none."""

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).netloc:
            raise ValueError(f"url must be http:// or https:// and a host; got {self.url!r}")
        if urlsplit(self.url).username or urlsplit(self.url).password:
            raise ValueError("url must not hold a password; put the API key into the environment")
        if self.token_as_secret and self.api_key_variable is None:
            raise ValueError(
                "token_as_secret: a server without api_key_variable hands out no token; set it to false"
            )


@dataclass(frozen=True, slots=True)
class ArtifactStoreConfig:
    """Where artifacts lie."""

    uri: str | None = None
    """s3://, gs://, az:// or abfs://; null, with server null, is a folder beside the embedded database."""

    def __post_init__(self) -> None:
        if self.uri is not None and urlsplit(self.uri).scheme not in (*STORES, ""):
            raise ValueError(
                f"uri must begin with {', '.join(f'{s}://' for s in STORES)}, or be a folder's path; "
                f"got {self.uri!r}"
            )
        if (
            self.uri is not None
            and urlsplit(self.uri).scheme == ""
            and not self.uri.startswith("/")
        ):
            raise ValueError(f"uri: a folder is given by its absolute path; got {self.uri!r}")

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder that machine and pods share."""
        return self.uri is None or self.uri.startswith("/")


@dataclass(frozen=True, slots=True)
class RegistryConfig:
    """The container registry."""

    uri: str
    """Its address, without the image's name."""


@dataclass(frozen=True, slots=True)
class ServiceAccounts:
    """Who the pods are."""

    orchestrator: str = "saga-orchestrator"
    """Service account of the pod that starts the steps."""
    step: str = "saga-step"
    """Service account of the steps; it needs no rights in the cluster."""
    training: str = "saga-training"
    """The training step's, where its pool has several nodes: it makes and follows TrainJobs."""


@dataclass(frozen=True, slots=True)
class JobsConfig:
    """How pods are retried, limited and cleaned up."""

    retries: int = 2
    """How often a step that crashed is started again; wrong input and refusals never are."""
    disruptions: int = 10
    """How often a pod on a spot pool may be taken away besides."""
    drains: int = 3
    """The same on other pools: when nodes are drained."""
    start_failures: int = 1
    """How many further pods a step may lose before its code runs."""
    step_deadline_minutes: int = 24 * 60
    """Longest time of a step, waiting for a node included."""
    run_deadline_minutes: int = 72 * 60
    """Longest time of a run."""
    keep_finished_minutes: int = 24 * 60
    """How long a finished Job stays, with its logs."""
    stop_grace_seconds: int = 120
    """Time between the request to stop and the kill; training saves a checkpoint in it."""
    heartbeat_minutes: int = 30
    """A step without a sign of life for so long is stopped."""
    parallel_steps: int = 8
    """Most steps at once."""
    poll_seconds: float = 3.0
    """Pause between two looks at the Jobs."""
    image_check_minutes: int = 5
    """How long a check waits for a pod of the image to look around; 0: it starts none."""

    def __post_init__(self) -> None:
        for name in ("retries", "disruptions", "drains", "start_failures", "image_check_minutes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name in (
            "step_deadline_minutes",
            "run_deadline_minutes",
            "keep_finished_minutes",
            "stop_grace_seconds",
            "heartbeat_minutes",
            "parallel_steps",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.poll_seconds < 0.1:
            raise ValueError(f"poll_seconds must be at least 0.1, got {self.poll_seconds}")
        if self.run_deadline_minutes < self.step_deadline_minutes:
            raise ValueError(
                f"run_deadline_minutes ({self.run_deadline_minutes}) must not be below "
                f"step_deadline_minutes ({self.step_deadline_minutes})"
            )


@dataclass(frozen=True, slots=True)
class TrainerConfig:
    """Kubeflow Trainer: what trainings on several nodes use; without effect where pools have one each."""

    runtime: str = "saga"
    """TrainingRuntime in the cluster's namespace: user, priority, grace and restarts of the pods."""
    queue: str | None = None
    """Queue of Kueue that admits all nodes of a training or none; null: no queue is named."""

    def __post_init__(self) -> None:
        for name, value in (("runtime", self.runtime), ("queue", self.queue)):
            if value is not None and NAME.fullmatch(value) is None:
                raise ValueError(
                    f"{name} must be lower-case letters, digits and '-'; got {value!r}"
                )


@dataclass(frozen=True, slots=True)
class VolumeConfig:
    """A folder that every pod sees: a claim, or a folder of the nodes."""

    mount_path: str
    """Where it is in the pods."""
    claim: str | None = None
    """PersistentVolumeClaim; several nodes write to it (ReadWriteMany) unless one node runs all."""
    host_path: str | None = None
    """Folder of the nodes instead: for a cluster on one machine."""
    read_only: bool = False
    """Whether pods may only read."""

    def __post_init__(self) -> None:
        if not self.mount_path.startswith("/") or self.mount_path == "/":
            raise ValueError(f"mount_path must be an absolute path; got {self.mount_path!r}")
        if (self.claim is None) == (self.host_path is None):
            raise ValueError("claim: give a claim, or a host_path; not both")

    def holds(self, path: str) -> bool:
        """Whether a path of the pods lies in it."""
        return Path(os.path.normpath(path)).is_relative_to(self.mount_path)


@dataclass(frozen=True, slots=True)
class KubernetesStack:
    """A cluster with node pools."""

    name: str
    """Name of the stack and of its components in ZenML."""
    kind: Literal["kubernetes"]
    """What it is."""
    cluster: ClusterConfig
    """The cluster and the namespace in it."""
    registry: RegistryConfig
    """The container registry."""
    image: str
    """Image with this project in it, by tag or digest."""
    cache: VolumeConfig
    """Folder that all steps share: drawn datasets, checkpoints of trainings, downloaded weights."""
    pools: dict[str, PoolConfig]
    """Node pools by name."""
    default_pool: str
    """Pool of the steps that `steps` does not name, and of the orchestrator."""
    steps: dict[str, str] = field(default_factory=dict)
    """Pool by step; a * in a step's name stands for anything."""
    server: ServerConfig | None = None
    """ZenML's server; null: the embedded database, in a folder that pods on this machine see too."""
    artifact_store: ArtifactStoreConfig = field(default_factory=ArtifactStoreConfig)
    """Where artifacts lie."""
    service_accounts: ServiceAccounts = field(default_factory=ServiceAccounts)
    """Who the pods are."""
    jobs: JobsConfig = field(default_factory=JobsConfig)
    """How pods are retried, limited and cleaned up."""
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    """Kubeflow Trainer, for trainings on several nodes."""
    volumes: tuple[VolumeConfig, ...] = ()
    """Further volumes, such as one with datasets."""
    image_pull_secrets: tuple[str, ...] = ()
    """Secrets that the image is pulled with."""

    def __post_init__(self) -> None:
        if NAME.fullmatch(self.name) is None:
            raise ValueError(f"name must be lower-case letters, digits and '-'; got {self.name!r}")
        if self.name == "default":
            raise ValueError("name must not be default, which is the local stack in ZenML")
        _check_image(self.image)
        _check_pools(self)
        if self.server is not None and self.artifact_store.is_folder:
            raise ValueError(
                "artifact_store.uri: with a server it must be a bucket that all pods reach; a folder "
                "goes with server: null"
            )
        if self.server is None and not self.artifact_store.is_folder:
            raise ValueError(
                "server: a bucket needs a ZenML server that pods reach; give server.url"
            )

    @property
    def mounts(self) -> tuple[VolumeConfig, ...]:
        """Every volume, the cache first."""
        return (self.cache, *self.volumes)

    @property
    def home(self) -> str:
        """SAGA_HOME of the pods."""
        return f"{self.cache.mount_path.rstrip('/')}/saga"

    @property
    def spreads(self) -> bool:
        """Whether trainings may use several nodes."""
        return self.pools[self.pool_of(TRAINS)].nodes > 1

    def pool_of(self, step: str) -> str:
        """The pool of a step: by its name, by the first pattern that fits, else the default."""
        if step in self.steps:
            return self.steps[step]
        fitting = (pool for name, pool in self.steps.items() if fnmatchcase(step, name))
        return next(fitting, self.default_pool)


StackConfig = LocalStack | KubernetesStack


def load_stack(given: str) -> StackConfig:
    """Read a stack by the name of a bundled one or the path of a file.

    Raises:
        UserInputError: one message with every problem, each with file and key.
    """
    return read_stack(stack_path(given))


def stack_path(given: str) -> Path:
    """The file of a stack.

    Raises:
        UserInputError: if there is none of that name.
    """
    for path in (STACKS / f"{given}.yaml", Path(os.path.expanduser(given))):
        if os.path.isfile(path):
            below = path.is_relative_to(Path.cwd())
            return path.relative_to(Path.cwd()) if below else path
    names = sorted(path.stem for path in STACKS.glob("*.yaml"))
    near = closest(given, names)
    raise UserInputError(
        f"--stack: {given} is neither a bundled stack ({', '.join(names)}) nor a file."
        f"{f' Did you mean {near}?' if near else ''}"
    )


def read_stack(path: Path) -> StackConfig:
    """Read a stack file.

    Raises:
        UserInputError: one message with every problem, each with file and key.
    """
    raw = read_mapping(path)
    kind = raw.get("kind")
    if kind not in KINDS:
        near = closest(kind, KINDS) if isinstance(kind, str) else None
        given = "is missing" if kind is None else f"must be one of {', '.join(KINDS)}; got {kind!r}"
        raise UserInputError(f"{path}: kind {given}.{f' Nearest: {near}.' if near else ''}")
    cls: Any = LocalStack if kind == "local" else KubernetesStack
    problems = Problems(str(path), cls)
    stack: StackConfig | None = build(cls, raw, problems)
    problems.raise_all()
    assert stack is not None, "a stack without problems can be built"
    return stack


@cache
def known_steps() -> tuple[str, ...]:
    """Names of all steps: one a file."""
    files = STEPS.rglob("*.py")
    return tuple(sorted(path.stem for path in files if "@step" in path.read_text("utf-8")))


def _check_image(image: str) -> None:
    found = IMAGE.fullmatch(image)
    if found is None:
        raise ValueError(f"image must be a name with a tag or a digest; got {image!r}")
    if found["tag"] is None and found["digest"] is None:
        raise ValueError(f"image: {image} names neither tag nor digest; add :TAG or @sha256:DIGEST")
    if found["tag"] == "latest" and found["digest"] is None:
        raise ValueError("image: the tag latest moves; give a tag that stays, or @sha256:DIGEST")


def _check_pools(stack: KubernetesStack) -> None:
    if not stack.pools:
        raise ValueError("pools must name at least one pool")
    for name in stack.pools:
        if NAME.fullmatch(name) is None:
            raise ValueError(f"pools.{name} must be lower-case letters, digits and '-'")
    given: Mapping[str, str] = {f"steps.{s}": pool for s, pool in stack.steps.items()}
    for key, pool in {"default_pool": stack.default_pool, **given}.items():
        if pool not in stack.pools:
            raise ValueError(f"{key}: {unknown('pool', pool, stack.pools)}")
    for step in stack.steps:
        if not any(fnmatchcase(known, step) for known in known_steps()):
            raise ValueError(f"steps.{step}: {unknown('step', step, known_steps())}")


def unknown(what: str, name: str, allowed: Iterable[str]) -> str:
    """The message about a name that does not exist."""
    names = list(allowed)
    near = closest(name, names)
    hint = f"Nearest: {near}" if near else f"Allowed: {', '.join(names)}"
    return f"there is no {what} {name}. {hint}"
