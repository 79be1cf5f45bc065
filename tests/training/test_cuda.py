"""On a GPU: the same figures as on the CPU, exact resume, and an encoder that moves between both."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from saga.encoders.retriever import Retriever
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
