"""Work on batches by threads, ahead of whoever uses the results."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from saga.data.configuration import LoadingConfig

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_batches(
    work: Callable[[Item], Result], batches: Iterable[Iterable[Item]], loading: LoadingConfig
) -> Generator[list[Result], None, None]:
    """Results of each batch, in order, while the next `prefetch_batches` batches are worked on.

    Beside the results that the caller still holds, those of at most 1 + `prefetch_batches` batches
    exist at a time. An exception of `work` is raised where its batch is due. Close the generator if
    it is left early: that drops what has not begun and waits for the rest.

    Args:
        work: done by the threads, once an item.
        batches: of items.
        loading: threads, and batches ahead.
    """
    queue: deque[list[Future[Result]]] = deque()
    pool = ThreadPoolExecutor(loading.workers, thread_name_prefix="saga-overlap")
    try:
        for batch in batches:
            queue.append([pool.submit(work, item) for item in batch])
            if len(queue) > loading.prefetch_batches:
                yield [future.result() for future in queue.popleft()]
        while queue:
            yield [future.result() for future in queue.popleft()]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
