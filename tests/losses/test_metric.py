import sys

import pytest
import torch
from torch import Tensor, nn

from saga.errors import UserInputError
from saga.losses.configuration import MetricLossConfig
from saga.losses.metric import build_metric_loss
from tests.losses import naive

NAMES = ("infonce", "multi_similarity", "proxy_anchor", "potential_field")
CLASSES, WIDTH = 5, 7
CONFIG = MetricLossConfig()


def batch(seed: int = 0, noise: float = 0.6) -> tuple[Tensor, Tensor]:
    """Unit vectors (12, 7) around four of five classes, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 4, 4, 4])
    centres = torch.randn(CLASSES, WIDTH, generator=generator)
    z = centres[labels] + noise * torch.randn(len(labels), WIDTH, generator=generator)
    return nn.functional.normalize(z, dim=-1), labels


def build(name: str, seed: int = 3, **changes: object):
    return build_metric_loss(MetricLossConfig(name=name, **changes), CLASSES, WIDTH, seed)


def expected(name: str, z: Tensor, labels: Tensor, loss: nn.Module) -> float:
    vectors, y = z.double().tolist(), labels.tolist()
    proxies = [p.detach().double().tolist() for p in loss.proxy_parameters()]
    match name:
        case "infonce":
            return naive.infonce(vectors, y, 0.07)
        case "multi_similarity":
            return naive.multi_similarity(vectors, y, 2, 50, 0.5, 0.1)
        case "proxy_anchor":
            return naive.proxy_anchor(vectors, y, proxies[0], 32, 0.1)
        case _:
            return naive.potential_field(vectors, y, proxies[0], 3.0, 0.2, 0.01)


@pytest.mark.parametrize("noise", [0.1, 0.6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_loss_equals_its_equation_in_loops(name, dtype, noise):
    loss = build(name)
    z, labels = batch(noise=noise)
    z = z.to(dtype)
    value, metrics = loss(z, labels)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(expected(name, z, labels, loss), rel=1e-4, abs=1e-6)
    assert float(metrics["metric/loss"]) == float(value)


@pytest.mark.parametrize("name", NAMES)
def test_autocast_changes_nothing(name):
    loss = build(name)
    z, labels = batch()
    plain, _ = loss(z, labels)
    with torch.autocast("cpu", torch.bfloat16):
        under, _ = loss(z, labels)
        assert torch.equal(under, plain)
        rounded, _ = loss(z.bfloat16(), labels)
    assert torch.equal(rounded, loss(z.bfloat16(), labels)[0])


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_finite_differences(name):
    loss = build(name).double()
    z, labels = batch()
    z = z.double().requires_grad_()
    # Multi-Similarity's miner and the field's branches are steps; nothing here lies on one.
    assert torch.autograd.gradcheck(lambda x: loss(x, labels)[0], (z,), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_embeddings_and_every_proxy(name):
    loss = build(name)
    # Classes overlap, or Multi-Similarity's miner would leave easy images out.
    z, labels = batch(noise=2.0)
    z.requires_grad_()
    loss(z, labels)[0].backward()
    assert z.grad is not None and z.grad.norm(dim=-1).min() > 0
    for proxy in loss.proxy_parameters():
        assert (proxy.grad.flatten(0, -2).norm(dim=-1) > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_metrics_carry_no_gradient(name):
    z, labels = batch()
    metrics = build(name)(z.requires_grad_(), labels)[1]
    assert all(isinstance(v, float) or not v.requires_grad for v in metrics.values())


@pytest.mark.parametrize("name", NAMES)
def test_embeddings_from_micro_batches_give_the_gradient_of_one_forward(name):
    """GradCache: the loss sees the whole batch, the encoder one micro-batch at a time."""
    torch.manual_seed(0)
    encoder, loss, labels = nn.Linear(9, WIDTH), build(name), batch()[1]
    images = torch.randn(len(labels), 9)
    unit = nn.functional.normalize
    whole = torch.autograd.grad(
        loss(unit(encoder(images), dim=-1), labels)[0], list(encoder.parameters())
    )
    with torch.no_grad():
        leaf = torch.cat([unit(encoder(part), dim=-1) for part in images.split(5)])
    loss(leaf.requires_grad_(), labels)[0].backward()
    for part, gradient in zip(images.split(5), leaf.grad.split(5)):
        unit(encoder(part), dim=-1).backward(gradient)
    for parameter, wanted in zip(encoder.parameters(), whole):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_bring_classes_together(name):
    torch.manual_seed(0)
    loss, (z, labels) = build(name), batch(noise=1.0)
    z = nn.Parameter(z)
    optimizer = torch.optim.Adam([z, *loss.proxy_parameters()], lr=0.03)

    def gap() -> float:
        v = nn.functional.normalize(z.detach(), dim=-1)
        same = labels[:, None] == labels
        off = ~torch.eye(len(v), dtype=torch.bool)
        return float((v @ v.T)[same & off].mean() - (v @ v.T)[~same].mean())

    before = gap()
    for _ in range(40):
        optimizer.zero_grad()
        loss(nn.functional.normalize(z, dim=-1), labels)[0].backward()
        optimizer.step()
    assert gap() > before + 0.1


@pytest.mark.parametrize("name", ["proxy_anchor", "potential_field"])
def test_proxies_depend_on_the_seed_alone(name):
    state = torch.get_rng_state()
    first, again, other = build(name, 1), build(name, 1), build(name, 2)
    assert torch.equal(torch.get_rng_state(), state)
    (a,), (b,), (c,) = (loss.proxy_parameters() for loss in (first, again, other))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_number_of_proxies():
    assert [sum(p.numel() for p in build(n).proxy_parameters()) for n in NAMES] == [
        0,
        0,
        CLASSES * WIDTH,
        CLASSES * 15 * WIDTH,
    ]


@pytest.mark.parametrize("name", ["proxy_anchor", "potential_field"])
def test_proxies_stay_float32_whatever_the_embeddings(name):
    loss, (z, labels) = build(name), batch()
    with torch.autocast("cpu", torch.bfloat16):
        loss(z.bfloat16(), labels)
    assert all(p.dtype == torch.float32 for p in loss.proxy_parameters())


def test_a_miner_that_keeps_nothing_gives_a_loss_of_zero_that_can_be_differentiated():
    z = nn.functional.one_hot(torch.tensor([0, 0, 1, 1]), WIDTH).float().requires_grad_()
    value, metrics = build("multi_similarity")(z, torch.tensor([0, 0, 1, 1]))
    value.backward()
    assert float(value) == 0 and float(z.grad.abs().sum()) == 0
    assert metrics["metric/mined_positives"] == metrics["metric/mined_negatives"] == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 3], "two images of one class"),
        ([1, 1, 1, 1], "two classes"),
        ([0, 0, 1, CLASSES], r"in \[0, 5\), got 0 to 5"),
        ([-1, 0, 0, 1], "got -1 to 1"),
        ([0, 0, 1], "shape"),
    ],
)
def test_a_batch_the_loss_would_misread_is_refused(name, labels, message):
    with pytest.raises(ValueError, match=message):
        build(name)(batch()[0][:4], torch.tensor(labels))


def test_labels_and_embeddings_of_a_wrong_kind_are_refused():
    z, labels = batch()
    with pytest.raises(ValueError, match="int64"):
        build("infonce")(z, labels.float())
    with pytest.raises(ValueError, match=r"\(B, 7\)"):
        build("infonce")(z[:, :3], labels)
    with pytest.raises(ValueError, match="two images"):
        build("infonce")(z[:0], labels[:0])


@pytest.mark.parametrize(("classes", "width"), [(1, 4), (3, 0)])
def test_too_few_classes_or_dimensions_are_refused(classes, width):
    with pytest.raises(ValueError, match="at least 2 classes"):
        build_metric_loss(CONFIG, classes, width, 0)


@pytest.mark.parametrize("name", NAMES[:3])
def test_a_missing_package_is_named(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning.losses", None)
    with pytest.raises(UserInputError, match="pip install pytorch-metric-learning"):
        build(name)


def test_potential_field_needs_no_further_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    assert build("potential_field").proxy_parameters()


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "triplet"},
        {"temperature": 0.0},
        {"ms_alpha": -1.0},
        {"ms_beta": float("nan")},
        {"pa_alpha": 0.0},
        {"pa_margin": -0.1},
        {"pf_proxies": 0},
        {"pf_alpha": 0.0},
        {"pf_delta": 2.0},
        {"pf_min_distance": 0.3},
    ],
)
def test_impossible_settings_are_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        MetricLossConfig(**wrong)
