"""The scheduler of a stack."""

from collections.abc import Sequence
from functools import partial

from pipelines.home import home
from pipelines.schedules.configuration import ScheduleConfig
from pipelines.schedules.lines import Place
from pipelines.schedules.local import LocalScheduler
from pipelines.schedules.scheduler import Scheduler
from pipelines.stacks.configuration import KubernetesStack, load_stack
from saga.errors import UserInputError


def open_scheduler(given: str, files: Sequence[ScheduleConfig]) -> Scheduler:
    """The schedules of one stack.

    Args:
        given: name or file of the stack.
        files: schedules that are declared for it.

    Raises:
        UserInputError: if the stack is wrong, not registered or not reachable.
    """
    stack = load_stack(given)
    if isinstance(stack, KubernetesStack):
        return _kubernetes(given, stack)
    return LocalScheduler(given, files, Place.here(home()))


def _kubernetes(given: str, stack: KubernetesStack) -> Scheduler:
    from pipelines.schedules.cronjobs import CronJobs
    from pipelines.schedules.kubernetes import KubernetesScheduler
    from pipelines.schedules.rows import Rows
    from pipelines.stacks.cluster import connect
    from pipelines.stacks.components import choose_store

    choose_store(stack)
    cluster = connect(stack.cluster)
    from pipelines.registry import client
    from pipelines.schedules.submitting import prepare

    rows = Rows(client(), _orchestrator(given, stack))
    jobs = CronJobs(cluster.batch, cluster.core, cluster.namespace)
    return KubernetesScheduler(given, rows, jobs, partial(prepare, stack))


def _orchestrator(given: str, stack: KubernetesStack) -> str:
    """Id of the stack's orchestrator in ZenML."""
    from zenml.enums import StackComponentType

    from pipelines.registry import client

    kind = StackComponentType.ORCHESTRATOR
    found = client().list_stack_components(name=f"equals:{stack.name}", type=kind).items
    if not found:
        raise UserInputError(
            f"The stack {stack.name} is not registered yet. Register it: saga stack apply {given}"
        )
    return str(found[0].id)
