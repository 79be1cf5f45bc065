"""The floor of a step: the arithmetic against counted weights, closed forms and known figures."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import Qwen3VLForConditionalGeneration

from benchmarks.floor import (
    H100,
    H200,
    Device,
    Language,
    Tower,
    Work,
    device_of,
    floor_seconds,
    measured_device,
)
from benchmarks.presets import LARGE, QWEN3_VL_2B, QWEN3_VL_8B
from benchmarks.scripted import forced_lengths

IDS = {"image": 5, "video": 6, "start": 3, "stop": 4, "pad": 0, "end": 1}
ONE = Language(2, 100, 50, 8, 4, bytes_each=2)
NO_TOWER = Tower(0, 0, 0, 0, 4, 16)
MEMORY = Device("memory alone", 1000.0, 1e30)
ARITHMETIC = Device("arithmetic alone", 1e30, 1000.0)


def linear_weights(module):
    """Weights of all matrix products of a module."""
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))


@pytest.fixture(scope="module", params=[QWEN3_VL_2B, QWEN3_VL_8B], ids=["2b", "8b"])
def model(request):
    with torch.device("meta"):
        return Qwen3VLForConditionalGeneration._from_config(request.param.config(IDS))


def test_the_language_model_has_as_many_weights_as_its_class_makes(model):
    language = Language.of(model.config.text_config, bytes_each=2)
    layers = model.model.language_model.layers
    assert language.layers * language.layer_weights == linear_weights(layers)
    assert language.head_weights == model.lm_head.weight.numel()


def test_the_tower_has_as_many_weights_as_its_class_makes(model):
    tower, vision = Tower.of(model.config.vision_config), model.model.visual
    assert tower.layers * tower.layer_weights == linear_weights(vision.blocks)
    mergers = linear_weights(vision.merger) + linear_weights(vision.deepstack_merger_list)
    assert tower.merger_weights == mergers


def test_one_h200_needs_as_long_for_a_step_of_8_billion_as_was_reckoned_by_hand():
    config = QWEN3_VL_8B.config(IDS)
    lengths = forced_lengths(LARGE.pairs, LARGE.group, LARGE.completion, LARGE.max_new_tokens)
    work = Work(LARGE.prompt, lengths.tolist(), 64, LARGE.image_size)
    shapes = Language.of(config.text_config, 2), Tower.of(config.vision_config)
    found = floor_seconds(*shapes, work, H200)
    assert 4.1 <= found["total"] <= 4.6
    assert 2.5 <= found["decode"] <= 3.1
    assert found["prefill"] == pytest.approx(0.09, abs=0.005)
    assert found["replay"] == pytest.approx(1.36, abs=0.05)
    assert found["tower"] == pytest.approx(0.05, abs=0.01)
    assert found["total"] == pytest.approx(sum(v for k, v in found.items() if k != "total"))
    assert floor_seconds(*shapes, work, H100)["decode"] > found["decode"]


def test_a_lone_completion_reads_weights_prompt_and_its_own_cache_at_every_token():
    found = floor_seconds(ONE, NO_TOWER, Work(10, [[4]], 0, 32), MEMORY)
    # Three token steps behind the prefill's; 250 weights, 2·2·4 cached values a token, 2 bytes each.
    cached = sum(10 + done for done in (1, 2, 3)) * 16
    assert found["decode"] == pytest.approx((3 * 250 + cached) * 2 / 1000)


def test_a_group_reads_weights_and_prompt_once_for_all_of_its_live_rows():
    alone = floor_seconds(ONE, NO_TOWER, Work(10, [[4]], 0, 32), MEMORY)["decode"]
    group = floor_seconds(ONE, NO_TOWER, Work(10, [[4, 2]], 0, 32), MEMORY)["decode"]
    assert group - alone == pytest.approx(1 * 16 * 2 / 1000)  # the second row's one cached token
    arithmetic = floor_seconds(ONE, NO_TOWER, Work(10, [[4, 4]], 0, 32), ARITHMETIC)["decode"]
    single = floor_seconds(ONE, NO_TOWER, Work(10, [[4]], 0, 32), ARITHMETIC)["decode"]
    assert arithmetic == pytest.approx(2 * single)


def test_a_replay_is_twice_its_forward_and_counts_what_is_replayed():
    plain = replace(ONE, attention_width=0)
    work = Work(10, [[4, 4], [4, 4]], 0, 32, replayed_PG=[[4, 4]])
    found = floor_seconds(plain, NO_TOWER, work, ARITHMETIC)
    assert found["replay"] == pytest.approx(2 * 2 * (200 * (10 + 8) + 50 * 8) / 1000)
    assert found["prefill"] == pytest.approx(2 * 200 * 2 * 10 / 1000)


def test_nothing_to_roll_out_costs_nothing():
    found = floor_seconds(ONE, NO_TOWER, Work(10, [], 0, 32), MEMORY)
    assert set(found.values()) == {0.0}


def test_the_cpu_has_finite_ceilings():
    device = measured_device(repeats=1)
    assert 0 < device.bytes_per_second < 1e13 and 0 < device.flops < 1e15


def test_gpus_are_known_by_their_product_names():
    assert device_of("NVIDIA H200") is H200 and device_of("NVIDIA H100 80GB HBM3") is H100
    assert device_of("NVIDIA T4") is None
