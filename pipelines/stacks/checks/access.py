"""Is the cluster there, and may we and the pods do there what a run does?"""

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.stacks.checks.finding import UNAUTHORIZED, Finding, found, names, reason
from pipelines.stacks.cluster import Cluster
from pipelines.stacks.configuration import KubernetesStack
from saga.settings.describe import closest


@dataclass(frozen=True, slots=True)
class Right:
    """Something that somebody must be allowed."""

    verb: str
    """Such as create."""
    resource: str
    """Such as jobs, or pods/log."""
    group: str = ""
    """API group; empty: core."""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"

    def attributes(self, namespace: str) -> dict[str, str]:
        """As the API server wants it asked."""
        resource, _, part = self.resource.partition("/")
        asked = {"verb": self.verb, "resource": resource, "group": self.group}
        return asked | {"namespace": namespace} | ({"subresource": part} if part else {})


ENFORCED = "pod-security.kubernetes.io/enforce"
FORBIDS_HOST_FOLDERS = ("baseline", "restricted")
JOBS = tuple(Right(verb, "jobs", "batch") for verb in ("create", "get", "list", "delete"))
PODS = (Right("get", "pods"), Right("list", "pods"))
SUBMITTER = (*JOBS, *PODS, Right("get", "pods/log"), Right("list", "events"))
"""Whoever runs `saga run`."""
TOKEN = (Right("create", "secrets"), Right("patch", "secrets"))
"""The same, where the token is passed as a Secret."""
SCHEDULES = tuple(
    Right(verb, "cronjobs", "batch") for verb in ("create", "get", "list", "patch", "delete")
)
"""Whoever runs `saga schedule`."""
ORCHESTRATOR = (*JOBS, Right("patch", "jobs", "batch"), *PODS)
"""The pod that starts the steps."""
NEVER_FOR_STEPS = (
    Right("create", "jobs", "batch"),
    Right("create", "pods"),
    Right("list", "secrets"),
)
"""What the pods of steps need not and should not."""


def answers(cluster: Cluster) -> Finding | None:
    """Whether the API server answers us; None if it does."""
    from kubernetes import client
    from kubernetes.client.rest import ApiException
    from urllib3.exceptions import HTTPError

    host = cluster.api.configuration.host
    try:
        client.VersionApi(cluster.api).get_code()
    except ApiException as error:
        if error.status == UNAUTHORIZED:
            hint = "Log in to the cluster again."
            return Finding("cluster.context", f"{host} does not know you. {reason(error)}. {hint}")
        return Finding("cluster.context", f"{host} refuses. {reason(error)}.")
    except (HTTPError, OSError) as error:
        return Finding(
            "cluster.context",
            f"The API server {host} does not answer ({type(error).__name__}). Start the cluster, or "
            "open the way to it (VPN, proxy).",
        )
    return None


def namespace(stack: KubernetesStack, cluster: Cluster) -> Iterator[Finding]:
    """Whether the namespace exists."""
    name = stack.cluster.namespace
    there = found(cluster.core.read_namespace, name)
    if there is None:
        near = closest(name, names(cluster.core.list_namespace))
        yield Finding(
            "cluster.namespace",
            f"There is no namespace {name}.{f' Did you mean {near}?' if near else ''} "
            "infra/kubernetes makes one: kubectl apply -k.",
        )
        return
    standard = (there.metadata.labels or {}).get(ENFORCED)
    if standard in FORBIDS_HOST_FOLDERS:
        for key in host_folders(stack):
            yield Finding(
                key,
                f"Pods would mount a folder of their node, which {name} forbids ({ENFORCED}: "
                f"{standard}). Use a claim and a ZenML server, or another namespace.",
            )


def host_folders(stack: KubernetesStack) -> list[str]:
    """Settings because of which pods mount folders of their node."""
    keys = ["cache.host_path", *(f"volumes[{i}].host_path" for i in range(len(stack.volumes)))]
    given = [key for key, volume in zip(keys, stack.mounts) if volume.host_path is not None]
    return (["server"] if stack.server is None else []) + given


def accounts(stack: KubernetesStack, cluster: Cluster) -> Iterator[Finding]:
    """Whether the service accounts exist."""
    given = stack.service_accounts
    read = cluster.core.read_namespaced_service_account
    for key, name in (("orchestrator", given.orchestrator), ("step", given.step)):
        if found(read, name, cluster.namespace) is None:
            yield Finding(
                f"service_accounts.{key}",
                f"There is no service account {name} in {cluster.namespace}. infra/kubernetes makes "
                "it: kubectl apply -k.",
            )


def own_rights(stack: KubernetesStack, cluster: Cluster) -> Iterator[Finding]:
    """What we may not do, but a run or a schedule does."""
    token = stack.server is not None and stack.server.token_as_secret
    needed = SUBMITTER + (TOKEN if token else ())
    missing = [str(right) for right in needed if not _may_we(cluster, right)]
    if missing:
        yield Finding(
            "cluster.namespace",
            f"You may not {', '.join(missing)} in {cluster.namespace}. Have the role saga-submitter "
            "of infra/kubernetes bound to you.",
        )
    missing = [str(right) for right in SCHEDULES if not _may_we(cluster, right)]
    if missing:
        message = f"You may not {', '.join(missing)}: saga run works, saga schedule does not."
        yield Finding("cluster.namespace", message, "warns")


def account_rights(stack: KubernetesStack, cluster: Cluster) -> Iterator[Finding]:
    """What the pods may not do, but must; and what the steps may, but need not."""
    token = stack.server is not None and stack.server.token_as_secret
    needed = ORCHESTRATOR + ((Right("delete", "secrets"),) if token else ())
    name = stack.service_accounts.orchestrator
    missing = [str(right) for right in needed if not may(cluster, name, right)]
    if missing:
        yield Finding(
            "service_accounts.orchestrator",
            f"{name} may not {', '.join(missing)} in {cluster.namespace}. Bind the role "
            "saga-orchestrator of infra/kubernetes to it.",
        )
    name = stack.service_accounts.step
    spare = [str(right) for right in NEVER_FOR_STEPS if may(cluster, name, right)]
    if spare:
        message = f"{name} may {', '.join(spare)}; steps need no rights at all. Take them away."
        yield Finding("service_accounts.step", message, "warns")


def _may_we(cluster: Cluster, right: Right) -> bool:
    body = {"spec": {"resourceAttributes": right.attributes(cluster.namespace)}}
    answer = cluster.authorization.create_self_subject_access_review(body)
    return bool(answer.status.allowed)


def may(cluster: Cluster, account: str, right: Right) -> bool:
    """Whether a service account of the namespace is allowed something."""
    space = cluster.namespace
    spec = {
        "user": f"system:serviceaccount:{space}:{account}",
        "groups": [
            "system:serviceaccounts",
            f"system:serviceaccounts:{space}",
            "system:authenticated",
        ],
        "resourceAttributes": right.attributes(space),
    }
    # Of one namespace: for others' rights in the whole cluster nobody needs to be allowed to ask.
    answer = cluster.authorization.create_namespaced_local_subject_access_review(
        space, {"metadata": {"namespace": space}, "spec": spec}
    )
    return bool(answer.status.allowed)
