import pytest
import torch
from torch import Tensor

import saga.losses.potential_field as module
from saga.losses.configuration import MetricLossConfig
from saga.losses.metric import build_metric_loss
from tests.losses import naive
from tests.losses.test_metric import batch


def field(
    alpha: float = 3.0, delta: float = 0.2, classes: int = 5, width: int = 7, proxies: int = 3
):
    config = MetricLossConfig(pf_alpha=alpha, pf_delta=delta, pf_proxies=proxies)
    return build_metric_loss(config, classes, width, seed=0)


def on_circle(*angles: float) -> Tensor:
    angle = torch.tensor(angles)
    return torch.stack([angle.cos(), angle.sin()], 1)


@pytest.mark.parametrize("alpha", [3.0, 4.0, 6.0])
@pytest.mark.parametrize("delta", [0.1, 0.35, 0.9])
def test_energy_equals_the_two_branches_in_loops(alpha, delta):
    loss, (z, labels) = field(alpha, delta), batch(noise=0.15)
    proxies = loss.proxies_CME.detach().double().tolist()
    wanted = naive.potential_field(
        z.double().tolist(), labels.tolist(), proxies, alpha, delta, 0.01
    )
    assert float(loss(z, labels)[0]) == pytest.approx(wanted, rel=1e-4)


def test_many_blocks_equal_one(monkeypatch):
    loss, (z, labels) = field(), batch(noise=0.1)
    results = []
    for rows in (2048, 4):
        monkeypatch.setattr(module, "BLOCK_ROWS", rows)
        leaf = z.clone().requires_grad_()
        value, metrics = loss(leaf, labels)
        gradients = torch.autograd.grad(value, [leaf, loss.proxies_CME])
        results.append((value, *gradients, metrics["potential_field/same_inside"]))
    for one, many in zip(*results):
        torch.testing.assert_close(many, one)


def test_within_delta_own_class_no_longer_attracts_and_others_repel():
    loss = field(width=2, delta=0.5, proxies=1)
    with torch.no_grad():  # proxies far from all points: their forces there are small
        loss.proxies_CME.copy_(on_circle(3.0, 3.1, 3.2, 3.3, 3.4)[:, None])
    labels = torch.tensor([0, 0, 1])
    z = on_circle(0.0, 0.1, 0.3).requires_grad_()
    loss(z, labels)[0].backward()
    # Image 2 is pushed away from 0 and 1, along the circle to larger angles.
    angle = 0.3
    along = torch.tensor([-torch.tensor(angle).sin(), torch.tensor(angle).cos()])
    assert float(-z.grad[2] @ along) > 0
    # Images 0 and 1 are within δ: without image 2's class the pair has no force at all.
    calm = on_circle(0.0, 0.1, 3.14).requires_grad_()
    loss(calm, labels)[0].backward()
    assert float(calm.grad[:2].norm()) < 0.02 * float(z.grad[:2].norm())


def test_force_falls_with_distance():
    loss = field(width=2, proxies=1)
    forces = []
    for other in (0.3, 0.6, 1.2):
        z = on_circle(0.0, other, 2.0).requires_grad_()
        with torch.no_grad():
            loss.proxies_CME.copy_(on_circle(4.0, 4.1, 4.2, 4.3, 4.4)[:, None])
        loss(z, torch.tensor([0, 0, 1]))[0].backward()
        forces.append(float(z.grad[1].norm()))
    assert forces[0] > forces[1] > forces[2]


def test_slope_at_delta_is_alpha_over_delta_after_scaling():
    """METHOD section 3: raw about 12,500 at d = δ = 0.2, α = 4; times δ^α it is 20."""
    loss = field(alpha=4.0, delta=0.2, width=2)
    distance = torch.tensor(0.2 - 1e-4, dtype=torch.float64)
    angle = (2 * torch.asin(distance / 2)).requires_grad_()
    one = torch.zeros((), dtype=torch.float64)
    points = torch.stack([torch.stack([one + 1, one]), torch.stack([angle.cos(), angle.sin()])])
    energy, _ = loss._energy(points, torch.tensor([0, 1]))
    (slope,) = torch.autograd.grad(energy, angle)
    assert float(slope) == pytest.approx(-20, rel=5e-3)
    assert float(slope) * 0.2**-4 == pytest.approx(-12_500, rel=5e-3)


def test_identical_images_of_different_classes_give_finite_energy_and_gradient():
    loss = field()
    z = batch()[0][:1].repeat(4, 1).requires_grad_()
    value, _ = loss(z, torch.tensor([0, 0, 1, 1]))
    value.backward()
    assert value.isfinite() and z.grad.isfinite().all() and loss.proxies_CME.grad.isfinite().all()


def test_length_of_a_proxy_is_irrelevant():
    loss, (z, labels) = field(), batch()
    before, _ = loss(z, labels)
    with torch.no_grad():
        loss.proxies_CME.mul_(7.0)
    torch.testing.assert_close(loss(z, labels)[0], before)


def test_shares_inside_delta_are_counted():
    loss = field(width=2, delta=0.5, proxies=1)
    with torch.no_grad():
        loss.proxies_CME.copy_(on_circle(3.0, 3.9, 4.8, 2.1, 1.2)[:, None])
    _, metrics = loss(on_circle(0.0, 0.1, 0.3), torch.tensor([0, 0, 1]))
    # Same-class pairs: images 0-1, each with its proxy: 2 of 8 ordered ones lie inside.
    assert float(metrics["potential_field/same_inside"]) == pytest.approx(2 / 8)
    # Different classes: 8·7 − 8 ordered pairs, of which 0-2 and 1-2 lie inside.
    assert float(metrics["potential_field/other_inside"]) == pytest.approx(4 / 48)
