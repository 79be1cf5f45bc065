import math

import pytest
import torch
from torch import Tensor, nn

from saga.losses.alignment import alignment_loss, check_simplex
from tests.losses import naive


def weights(R: int = 4, Q: int = 3, N: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A teacher (R, Q, N) and logits of a pooler."""
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(R, Q, N, generator=generator).mul(2).softmax(-1)
    return teacher, torch.randn(R, Q, N, generator=generator)


def in_loops(teacher: Tensor, log_weights: Tensor) -> float:
    rows = zip(
        teacher.double().flatten(0, 1).tolist(), log_weights.double().exp().flatten(0, 1).tolist()
    )
    return sum(naive.kl(a, b) for a, b in rows)


@pytest.mark.parametrize("Q", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_equals_its_equation_in_loops(Q, dtype):
    teacher, logits = weights(Q=Q)
    teacher, log_weights = teacher.to(dtype), logits.log_softmax(-1).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        loss, metrics = alignment_loss(teacher, log_weights, count=4 * Q)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(in_loops(teacher, log_weights) / (4 * Q), rel=1e-5)
    torch.testing.assert_close(metrics["alignment/kl"], loss)
    assert metrics["alignment/rows"] == 4 * Q


def test_gradient_in_the_logits_is_pooler_minus_teacher():
    teacher, logits = weights()
    logits.requires_grad_()
    alignment_loss(teacher, logits.log_softmax(-1), count=12)[0].backward()
    torch.testing.assert_close(logits.grad, (logits.detach().softmax(-1) - teacher) / 12)


def test_gradient_is_that_of_finite_differences():
    teacher, logits = weights()
    assert torch.autograd.gradcheck(
        lambda x: alignment_loss(teacher.double(), x.log_softmax(-1), 12)[0],
        (logits.double().requires_grad_(),),
    )


@pytest.mark.parametrize("size", [1, 3])
def test_accumulated_chunks_equal_one_big_batch(size):
    teacher, logits = weights()
    whole = logits.clone().requires_grad_()
    loss, _ = alignment_loss(teacher, whole.log_softmax(-1), 12)
    loss.backward()
    parts, total = logits.clone().requires_grad_(), 0.0
    for rows in torch.arange(4).split(size):
        share, _ = alignment_loss(teacher[rows], parts[rows].log_softmax(-1), 12)
        share.backward()
        total += float(share.detach())
    assert total == pytest.approx(float(loss.detach()))
    torch.testing.assert_close(parts.grad, whole.grad)


def test_gradient_reaches_the_pooler_and_not_the_detached_tokens():
    torch.manual_seed(0)
    tokens = torch.randn(4, 6, 5, requires_grad=True)
    query = nn.Parameter(torch.randn(3, 5))
    log_weights = (query @ tokens.detach().transpose(1, 2)).log_softmax(-1)
    alignment_loss(weights()[0], log_weights, 12)[0].backward()
    assert tokens.grad is None and query.grad.norm(dim=-1).min() > 0


def test_equal_distributions_have_no_loss_and_no_gradient():
    teacher, _ = weights()
    log_weights = teacher.log().requires_grad_()
    loss, metrics = alignment_loss(teacher, log_weights, 12)
    assert abs(float(loss.detach())) < 1e-6
    torch.testing.assert_close(
        metrics["alignment/pooler_entropy"], metrics["alignment/teacher_entropy"]
    )


def test_uniform_weights_have_the_entropy_of_the_number_of_patches():
    uniform = torch.full((2, 1, 36), 1 / 36)
    _, metrics = alignment_loss(uniform, uniform.log(), 2)
    assert float(metrics["alignment/teacher_entropy"]) == pytest.approx(math.log(36), rel=1e-5)
    assert float(metrics["alignment/pooler_entropy"]) == pytest.approx(math.log(36), rel=1e-5)


def test_a_teacher_of_zeros_and_ones_meets_a_pooler_of_minus_infinity():
    teacher = torch.tensor([[[1.0, 0, 0]]])
    log_weights = torch.tensor([[[math.log(0.5), math.log(0.5), -math.inf]]], requires_grad=True)
    loss, metrics = alignment_loss(teacher, log_weights, 1)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(2))
    assert log_weights.grad.tolist() == [[[-1.0, 0.0, 0.0]]]
    assert all(math.isfinite(v) for v in metrics.values())


def test_a_weight_too_small_for_float32_still_has_a_gradient():
    """The reason for log space: exp(-200) is 0 in float32."""
    teacher = torch.tensor([[[0.5, 0.5]]])
    logits = torch.tensor([[[0.0, -200.0]]], requires_grad=True)
    loss, _ = alignment_loss(teacher, logits.log_softmax(-1), 1)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(100 - math.log(2), rel=1e-5)
    torch.testing.assert_close(logits.grad, torch.tensor([[[0.5, -0.5]]]))


@pytest.mark.parametrize(
    ("which", "damage"),
    [
        ("teacher", "sum"),
        ("teacher", "negative"),
        ("teacher", "nan"),
        ("pooler", "sum"),
        ("pooler", "nan"),
    ],
)
def test_rows_that_are_no_distribution_are_refused(which, damage):
    good, _ = weights()
    bad = good.clone()
    if damage == "sum":
        bad[2, 1] *= 1.01
    elif damage == "nan":
        bad[2, 1, 0] = math.nan
    else:
        bad[2, 1, 0] -= 2
        bad[2, 1, 1] += 2
    teacher, student = (bad, good) if which == "teacher" else (good, bad)
    with pytest.raises(ValueError, match=which):
        alignment_loss(teacher, student.log(), 12)


def test_half_precision_is_allowed_its_rounding():
    check_simplex("teacher", weights(N=196)[0].bfloat16())
    with pytest.raises(ValueError, match="teacher"):
        check_simplex("teacher", weights()[0].bfloat16() * 1.1)


def test_a_teacher_with_a_gradient_is_refused():
    teacher, logits = weights()
    with pytest.raises(ValueError, match="detached"):
        alignment_loss(teacher.requires_grad_(), logits.log_softmax(-1), 12)


def test_shapes_and_counts_that_do_not_fit_are_refused():
    teacher, logits = weights()
    with pytest.raises(ValueError, match=r"\(R, Q, N\)"):
        alignment_loss(teacher, logits[:, :1].log_softmax(-1), 12)
    with pytest.raises(ValueError, match=r"\(R, Q, N\)"):
        alignment_loss(teacher[0], logits[0].log_softmax(-1), 12)
    with pytest.raises(ValueError, match="at least the 12"):
        alignment_loss(teacher, logits.log_softmax(-1), 11)
    with pytest.raises(ValueError, match="at least one"):
        alignment_loss(teacher[:0], logits[:0].log_softmax(-1), 12)
