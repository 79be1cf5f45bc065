"""One run on a cluster: submit it, follow it, say how it ended.

The stack must be active (pipelines.stacks.components.active).
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pipelines.stacks.cluster import Cluster, connect
from pipelines.stacks.configuration import KubernetesStack
from pipelines.stacks.failure import failure_of
from pipelines.stacks.following import Follower, delete_jobs, note_end, say, short
from pipelines.stacks.objects import RUN
from pipelines.stacks.pools import placed
from saga.errors import UserInputError

if TYPE_CHECKING:
    from zenml.pipelines.pipeline_definition import Pipeline


def run_on_cluster(
    stack: KubernetesStack, pipeline: "Pipeline", arguments: Sequence[Any]
) -> tuple[str, BaseException | None]:
    """Run a pipeline to its end.

    Ctrl-C stops it there too; steps that are over stay, and training keeps its checkpoint.

    Returns:
        ZenML's id of the run, and why it failed, if it did.

    Raises:
        UserInputError: if the cluster does not take it, or it can never start.
    """
    cluster = connect(stack.cluster)
    run, steps = submit(stack, pipeline, arguments)
    say(f"submitted to {stack.cluster.namespace} of {stack.name}; its Jobs: run_id={run.id}")
    follower = Follower(stack, cluster, str(run.id), steps)
    try:
        ended = follower.follow()
    except KeyboardInterrupt:
        stop(stack, cluster, str(run.id))
        raise
    except RuntimeError as error:
        return str(run.id), error
    return str(run.id), failure_of(ended, stack, follower.logs)


def submit(
    stack: KubernetesStack, pipeline: "Pipeline", arguments: Sequence[Any]
) -> tuple[Any, int]:
    """Hand a pipeline to the cluster; returns at once.

    Returns:
        The run, and how many steps it has.

    Raises:
        UserInputError: if the cluster does not take it.
    """
    from zenml.orchestrators.exceptions import PipelineSubmissionError

    ours = placed(pipeline, stack, arguments)
    try:
        run = ours(*arguments)
    except PipelineSubmissionError as error:
        raise UserInputError(
            f"The cluster of {stack.name} did not take the run: {error}"
        ) from error
    assert run is not None, "a pipeline without schedule makes a run"
    return run, len(ours.invocations)


def stop(stack: KubernetesStack, cluster: Cluster, run_id: str) -> None:
    """Stop a run and say what came of it; its pods get their grace to save what they have.

    ZenML does that, and notes what was stopped. Where it cannot (its server or database does not answer, or
    the run has not begun), the run's Jobs are deleted.
    """
    from zenml.client import Client
    from zenml.utils.run_utils import stop_run

    try:
        run = Client().get_pipeline_run(run_id)
        if run.status.is_finished:
            return
        stop_run(run, graceful=False)
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing may go on unnoticed
        say(f"ZenML could not stop the run ({short(error)}).")
        _end(stack, cluster, run_id)
    else:
        say("The run was told to stop there too.")


def _end(stack: KubernetesStack, cluster: Cluster, run_id: str) -> None:
    try:
        delete_jobs(cluster, run_id)
    except Exception as error:  # noqa: BLE001 - Ctrl-C must end this command; the user must know
        say(
            f"Its Jobs could not be deleted either ({short(error)}), and may go on. When "
            f"{stack.cluster.context or 'the cluster'} answers: kubectl --namespace {cluster.namespace} "
            f"delete jobs --selector {RUN}={run_id}"
        )
        return
    say("Its Jobs were deleted instead: the run is stopped there too.")
    with suppress(Exception):
        note_end(stack, cluster, run_id)
