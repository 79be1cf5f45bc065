import math

import pytest
import torch
from torch import Tensor, nn

from saga.losses.grpo import advantages, contributing_pairs, grpo_loss, reference_loss
from tests.losses import naive


def buffer(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Log-probs (4, 3, 6), advantages, mask and lengths of four pairs."""
    generator = torch.Generator().manual_seed(seed)
    logp = -torch.rand(4, 3, 6, generator=generator)
    rewards = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1]])
    lengths = torch.randint(1, 7, (4, 3), generator=generator)
    return logp, advantages(rewards), torch.arange(6) < lengths[..., None], lengths


# Advantages -------------------------------------------------------------------------------------


def test_five_of_eight_right_gives_the_papers_figure_with_the_sample_std():
    rewards = torch.tensor([[1.0] * 5 + [0.0] * 3])
    right, wrong = advantages(rewards)[0, [0, 7]].tolist()
    # By hand: mean 5/8, sample std sqrt(8·(5/8)(3/8)/7) = 0.517549.
    assert right == pytest.approx(0.375 / 0.517649, abs=1e-5)
    assert wrong == pytest.approx(-0.625 / 0.517649, abs=1e-5)
    assert (right, wrong) == pytest.approx((0.71, -1.22), abs=0.02)
    population = advantages(rewards, "population")[0, [0, 7]].tolist()
    assert population == pytest.approx([0.375 / 0.484223, -0.625 / 0.484223], abs=1e-5)
    assert population != pytest.approx((0.71, -1.22), abs=0.05)


def test_leave_one_out_subtracts_the_mean_of_the_others_and_does_not_divide():
    rewards = torch.tensor([[1.0, 1, 0, 0], [1, 0, 0, 0]])
    wanted = [[r - (sum(g) - r) / 3 for r in g] for g in rewards.tolist()]
    torch.testing.assert_close(advantages(rewards, "leave_one_out"), torch.tensor(wanted))


@pytest.mark.parametrize("standardise", ["sample", "population", "leave_one_out"])
def test_advantages_of_a_group_cancel_and_equal_rewards_have_none(standardise):
    # The float32 mean of eight times 0.7 is not 0.7.
    rewards = torch.tensor([[1.0, 0, 0, 1, 1, 0, 1, 1], [0] * 8, [1] * 8, [0.7] * 8])
    result = advantages(rewards, standardise)
    assert result.sum(1).abs().max() < 1e-5
    assert torch.equal(result[1:], torch.zeros(3, 8))
    assert contributing_pairs(rewards).tolist() == [True, False, False, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_advantages_are_float32_whatever_the_rewards(dtype):
    rewards = torch.tensor([[1, 0, 0, 1]]).to(dtype)
    assert advantages(rewards).dtype == torch.float32
    torch.testing.assert_close(advantages(rewards), advantages(rewards.float()))


def test_wrong_rewards_are_refused():
    with pytest.raises(ValueError, match="at least two completions"):
        advantages(torch.ones(3, 1))
    with pytest.raises(ValueError, match="at least two completions"):
        advantages(torch.ones(3))
    with pytest.raises(ValueError, match="finite"):
        advantages(torch.tensor([[1.0, float("nan")]]))
    with pytest.raises(ValueError, match="'std'"):
        advantages(torch.tensor([[1.0, 0.0]]), "std")


# Loss -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_equals_its_equation_in_loops(dtype):
    logp, advantage, inside, lengths = buffer()
    logp = logp.to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        loss, metrics = grpo_loss(logp, advantage, inside, int(lengths.sum()))
    wanted = naive.grpo(logp.double().tolist(), advantage.double().tolist(), lengths.tolist())
    assert float(loss) == pytest.approx(wanted, rel=1e-5)
    assert metrics["grpo/tokens"] == float(lengths.sum())
    mean = (advantage * lengths).sum() / lengths.sum()
    torch.testing.assert_close(metrics["grpo/advantage"], mean)


def test_gradient_of_a_log_prob_is_minus_its_advantage_over_all_tokens():
    logp, advantage, inside, lengths = buffer()
    logp.requires_grad_()
    grpo_loss(logp, advantage, inside, int(lengths.sum()))[0].backward()
    wanted = -(advantage[..., None] * inside) / lengths.sum()
    torch.testing.assert_close(logp.grad, wanted)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_accumulated_chunks_equal_one_big_batch(size):
    """Token normalisation over the buffer: short and long completions keep their weights."""
    torch.manual_seed(0)
    policy = nn.Linear(5, 9)
    states, tokens = torch.randn(4, 3, 6, 5), torch.randint(9, (4, 3, 6, 1))
    _, advantage, inside, lengths = buffer()
    count = int(lengths.sum())

    def share(pairs: Tensor) -> Tensor:
        logp = policy(states[pairs]).log_softmax(-1).gather(-1, tokens[pairs])[..., 0]
        return grpo_loss(logp, advantage[pairs], inside[pairs], count)[0]

    whole = share(torch.arange(4))
    wanted = torch.autograd.grad(whole, list(policy.parameters()))
    total = torch.zeros(())
    for pairs in torch.arange(4).split(size):
        loss = share(pairs)
        loss.backward()
        total += loss.detach()
    torch.testing.assert_close(total, whole.detach())
    for parameter, gradient in zip(policy.parameters(), wanted):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("rubbish", [float("-inf"), float("nan"), 1e30])
def test_padding_may_hold_anything(rubbish):
    logp, advantage, inside, lengths = buffer()
    count = int(lengths.sum())
    clean, _ = grpo_loss(logp, advantage, inside, count)
    dirty = logp.masked_fill(~inside, rubbish).requires_grad_()
    loss, metrics = grpo_loss(dirty, advantage, inside, count, sampled_logp_PGT=dirty.detach())
    loss.backward()
    assert torch.equal(loss, clean)
    assert dirty.grad.isfinite().all() and not dirty.grad[~inside].any()
    assert float(metrics["grpo/logp_gap_max"]) == 0


def test_tokens_that_a_grammar_forced_do_not_count():
    logp, advantage, inside, _ = buffer()
    scored = torch.zeros_like(inside)
    scored[..., ::2] = True
    count = int((inside & scored).sum())
    loss, metrics = grpo_loss(logp.requires_grad_(), advantage, inside, count, scored)
    loss.backward()
    assert not logp.grad[~(inside & scored)].any()
    assert metrics["grpo/tokens"] == count
    only, _ = grpo_loss(logp, advantage, inside & scored, count)
    assert torch.equal(only, loss)


def test_the_gap_between_sampled_and_replayed_log_probs_is_reported():
    logp, advantage, inside, lengths = buffer()
    sampled = logp.clone()
    sampled[1, 2, 0] += 0.25
    _, metrics = grpo_loss(logp, advantage, inside, int(lengths.sum()), sampled_logp_PGT=sampled)
    assert float(metrics["grpo/logp_gap_max"]) == pytest.approx(0.25)
    assert float(metrics["grpo/logp_gap"]) == pytest.approx(0.25 / float(lengths.sum()))


def test_advantages_are_constants():
    logp, advantage, inside, lengths = buffer()
    loss, _ = grpo_loss(logp, advantage.requires_grad_(), inside, int(lengths.sum()))
    assert not loss.requires_grad


def test_a_count_of_less_than_the_tokens_given_is_refused():
    logp, advantage, inside, lengths = buffer()
    with pytest.raises(ValueError, match="whole buffer"):
        grpo_loss(logp, advantage, inside, int(lengths.sum()) - 1)
    with pytest.raises(ValueError, match="whole buffer"):
        grpo_loss(logp, advantage, torch.zeros_like(inside), 0)


def test_shapes_that_do_not_fit_are_refused():
    logp, advantage, inside, _ = buffer()
    with pytest.raises(ValueError, match=r"\(P, G, T\)"):
        grpo_loss(logp, advantage[:2], inside, 100)
    with pytest.raises(ValueError, match="masks"):
        grpo_loss(logp, advantage, inside[..., :3], 100)
    with pytest.raises(ValueError, match="boolean"):
        grpo_loss(logp, advantage, inside.float(), 100)


# Reference --------------------------------------------------------------------------------------


def test_the_distance_from_a_reference_is_the_mean_over_tokens_of_grpos_estimator():
    logp, _, inside, lengths = buffer()
    reference = -torch.rand(logp.shape, generator=torch.Generator().manual_seed(7))
    ratios = [
        (reference[p, g, t] - logp[p, g, t]).exp().item()
        for p in range(4)
        for g in range(3)
        for t in range(int(lengths[p, g]))
    ]
    expected = sum(r - math.log(r) - 1 for r in ratios) / len(ratios)
    padded = [x.masked_fill(~inside, -torch.inf) for x in (logp, reference)]
    for given in ((logp, reference), padded):
        assert reference_loss(*given, inside, len(ratios)).item() == pytest.approx(expected, 1e-5)
    assert reference_loss(logp, logp, inside, len(ratios)).item() == 0


def test_the_reference_pulls_log_probabilities_towards_its_own():
    logp, _, inside, lengths = buffer()
    logp.requires_grad_(True)
    reference = logp.detach() + 0.5
    reference.requires_grad_(True)
    count = int(lengths.sum())
    reference_loss(logp, reference, inside, count).backward()
    # d/dx (e^(r−x) − (r−x) − 1) = 1 − e^(r−x)
    torch.testing.assert_close(logp.grad[inside], torch.full((count,), (1 - math.exp(0.5)) / count))
    assert not logp.grad[~inside].any() and reference.grad is None
