"""Every check of a stack, in the order in which things depend on each other."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from pipelines.stacks.checks import access, capacity, objects, outside, trainer
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

    Args:
        stack: as its file says.
        quick: leave out what takes long or leaves traces: the probe of the artifact store, the service
            accounts' permissions.
    """
    if not isinstance(stack, KubernetesStack):
        return []
    findings = [*outside.server(stack), *outside.image(stack)]
    if not quick:
        findings += outside.store(stack)
    return findings + list(_of_cluster(stack, quick))


def require(stack: StackConfig, source: str) -> list[Finding]:
    """The quick checks before a run; warnings are returned.

    Raises:
        UserInputError: with everything that blocks, each with file and key.
    """
    findings = check_stack(stack, quick=True)
    blocking = [f for f in findings if f.level == "blocks"]
    if blocking:
        raise UserInputError("\n".join(f"{source}: {f.key}: {f.message}" for f in blocking))
    return [f for f in findings if f.level == "warns"]


def _of_cluster(stack: KubernetesStack, quick: bool) -> Iterator[Finding]:
    try:
        cluster = connect(stack.cluster)
    except UserInputError as error:
        key, _, message = str(error).partition(": ")
        yield Finding(key, message) if key.startswith("cluster.") else Finding("kind", str(error))
        return
    silent = access.answers(cluster)
    if silent is not None:
        yield silent
        return
    missing = list(
        told("cluster.namespace", "The namespace", partial(access.namespace, stack, cluster))
    )
    yield from missing
    if any(f.key == "cluster.namespace" and f.level == "blocks" for f in missing):
        return  # nothing else can be there
    for key, what, check in QUICK + (() if quick else THOROUGH):
        yield from told(key, what, partial(check, stack, cluster))
