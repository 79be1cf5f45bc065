import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saga.retrieval import best as module
from saga.retrieval.best import Best, largest


def tied(rows: int, columns: int, seed: int, values: int = 3) -> torch.Tensor:
    """Few different values, so that most are equal to others."""
    return torch.from_numpy(np.random.default_rng(seed).integers(values, size=(rows, columns))) / 4


def sorted_whole(scores: torch.Tensor, k: int) -> tuple[list, list]:
    found = scores.sort(dim=1, descending=True, stable=True)
    return found.values[:, :k].tolist(), found.indices[:, :k].tolist()


@given(st.integers(1, 6), st.integers(1, 40), st.integers(0, 10**6), st.data())
@settings(max_examples=80, deadline=None)
def test_the_largest_are_those_of_a_stable_sort_whatever_is_tied(rows, columns, seed, data):
    scores, k = tied(rows, columns, seed), data.draw(st.integers(1, columns))
    values, positions = largest(scores, k)
    assert (values.tolist(), positions.tolist()) == sorted_whole(scores, k)


def test_torn_rows_are_sorted_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(module, "SORTED_AT_ONCE", 100)
    scores = torch.zeros(9, 50)
    assert largest(scores, 3)[1].tolist() == [[0, 1, 2]] * 9


@pytest.mark.parametrize("crowded", [0, module.CROWDED, 10**9], ids=["picked", "either", "top-k"])
@given(st.integers(1, 9), st.integers(1, 60), st.integers(0, 10**6), st.data())
@settings(max_examples=60, deadline=None)
def test_met_piece_by_piece_the_best_are_those_of_the_whole(crowded, rows, columns, seed, data):
    scores = tied(rows, columns, seed, values=data.draw(st.sampled_from([2, 9, 10**6])))
    k = data.draw(st.integers(1, columns))
    cuts = sorted(data.draw(st.sets(st.integers(1, columns), max_size=5)) | {columns})
    by_column = data.draw(st.booleans())
    best = Best.empty(rows, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CROWDED", crowded)
        for left, right in zip([0, *cuts], cuts):
            piece = scores[:, left:right]
            best.meet(piece.T.contiguous().T if by_column else piece.contiguous(), left)
    assert (best.values_Qk.tolist(), best.positions_Qk.tolist()) == sorted_whole(scores, k)


def test_a_part_finds_for_the_whole():
    best = Best.empty(4, 2)
    best.part(slice(1, 3)).meet(torch.tensor([[0.1, 0.2], [0.4, 0.3]]), 0)
    assert best.positions_Qk[1:3].tolist() == [[1, 0], [0, 1]]
    assert best.values_Qk[[0, 3]].isneginf().all()
