"""On a GPU: the same figures as on the CPU, exact resume, and an encoder that moves between both."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from saga.encoders.retriever import Retriever
from saga.encoders.tower import VisionTokens
from saga.supervisors import rollout, workspace
from saga.supervisors.checkpoint import load_checkpoint
from saga.supervisors.configuration import RolloutConfig
from saga.supervisors.pace import BUCKETS
from saga.supervisors.shared_prefix import Window
from saga.training.trainer import Trainer
from tests.training.made import EMBEDDED, made_arm, made_pairs
from tests.training.record_golden import FIGURES, GOLDEN, trajectory
from tests.training.resumable import resumable_arm, resumable_pairs
from tests.training.test_resume import kept

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
ON_GPU = replace(EMBEDDED, device="cuda")
RTOL, ATOL = 1e-2, 1e-4
"""float32 of other kernels over six optimizer steps; a sampled token may fall otherwise."""


@pytest.fixture(scope="module", autouse=True)
def exact_convolutions():
    """cuDNN's convolutions take tf32 by default, the matrix products do not."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(scope="module")
def found():
    return trajectory("cuda")["steps"]


@pytest.mark.parametrize("figure", FIGURES)
def test_the_golden_run_goes_the_same_way(found, figure):
    expected = [step[figure] for step in json.loads(GOLDEN.read_text())["steps"]]
    assert [step[figure] for step in found] == pytest.approx(expected, rel=RTOL, abs=ATOL)


def test_a_restored_run_goes_on_as_if_it_had_not_stopped(birds):
    arm = replace(resumable_arm(), supervisor=ON_GPU)
    pairs = resumable_pairs(birds)
    whole, resumed = Trainer(arm, birds, pairs), Trainer(arm, birds, pairs)
    for _ in range(2):
        whole.step()
    halfway = kept(whole.state())
    whole.step()
    resumed.restore(halfway)  # the random numbers of the whole process, too
    resumed.step()
    for a, b in zip(whole.parameters.all, resumed.parameters.all, strict=True):
        # Sums over atomics may round otherwise from call to call.
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_an_encoder_trained_on_the_gpu_embeds_the_same_on_the_cpu(tmp_path, birds):
    trainer = Trainer(
        made_arm(ON_GPU, (0.5, 0.3, 5.0), steps=2), birds, made_pairs(birds, "stratified")
    )
    while not trainer.finished:
        trainer.step()
    encoder = trainer.retriever({})
    encoder.save(tmp_path / "encoder")
    images = [birds.image_path(path) for path in birds.training()["path"].head(8)]
    on_cpu = Retriever.load(tmp_path / "encoder").encode(images)
    assert np.allclose(encoder.encode(images), on_cpu, rtol=1e-3, atol=1e-4)


ROLLOUT = RolloutConfig(group_size=4, max_new_tokens=40)
PACE = replace(BUCKETS, check_every=4, room_step=8)
PAIRS = 6


def rolled(dtype, **options):
    """Completions of pairs of random tokens, and the backbone; twice from the same graphs, if any."""
    checkpoint = load_checkpoint(replace(ON_GPU, dtype=dtype))
    backbone = checkpoint.backbone
    prefix = backbone.prefix("", checkpoint.tower.grid(96))
    generator = torch.Generator().manual_seed(0)
    width, tokens = checkpoint.tower.width, len(prefix.slots_a_N)
    a, b = (
        VisionTokens(
            torch.randn(PAIRS, tokens, width, generator=generator).cuda(),
            (torch.randn(PAIRS, tokens, width, generator=generator).cuda(),),
        )
        for _ in range(2)
    )
    seeds = list(range(PAIRS))
    call = (backbone, prefix, a, b, ROLLOUT, seeds)
    return backbone, [rollout.roll_out(*call, pace=PACE, **options) for _ in range(2)]


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_replayed_graphs_sample_what_eager_steps_sample(dtype, autocast):
    with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
        backbone, graphed = rolled(dtype)
        step = workspace._KEPT[backbone].step
        eager = rolled(dtype, graphs=False)[1][0]
    assert step.graphs and not step.failed
    for found in graphed:
        assert torch.equal(found.tokens_PGT, eager.tokens_PGT)
        torch.testing.assert_close(found.logp_PGT, eager.logp_PGT, atol=1e-5, rtol=0)


def test_forced_lengths_are_reached_by_replayed_graphs():
    lengths = torch.randint(1, 41, (PAIRS, 4), generator=torch.Generator().manual_seed(0))
    for found in rolled("float32", forced_lengths_PG=lengths)[1]:
        assert torch.equal(found.lengths_PG.cpu(), lengths) and found.ended_PG.all()


def test_no_step_waits_for_the_device():
    backbone = rolled("float32", graphs=False)[0]
    generation = workspace._KEPT[backbone].generation
    generation.slot_1.zero_()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.no_grad():
            generation.step(Window(PAIRS * 4, 8, False))
            generation.step(Window(PAIRS * 2, 8, False))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert generation.slot_1.item() == 2
