"""The Kubernetes API of a stack: one client whose every call has a time limit."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.stacks.configuration import ClusterConfig
from saga.errors import UserInputError

if TYPE_CHECKING:
    from kubernetes import client

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 20.0
INSTALL = 'The Kubernetes client is not installed: pip install "saga-retrieval[kubernetes]".'


@dataclass(frozen=True)
class Cluster:
    """What is asked of a cluster."""

    api: "client.ApiClient"
    """Connection; its calls give up after some seconds."""
    namespace: str
    """Namespace that everything runs in."""

    @property
    def core(self) -> Any:
        """Pods, events, nodes, claims, accounts."""
        from kubernetes import client

        return client.CoreV1Api(self.api)

    @property
    def batch(self) -> Any:
        """Jobs."""
        from kubernetes import client

        return client.BatchV1Api(self.api)

    @property
    def authorization(self) -> Any:
        """Who may do what."""
        from kubernetes import client

        return client.AuthorizationV1Api(self.api)

    @property
    def scheduling(self) -> Any:
        """Priority classes."""
        from kubernetes import client

        return client.SchedulingV1Api(self.api)

    @property
    def runtimes(self) -> Any:
        """Runtime classes."""
        from kubernetes import client

        return client.NodeV1Api(self.api)


def connect(config: ClusterConfig) -> Cluster:
    """A connection to a stack's cluster; nothing is asked yet.

    Raises:
        UserInputError: if the client is not installed, or there is no such context.
    """
    try:
        from kubernetes import client
        from kubernetes.config import ConfigException
    except ImportError as error:
        raise UserInputError(INSTALL) from error
    _accept_rules_without_conditions()
    _leave_loggers_alone()
    settings = client.Configuration()
    settings.retries = 1
    try:
        _load(config, settings)
    except ConfigException as error:
        raise UserInputError(_no_context(config, str(error))) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserInputError(f"cluster.context: the kubeconfig cannot be read: {error}.") from error
    return Cluster(limited(settings), config.namespace)


def limited(settings: "client.Configuration") -> "client.ApiClient":
    """A client that gives up on a server that does not answer."""
    from kubernetes import client

    class Limited(client.ApiClient):  # type: ignore[misc]
        def request(self, *arguments: Any, **options: Any) -> Any:
            if options.get("_request_timeout") is None:
                options["_request_timeout"] = (CONNECT_SECONDS, ANSWER_SECONDS)
            return super().request(*arguments, **options)

    return Limited(settings)


def _accept_rules_without_conditions() -> None:
    """Let Jobs be read whose failure policy has rules for exit codes, as every API server sends them.

    The client refuses them. ZenML mends that when its orchestrator is imported, which not all commands do.
    """
    from kubernetes.client import V1PodFailurePolicyRule as Rule

    def keep(rule: Any, conditions: Any) -> None:
        rule._on_pod_conditions = conditions  # noqa: SLF001 - the client's own field

    Rule.on_pod_conditions = property(lambda rule: rule._on_pod_conditions, keep)  # noqa: SLF001


def _leave_loggers_alone() -> None:
    """Read objects in half the time.

    The client makes its settings anew for every object that it reads, every label's and variable's
    included, and each time sets the levels of its loggers, for which Python forgets what it knows of all
    loggers.
    """
    from kubernetes import client

    client.Configuration.debug = property(lambda settings: False, lambda settings, value: None)


def _load(config: ClusterConfig, settings: "client.Configuration") -> None:
    from kubernetes import config as kubeconfig

    if config.in_cluster:
        kubeconfig.load_incluster_config(client_configuration=settings)
    else:
        kubeconfig.load_kube_config(context=config.context, client_configuration=settings)


def _no_context(config: ClusterConfig, why: str) -> str:
    if config.in_cluster:
        return f"cluster.in_cluster: this is not a pod of a cluster ({why})."
    names = _contexts()
    known = f"The kubeconfig has: {', '.join(names)}." if names else "The kubeconfig has none."
    return (
        f"cluster.context: there is no context {config.context}. {known} Put the cluster's "
        "kubeconfig in place, or name it in KUBECONFIG."
    )


def _contexts() -> list[str]:
    from kubernetes import config as kubeconfig

    try:
        found, _ = kubeconfig.list_kube_config_contexts()
    except (kubeconfig.ConfigException, OSError, TypeError):
        return []
    return sorted(context["name"] for context in found)
