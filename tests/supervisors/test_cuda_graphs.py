"""Graphs of a step, with a stand-in for CUDA whose capture runs nothing and whose replay does."""

import logging
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch

from saga.supervisors import rollout, workspace
from saga.supervisors.cuda_graphs import GraphedStep
from saga.supervisors.generation import Generation
from saga.supervisors.pace import Pace
from tests.supervisors.test_rollout import rolled

PACE = Pace(check_every=3, room_step=4, halving=True, kept=True)


class Cuda:
    """Remembers what was captured; can refuse to."""

    def __init__(self, monkeypatch):
        self.captured, self.replayed, self.capturing, self.refuses = [], [], None, False
        stream = SimpleNamespace(wait_stream=lambda other: None)
        for name, stand_in in {
            "Stream": lambda: stream,
            "current_stream": lambda: stream,
            "stream": lambda side: nullcontext(),
            "graph_pool_handle": lambda: None,
            "CUDAGraph": self.new_graph,
            "graph": self.capture,
        }.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)
        run = Generation.step

        def step(generation, window):
            if self.capturing is None:
                return run(generation, window)
            self.captured.append(window)
            self.capturing.steps.append(lambda: run(generation, window))

        monkeypatch.setattr(Generation, "step", step)
        made = workspace.workspace
        monkeypatch.setattr(rollout, "workspace", lambda *args: made(*args[:-1], args[-2] is PACE))

    def new_graph(self):
        graph = SimpleNamespace(steps=[])
        graph.replay = lambda: self.replayed.append([step() for step in graph.steps])
        return graph

    @contextmanager
    def capture(self, graph, **options):
        if self.refuses:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")
        self.capturing = graph
        yield
        self.capturing = None


@pytest.fixture
def cuda(monkeypatch):
    return Cuda(monkeypatch)


def test_replays_sample_what_steps_sample(checkpoint, image_tokens, cuda):
    workspace.forget(checkpoint.backbone)
    graphed = rolled(checkpoint, image_tokens, pace=PACE)
    plain = rolled(checkpoint, image_tokens)
    assert torch.equal(graphed.tokens_PGT, plain.tokens_PGT)
    torch.testing.assert_close(graphed.logp_PGT, plain.logp_PGT, atol=1e-5, rtol=0)
    assert len(set(cuda.captured)) == len(cuda.captured) >= 3  # each window once
    assert len(cuda.replayed) == plain.tokens_PGT.shape[2] - 1


def test_graphs_serve_the_next_call(checkpoint, image_tokens, cuda):
    workspace.forget(checkpoint.backbone)
    first = rolled(checkpoint, image_tokens, pace=PACE)
    captured = len(cuda.captured)
    second = rolled(checkpoint, image_tokens, pace=PACE)
    assert len(cuda.captured) == captured
    assert torch.equal(first.tokens_PGT, second.tokens_PGT)


def test_where_capturing_fails_it_goes_on_without_and_says_why_once(
    checkpoint, image_tokens, cuda, caplog
):
    workspace.forget(checkpoint.backbone)
    cuda.refuses = True
    with caplog.at_level(logging.WARNING):
        eager = rolled(checkpoint, image_tokens, pace=PACE)
    assert torch.equal(eager.tokens_PGT, rolled(checkpoint, image_tokens).tokens_PGT)
    assert not cuda.replayed
    assert [record.message for record in caplog.records] == [
        "The decode step cannot be captured in a CUDA graph, so rollouts will be slower: "
        "operation not permitted Pass graphs=False to roll_out to decode without trying."
    ]


def test_a_graph_is_of_one_generation(checkpoint, image_tokens, cuda):
    workspace.forget(checkpoint.backbone)
    rolled(checkpoint, image_tokens, pace=PACE)
    kept = workspace._KEPT[checkpoint.backbone]
    assert isinstance(kept.step, GraphedStep) and kept.step.generation is kept.generation
