"""Every check of a stack, in the order in which things depend on each other."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from pipelines.stacks.checks import access, capacity, image, objects, outside, trainer
from pipelines.stacks.checks.finding import Finding, told
from pipelines.stacks.cluster import Cluster, connect
from pipelines.stacks.configuration import KubernetesStack, StackConfig
from saga.errors import UserInputError

Check = Callable[[KubernetesStack, Cluster], Iterable[Finding]]

QUICK: tuple[tuple[str, str, Check], ...] = (
    ("service_accounts", "The service accounts", access.accounts),
    ("cluster.namespace", "Your permissions", access.own_rights),
    ("pools", "The nodes", capacity.nodes),
    ("pools", "The quotas", capacity.quota),
    ("cache.claim", "The claims", objects.claims),
    ("pools", "The priority and runtime classes", objects.classes),
    ("trainer", "Kubeflow Trainer", trainer.trainer),
)
"""What `saga run` looks at: setting, words, check."""
THOROUGH: tuple[tuple[str, str, Check], ...] = (
    ("service_accounts", "The permissions of the service accounts", access.account_rights),
)
"""What only `saga stack check` looks at besides."""


def check_stack(stack: StackConfig, *, quick: bool = False) -> list[Finding]:
    """What a stack lacks.

    Where nothing is missing, a pod of the image looks too: it is the last check, and takes longest.

    Args:
        stack: as its file says.
        quick: leave out what takes long or leaves traces: the probes of the artifact store, the service
            accounts' permissions.
    """
    if not isinstance(stack, KubernetesStack):
        return []
    findings = [*outside.server(stack), *outside.registry(stack)]
    if not quick:
        findings += outside.store(stack)
    cluster = _open(stack, findings)
    if cluster is not None:
        findings += _of_cluster(stack, cluster, quick)
    if cluster is None or _blocking(findings):
        return [*findings, image.unseen(stack, "something else is missing")]
    return [*findings, *_image(stack, cluster, store=not quick)]


def _image(stack: KubernetesStack, cluster: Cluster, *, store: bool) -> Iterator[Finding]:
    return told("image", "The image", partial(image.image, stack, cluster, store=store))


def _blocking(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level == "blocks"]


def require(stack: StackConfig, source: str) -> list[Finding]:
    """The quick checks before a run; warnings are returned.

    Raises:
        UserInputError: with everything that blocks, each with file and key.
    """
    return _required(check_stack(stack, quick=True), source)


def require_image(stack: KubernetesStack, source: str) -> None:
    """The check of the image alone: what a schedule will start with, whatever is free today.

    Raises:
        UserInputError: if a pod of it cannot start, or holds another version of saga.
    """
    _required(list(_image(stack, connect(stack.cluster), store=False)), source)


def _required(findings: list[Finding], source: str) -> list[Finding]:
    if blocking := _blocking(findings):
        raise UserInputError("\n".join(f"{source}: {f.key}: {f.message}" for f in blocking))
    return [f for f in findings if f.level == "warns"]


def _open(stack: KubernetesStack, findings: list[Finding]) -> Cluster | None:
    """The cluster, if it answers; else a finding more."""
    try:
        cluster = connect(stack.cluster)
    except UserInputError as error:
        key, _, message = str(error).partition(": ")
        of_key = key.startswith("cluster.")
        findings.append(Finding(key, message) if of_key else Finding("kind", str(error)))
        return None
    silent = access.answers(cluster)
    if silent is not None:
        findings.append(silent)
        return None
    return cluster


def _of_cluster(stack: KubernetesStack, cluster: Cluster, quick: bool) -> Iterator[Finding]:
    missing = list(
        told("cluster.namespace", "The namespace", partial(access.namespace, stack, cluster))
    )
    yield from missing
    if any(f.key == "cluster.namespace" for f in _blocking(missing)):
        return  # nothing else can be there
    for key, what, check in QUICK + (() if quick else THOROUGH):
        yield from told(key, what, partial(check, stack, cluster))
