"""Poolers against their formulas, written out one image at a time."""

import math

import pytest
import torch

from saga.encoders.configuration import PoolerConfig
from saga.encoders.poolers import build_pooler

B, N, D = 3, 5, 8
WIDTHS = [None, 2, 8, 20]
KINDS = ["mean", "max", "attention"]


def tokens(seed=0, scale=2.0):
    return scale * torch.randn(B, N, D, generator=torch.Generator().manual_seed(seed))


def trained(kind, embedding_dim=None, **settings):
    """A pooler whose weights are no longer those it starts with."""
    pooler = build_pooler(PoolerConfig(kind, embedding_dim, **settings), D)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in pooler.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return pooler


def naive_attention(pooler, X_ND, normalize_keys):
    """β and z of one image: softmax(q W_k Xᵀ / √D), normalise(W_o (β X)), number by number."""
    q, W_k, W_o = (p.tolist() for p in (pooler.query_QD[0], pooler.key_DD, pooler.output_ED))
    rows = X_ND.tolist()
    scores = []
    for x in rows:
        if normalize_keys:
            mean = sum(x) / D
            deviation = math.sqrt(sum((v - mean) ** 2 for v in x) / D + 1e-5)
            x = [(v - mean) / deviation for v in x]
        scores.append(sum(q[i] * W_k[i][j] * x[j] for i in range(D) for j in range(D)))
    shares = [math.exp(s / math.sqrt(D)) for s in scores]
    beta = [share / sum(shares) for share in shares]
    pooled = [sum(b * x[j] for b, x in zip(beta, rows)) for j in range(D)]
    out = [sum(row[j] * pooled[j] for j in range(D)) for row in W_o]
    length = math.sqrt(sum(v * v for v in out))
    return beta, [v / length for v in out]


