"""Who may do what in the cluster: what infra/kubernetes grants, no more and no less.

`test_kubernetes.py` compares the table with the roles as they are written; the cluster tests ask a real
API server the same (`kubectl auth can-i`, with the arguments that `question` gives).
"""

from dataclasses import dataclass

NAMESPACE = "saga"
SUBMITTERS = "saga-submitters"


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    account: str
    """Service account of the namespace."""
    verb: str
    """As the API server knows it."""
    resource: str
    """Plural; its API group after a dot, its subresource after a slash: `pods/log`, `jobs.batch`."""
    name: str = ""
    """The one object that it is about; empty: all."""
    namespace: str = NAMESPACE
    """Empty for what belongs to no namespace, or for all of them."""

    @property
    def subject(self) -> str:
        """The user that the API server sees."""
        return f"system:serviceaccount:{NAMESPACE}:{self.account}"

    def question(self) -> list[str]:
        """Arguments of `kubectl auth can-i`."""
        resource, _, subresource = self.resource.partition("/")
        asked = [self.verb, f"{resource}/{self.name}" if self.name else resource]
        if subresource:
            asked.append(f"--subresource={subresource}")
        scope = [f"--namespace={self.namespace}"] if self.namespace else []
        return [*asked, f"--as={self.subject}", *scope]


def granted(account: str, resource: str, verbs: str, **limits: str) -> list[Permission]:
    return [Permission(account, verb, resource, **limits) for verb in verbs.split()]


ALLOWED: frozenset[Permission] = frozenset(
    [
        *granted("saga-orchestrator", "pods", "get list"),
        *granted("saga-orchestrator", "jobs.batch", "create get list patch delete"),
        *granted("saga-orchestrator", "secrets", "delete"),
        *granted("saga-training", "trainjobs.trainer.kubeflow.org", "create get delete"),
        *granted("saga-training", "pods", "get list"),
        *granted("saga-training", "pods/log", "get"),
        *granted("saga-submitter", "jobs.batch", "create get list delete"),
        *granted("saga-submitter", "cronjobs.batch", "create get list patch delete"),
        *granted("saga-submitter", "pods", "get list"),
        *granted("saga-submitter", "pods/log", "get"),
        *granted("saga-submitter", "secrets", "create patch delete"),
        *granted("saga-submitter", "events", "list"),
        *granted("saga-submitter", "resourcequotas", "list"),
        *granted("saga-submitter", "persistentvolumeclaims", "get"),
        *granted("saga-submitter", "serviceaccounts", "get"),
        *granted("saga-submitter", "trainingruntimes.trainer.kubeflow.org", "get"),
        *granted("saga-submitter", "nodes", "list", namespace=""),
        *granted("saga-submitter", "namespaces", "get", name=NAMESPACE, namespace=""),
        *granted("saga-submitter", "localsubjectaccessreviews.authorization.k8s.io", "create"),
        *granted("saga-submitter", "priorityclasses.scheduling.k8s.io", "get", namespace=""),
        *granted("saga-submitter", "runtimeclasses.node.k8s.io", "get list", namespace=""),
    ]
)

ACCOUNTS = (
    "saga-orchestrator",
    "saga-step",
    "saga-training",
    "saga-submitter",
    "saga-ci-promoter",
    "default",
)

# What would hurt most: reading secrets, getting into pods, widening one's own rights.
HARMFUL = (
    ("get", "secrets"),
    ("list", "secrets"),
    ("create", "pods"),
    ("create", "pods/exec"),
    ("create", "serviceaccounts/token"),
    ("create", "roles.rbac.authorization.k8s.io"),
    ("create", "rolebindings.rbac.authorization.k8s.io"),
    ("update", "resourcequotas"),
    ("delete", "networkpolicies.networking.k8s.io"),
    ("patch", "serviceaccounts"),
)

REFUSED: frozenset[Permission] = frozenset(
    [
        *(
            Permission(account, verb, resource)
            for account in ACCOUNTS
            for verb, resource in HARMFUL
        ),
        # The same elsewhere: rights end at the namespace.
        *(
            Permission(account, verb, resource, namespace="kube-system")
            for account in ACCOUNTS
            for verb, resource in (
                ("list", "pods"),
                ("create", "jobs.batch"),
                ("delete", "secrets"),
            )
        ),
        # Accounts without any right.
        *(
            Permission(account, "get", resource)
            for account in ("saga-step", "saga-ci-promoter", "default")
            for resource in ("pods", "pods/log", "jobs.batch", "cronjobs.batch", "configmaps")
        ),
        # TrainJobs are the training step's alone, and it makes nothing else.
        *(
            Permission(account, "create", "trainjobs.trainer.kubeflow.org")
            for account in ACCOUNTS
            if account != "saga-training"
        ),
        Permission("saga-training", "patch", "trainjobs.trainer.kubeflow.org"),
        Permission("saga-training", "create", "jobs.batch"),
        Permission("saga-training", "create", "jobsets.jobset.x-k8s.io"),
        Permission("saga-training", "delete", "pods"),
        Permission("saga-orchestrator", "create", "cronjobs.batch"),
        Permission("saga-orchestrator", "list", "nodes", namespace=""),
        Permission("saga-submitter", "patch", "jobs.batch"),
        Permission("saga-submitter", "patch", "nodes", namespace=""),
        Permission("saga-submitter", "get", "namespaces", name="kube-system", namespace=""),
    ]
)
