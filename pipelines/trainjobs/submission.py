"""TrainJobs made, found again, looked at and deleted."""

from typing import Any

from pipelines.stacks.checks.finding import FORBIDDEN, NOT_FOUND, found, reason
from pipelines.stacks.cluster import Cluster
from pipelines.trainjobs.manifest import DIGEST, GROUP, PLURAL, VERSION
from saga.errors import UserInputError

CONFLICT, INVALID = 409, (400, 422)
NO_RIGHT = "cannot create resource"

TrainJob = dict[str, Any]


def submitted(cluster: Cluster, wanted: TrainJob) -> tuple[TrainJob, bool]:
    """A step's TrainJob: made, or that of an earlier pod of the same step.

    Args:
        cluster: where.
        wanted: as it should be.

    Returns:
        The TrainJob, and whether it was there already.

    Raises:
        UserInputError: if the cluster does not take it, or another one bears its name.
    """
    from kubernetes.client.rest import ApiException

    name = wanted["metadata"]["name"]
    there = look(cluster, name)
    if there is None:
        try:
            made: TrainJob = _api(cluster).create_namespaced_custom_object(
                GROUP, VERSION, cluster.namespace, PLURAL, wanted
            )
            return made, False
        except ApiException as error:
            if error.status != CONFLICT:
                raise _refused(error, cluster, wanted) from error
        there = look(cluster, name)
    if there is None:
        raise RuntimeError(f"the TrainJob {name} was deleted as soon as it was made")
    _check_same(there, wanted)
    return there, True


def look(cluster: Cluster, name: str) -> TrainJob | None:
    """A TrainJob as it is now; None where there is none."""
    read = _api(cluster).get_namespaced_custom_object
    there: TrainJob | None = found(read, GROUP, VERSION, cluster.namespace, PLURAL, name)
    return there


def delete(cluster: Cluster, name: str) -> None:
    """Delete a TrainJob with its pods, which get their grace; none is none."""
    found(
        _api(cluster).delete_namespaced_custom_object,
        GROUP,
        VERSION,
        cluster.namespace,
        PLURAL,
        name,
    )


def _check_same(there: TrainJob, wanted: TrainJob) -> None:
    about = there["metadata"]
    theirs = (about.get("annotations") or {}).get(DIGEST)
    ours = wanted["metadata"]["annotations"][DIGEST]
    if theirs != ours:
        raise UserInputError(
            f"There is a TrainJob {about['name']} that asks for something else (digest "
            f"{str(theirs)[:12]}, ours {ours[:12]}). Somebody changed the image or the code in mid-run, "
            f"or made it by hand: kubectl delete trainjob {about['name']}, then run again."
        )


def _refused(error: Any, cluster: Cluster, wanted: TrainJob) -> Exception:
    """Why a TrainJob was not taken, and what to do."""
    if error.status == NOT_FOUND:
        return UserInputError(
            "training.distributed.nodes: this cluster knows no TrainJobs of "
            f"{GROUP}/{VERSION}. Install Kubeflow Trainer (docs/kubernetes.md), or set it to 1."
        )
    if error.status == FORBIDDEN and NO_RIGHT in reason(error):  # admission forbids too
        return UserInputError(
            f"service_accounts.training: the training step may not make TrainJobs in {cluster.namespace}. "
            f"Bind the role saga-training of infra/kubernetes to its account. {reason(error)}"
        )
    if error.status in (FORBIDDEN, *INVALID):
        return UserInputError(
            f"The TrainJob {wanted['metadata']['name']} is refused: does the runtime "
            f"{wanted['spec']['runtimeRef']['name']} exist, and is it that of infra/kubernetes? "
            f"{reason(error)}"
        )
    return error  # type: ignore[no-any-return]


def _api(cluster: Cluster) -> Any:
    from kubernetes import client

    return client.CustomObjectsApi(cluster.api)
