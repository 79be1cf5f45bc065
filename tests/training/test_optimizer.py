"""Schedule, parameter groups, clipping."""

import math

import pytest
import torch
from torch import nn

from saga.training.configuration import OptimizerConfig, TrainingConfig
from saga.training.optimizer import (
    Parameters,
    add_scaled,
    build_optimizer,
    clip,
    norm,
    schedule,
    set_rates,
)


def parameters(*gradients):
    """Encoder, pooler and proxies of one value each, with these gradients."""
    made = [nn.Parameter(torch.zeros(1)) for _ in range(3)]
    for parameter, gradient in zip(made, gradients):
        parameter.grad = None if gradient is None else torch.tensor([gradient])
    return Parameters([made[0]], [made[1]], [made[2]])


def test_the_rate_rises_over_the_warmup_and_falls_as_a_cosine():
    shares = [schedule(step, 100, 0.05) for step in range(100)]
    for step in range(5):
        assert shares[step] == pytest.approx(
            (step + 1) / 5 * (1 + math.cos(math.pi * step / 100)) / 2
        )
    assert shares[4] == max(shares) > 0.99
    assert shares[5:] == sorted(shares[5:], reverse=True)
    assert shares[50] == pytest.approx(0.5) and 0 < shares[99] < 1e-3


@pytest.mark.parametrize("steps, fraction", [(1, 0.05), (3, 0.05), (10, 0.0)])
def test_a_run_too_short_for_a_warmup_starts_at_the_peak(steps, fraction):
    assert schedule(0, steps, fraction) == 1


def test_encoder_pooler_and_proxies_have_rates_and_decay_of_their_own():
    config = OptimizerConfig(1e-5, 1e-4, proxy_lr_multiplier=50, weight_decay=0.1)
    made = parameters()
    optimizer = build_optimizer(made, config)
    groups = {id(g["params"][0]): g for g in optimizer.param_groups}
    for params, rate, decay in (
        (made.encoder, 1e-5, 0.1),
        (made.pooler, 1e-4, 0.1),
        (made.proxies, 5e-3, 0.0),
    ):
        group = groups[id(params[0])]
        assert group["lr"] == pytest.approx(rate) and group["weight_decay"] == decay
    set_rates(optimizer, 0.25)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([2.5e-6, 2.5e-5, 1.25e-3])
    set_rates(optimizer, 1.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-5)


def test_an_empty_group_is_left_out():
    made = Parameters([], [nn.Parameter(torch.zeros(2))], [])
    assert len(build_optimizer(made, OptimizerConfig()).param_groups) == 1
    assert made.groups() == [made.pooler] and made.head == made.all == made.pooler


def test_one_norm_over_everything_is_clipped_as_in_the_paper():
    made = parameters(3.0, 4.0, 12.0)
    assert clip(made, OptimizerConfig(clip_norm=1.0)) == pytest.approx(13.0)
    assert [p.grad.item() for p in made.all] == pytest.approx([3 / 13, 4 / 13, 12 / 13], rel=1e-5)


def test_groups_are_clipped_each_by_its_own_norm():
    made = parameters(3.0, 0.5, 12.0)
    config = OptimizerConfig(clip_norm=1.0, clip_scope="groups")
    assert clip(made, config) == pytest.approx(math.sqrt(9 + 0.25 + 144))
    assert [p.grad.item() for p in made.all] == pytest.approx([1.0, 0.5, 1.0], rel=1e-5)


@pytest.mark.parametrize("scope", ["global", "groups"])
def test_small_gradients_and_missing_ones_are_left_alone(scope):
    made = parameters(0.1, None, 0.2)
    before = clip(made, OptimizerConfig(clip_norm=1.0, clip_scope=scope))
    assert before == pytest.approx(math.hypot(0.1, 0.2))
    assert made.encoder[0].grad.item() == pytest.approx(0.1)
    assert made.pooler[0].grad is None
    assert clip(parameters(), OptimizerConfig(clip_scope=scope)) == 0


def test_scaled_gradients_add_up_and_a_weight_of_zero_adds_nothing():
    made = parameters(1.0)
    add_scaled(made.all, [torch.tensor([2.0]), torch.tensor([3.0]), None], 0.5)
    assert [None if p.grad is None else p.grad.item() for p in made.all] == [2.0, 1.5, None]
    add_scaled(made.all, [torch.tensor([math.nan])] * 3, 0.0)
    assert made.encoder[0].grad.item() == 2.0 and made.proxies[0].grad is None
    with pytest.raises(ValueError):
        add_scaled(made.all, [None], 1.0)


def test_the_norm_skips_what_is_missing():
    assert norm([torch.tensor([3.0]), None, torch.tensor([[4.0]])]) == pytest.approx(5.0)
    assert norm([None]) == norm([]) == 0


@pytest.mark.parametrize(
    "values, message",
    [
        ({"encoder_lr": -1e-5}, "encoder_lr must be at least 0"),
        ({"pooler_lr": math.nan}, "pooler_lr must be at least 0"),
        ({"warmup_fraction": 1.0}, r"in \[0, 1\)"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0"),
    ],
)
def test_impossible_settings_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        OptimizerConfig(**values)


@pytest.mark.parametrize("beta", [-0.1, math.nan])
def test_the_policy_cannot_be_pushed_away_from_its_reference(beta):
    with pytest.raises(ValueError, match="reference_beta must be at least 0"):
        TrainingConfig(steps=1, reference_beta=beta)
