import threading

import pytest

from saga.data.configuration import LoadingConfig
from saga.data.overlap import in_batches


def batches(count, size=3):
    return [range(size * b, size * (b + 1)) for b in range(count)]


def threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("saga-overlap")}


@pytest.mark.parametrize("ahead", [0, 1, 9])
@pytest.mark.parametrize("workers", [1, 4])
def test_results_come_batch_by_batch_in_order(workers, ahead):
    found = in_batches(lambda x: x * x, batches(5), LoadingConfig(workers, ahead))
    assert list(found) == [[x * x for x in batch] for batch in batches(5)]
    assert list(in_batches(str, [], LoadingConfig(workers, ahead))) == []


@pytest.mark.parametrize("ahead", [0, 2])
def test_no_more_batches_are_begun_than_were_allowed_ahead(ahead):
    begun: list[int] = []

    def counted():
        for number, batch in enumerate(batches(6)):
            begun.append(number)
            yield batch

    results = in_batches(lambda x: x, counted(), LoadingConfig(2, ahead))
    for number, _ in enumerate(results):
        assert len(begun) == min(number + 1 + ahead, 6)


def test_the_next_batches_are_worked_on_while_one_is_used():
    worked = {x: threading.Event() for batch in batches(4) for x in batch}
    results = in_batches(lambda x: worked[x].set(), batches(4), LoadingConfig(2, 2))
    next(results)
    assert all(worked[x].wait(60) for x in range(9))
    assert not any(worked[x].is_set() for x in range(9, 12))
    results.close()


def test_an_error_is_raised_where_its_batch_is_due_and_no_thread_stays():
    before = threads()

    def work(x):
        if x in (4, 7):
            raise ValueError(f"item {x}")
        return x

    results = in_batches(work, batches(4), LoadingConfig(2, 3))
    assert next(results) == [0, 1, 2]
    with pytest.raises(ValueError, match="item 4"):
        next(results)
    assert threads() == before


def test_left_early_it_drops_what_has_not_begun_and_its_threads_end():
    before, done, gate = threads(), [], threading.Event()

    def work(x):
        assert x < 3 or gate.wait(60)
        done.append(x)

    results = in_batches(work, batches(40), LoadingConfig(2, 30))
    next(results)
    opener = threading.Timer(0.05, gate.set)
    opener.start()
    results.close()
    assert threads() == before and len(done) <= 5
