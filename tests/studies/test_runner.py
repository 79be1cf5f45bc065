import os

import pytest

from saga.studies.cells import study_cells
from saga.studies.runner import Runner
from saga.studies.store import JOB, CellStore
from tests.studies.filled import stub, study


@pytest.fixture
def cells():
    return study_cells(study(seeds=1), None)


def runner(tmp_path, program, **settings):
    git = {"git_commit": "abc", "git_dirty": False}
    store = CellStore(tmp_path / "cells")
    return Runner(store, tmp_path / "data", git, program=program, **settings)


def test_a_cell_that_is_whole_is_reused_and_one_of_other_settings_is_not(tmp_path, cells):
    program, asked = stub(tmp_path)
    one = runner(tmp_path, program)
    assert one.run(cells) == [] and sorted(asked.read_text().split()) == sorted(
        c.name for c in cells
    )
    assert one.run(cells) == [] and len(asked.read_text().split()) == len(cells)
    others = study_cells(study(seeds=1, training={"steps": 3}), None)
    assert one.run(others) == []
    assert sorted(asked.read_text().split()[len(cells) :]) == [
        "small/dml/0",
        "small/kl_only/0",
        "small/saga/0",
    ]


def test_again_makes_a_whole_cell_anew(tmp_path, cells):
    program, asked = stub(tmp_path)
    one = runner(tmp_path, program)
    one.run(cells[:1])
    one.run(cells[:1], again=True)
    assert asked.read_text().split() == [cells[0].name] * 2


def test_a_failed_cell_stops_no_other_and_is_named_with_its_log(tmp_path, cells):
    program, asked = stub(tmp_path, failing="dml")
    one = runner(tmp_path, program, jobs=1)
    (failure,) = one.run(cells)
    assert failure.cell.name == "small/dml/0" and failure.code == 1
    assert failure.reason == "it broke" and failure.log.read_text() == "it broke\n"
    assert all(one.store.has(cell) for cell in cells if cell.arm != "dml")
    assert one.store.work(failure.cell).exists(), "its checkpoints are kept"
    assert not any(one.store.work(cell).exists() for cell in cells if cell.arm != "dml")


def test_progress_ends_at_all_of_it_and_never_goes_back(tmp_path, cells):
    program, _ = stub(tmp_path)
    told = []
    one = runner(tmp_path, program, report=lambda done, total, note: told.append((done, note)))
    one.run(cells)
    shares = [done for done, _ in told]
    assert shares == sorted(shares) and shares[-1] == 100
    assert told[-1][1] == f"{len(cells)} of {len(cells)} cells"


def test_an_interrupt_ends_the_processes_and_the_next_call_goes_on(tmp_path, cells):
    program, asked = stub(tmp_path, hanging="saga")
    pids = []

    def interrupt(done, total, note):
        pids.extend(r.process.pid for r in one._running if r.process.pid not in pids)
        if "small/saga/0" in asked.read_text():
            raise KeyboardInterrupt

    one = runner(tmp_path, program, report=interrupt)
    with pytest.raises(KeyboardInterrupt):
        one.run(cells)
    assert pids and not any(alive(pid) for pid in pids)
    saga = next(cell for cell in cells if cell.arm == "saga")
    assert not one.store.has(saga) and (one.store.work(saga) / JOB).exists()
    program, asked = stub(tmp_path)
    again = runner(tmp_path, program)
    assert again.run(cells) == [] and "small/saga/0" in asked.read_text()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