@pytest.mark.parametrize("normalize_keys", [False, True])
@pytest.mark.parametrize("embedding_dim", WIDTHS)
def test_the_attention_pooler_is_its_formula(embedding_dim, normalize_keys):
    pooler = trained("attention", embedding_dim, normalize_keys=normalize_keys)
    X = tokens()
    pooled = pooler(X)
    assert pooled.embedding_BE.shape == (B, embedding_dim or D)
    for i in range(B):
        beta, z = naive_attention(pooler, X[i], normalize_keys)
        assert max(beta) > 2 / N, "far from uniform, or the test shows nothing"
        torch.testing.assert_close(pooled.log_weights_BQN[i, 0].exp(), torch.tensor(beta))
        torch.testing.assert_close(pooled.embedding_BE[i], torch.tensor(z), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("embedding_dim", WIDTHS)
@pytest.mark.parametrize("kind", ["mean", "max"])
def test_mean_and_max_pool_channel_by_channel(kind, embedding_dim):
    pooler = trained(kind, embedding_dim)
    X = tokens()
    pool = (lambda v: sum(v) / len(v)) if kind == "mean" else max
    pooled = torch.tensor([[pool(X[i, :, d].tolist()) for d in range(D)] for i in range(B)])
    if embedding_dim not in (None, D):
        pooled = pooled @ pooler.project.weight.T
    expected = pooled / pooled.pow(2).sum(1, keepdim=True).sqrt()
    found = pooler(X)
    torch.testing.assert_close(found.embedding_BE, expected)
    assert found.log_weights_BQN is None


@pytest.mark.parametrize("embedding_dim", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_have_unit_length_in_float32_and_ignore_the_tokens_order(kind, embedding_dim):
    pooler = trained(kind, embedding_dim)
    X = tokens()
    z = pooler(X).embedding_BE
    assert z.dtype == torch.float32 and z.shape == (B, pooler.embedding_dim)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(B))
    torch.testing.assert_close(pooler(X[:, [3, 1, 4, 0, 2]]).embedding_BE, z)


@pytest.mark.parametrize("embedding_dim", WIDTHS)
def test_an_untrained_attention_pooler_is_mean_pooling(embedding_dim):
    attention = build_pooler(PoolerConfig("attention", embedding_dim, seed=4), D)
    mean = build_pooler(PoolerConfig("mean", embedding_dim, seed=4), D)
    pooled = attention(tokens())
    torch.testing.assert_close(pooled.log_weights_BQN.exp(), torch.full((B, 1, N), 1 / N))
    if embedding_dim in (None, D):
        torch.testing.assert_close(pooled.embedding_BE, mean(tokens()).embedding_BE)
    else:
        means = tokens().mean(1) @ attention.output_ED.T
        torch.testing.assert_close(pooled.embedding_BE, means / means.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("embedding_dim", [2, 8, 20])
def test_the_first_projection_keeps_lengths_where_it_can(embedding_dim):
    W = build_pooler(PoolerConfig("attention", embedding_dim, seed=1), D).output_ED
    gram = W @ W.T if embedding_dim < D else W.T @ W
    torch.testing.assert_close(gram, torch.eye(min(embedding_dim, D)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_first_weights_follow_the_seed_and_leave_the_global_generator_alone(kind):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    a, b, other = (build_pooler(PoolerConfig(kind, 5, seed=s), D) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name])
    assert not torch.equal(a(tokens()).embedding_BE, other(tokens()).embedding_BE)


def test_the_key_moves_only_once_the_query_has():
    pooler = build_pooler(PoolerConfig("attention"), D)
    pooler(tokens()).embedding_BE[:, 0].sum().backward()
    assert pooler.query_QD.grad.any() and not pooler.key_DD.grad.any()
    moved = trained("attention")
    moved(tokens()).embedding_BE[:, 0].sum().backward()
    assert moved.key_DD.grad.any()


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_does_not_lower_the_precision(kind):
    pooler = trained(kind, 6)
    with torch.autocast("cpu", torch.bfloat16):
        lowered = pooler(tokens()).embedding_BE
    assert torch.equal(lowered, pooler(tokens()).embedding_BE)


def test_log_weights_stay_finite_where_a_weight_underflows():
    pooler = trained("attention")
    pooled = pooler(tokens(scale=300.0))
    assert (pooled.log_weights_BQN.exp() == 0).any()
    assert pooled.log_weights_BQN.isfinite().all() and pooled.embedding_BE.isfinite().all()


@pytest.mark.parametrize("embedding_dim", [1, 0, -3])
def test_a_width_below_two_is_refused(embedding_dim):
    with pytest.raises(ValueError, match=f"at least 2, got {embedding_dim}"):
        PoolerConfig(embedding_dim=embedding_dim)


# The attribute pooler -----------------------------------------------------------------------------

NAMES = ("bill", "wing", "tail")


def naive_attribute(pooler, X_ND):
    """Each query by itself as an attention pooler of one query, then put together."""
    parts = []
    for q, W_o in zip(pooler.query_QD, pooler.output_QED):
        scores = torch.stack([q @ pooler.key_DD @ x for x in X_ND]) / math.sqrt(D)
        part = W_o @ sum(b * x for b, x in zip(scores.softmax(0), X_ND))
        parts.append(part / part.norm())
    whole = sum(parts) if pooler.config.combine == "sum" else torch.cat(parts)
    return whole / whole.norm()


@pytest.mark.parametrize("combine, embedding_dim", [("concatenate", 12), ("sum", 8), ("sum", 5)])
def test_the_attribute_pooler_is_its_formula(combine, embedding_dim):
    pooler = trained("attribute", embedding_dim, queries=NAMES, combine=combine)
    X = tokens()
    pooled = pooler(X)
    assert pooled.embedding_BE.shape == (B, embedding_dim)
    assert pooled.log_weights_BQN.shape == (B, 3, N)
    torch.testing.assert_close(pooled.log_weights_BQN.exp().sum(-1), torch.ones(B, 3))
    for i in range(B):
        torch.testing.assert_close(
            pooled.embedding_BE[i], naive_attribute(pooler, X[i]), atol=1e-5, rtol=1e-4
        )


def test_attribute_queries_start_near_even_and_apart():
    weights = build_pooler(PoolerConfig("attribute", queries=NAMES), D)(
        torch.nn.functional.layer_norm(tokens(), (D,))
    ).log_weights_BQN.exp()
    assert weights.max() < 2 / N and weights.min() > 0.5 / N
    assert (weights[:, 0] - weights[:, 1]).abs().max() > 1e-3


def test_without_a_width_the_attribute_pooler_takes_the_largest_multiple_of_its_queries():
    assert build_pooler(PoolerConfig("attribute", queries=NAMES), D).embedding_dim == 6
    assert (
        build_pooler(PoolerConfig("attribute", queries=NAMES, combine="sum"), D).embedding_dim == D
    )


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"embedding_dim": 7}, "multiple of the 3 queries .* nearest: 6"),
        ({"queries": ("bill", "bill")}, "each name must be given once"),
        ({"kind": "attention"}, "queries belong to the attribute pooler"),
    ],
)
def test_queries_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PoolerConfig(**({"kind": "attribute", "queries": NAMES} | settings))


def test_an_attribute_pooler_without_names_cannot_be_built():
    with pytest.raises(ValueError, match="needs the names of its queries"):
        build_pooler(PoolerConfig("attribute"), D)
