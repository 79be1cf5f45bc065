"""The plain loop over decoder layers gives the hidden states of transformers' own forward."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModel, DynamicCache

from saga.errors import UserInputError
from saga.supervisors.backbone import Prefix
from saga.supervisors.shared_prefix import SharedPrefix, Window
from saga.supervisors.token_pass import TokenPass, rms_norm
from tests.supervisors.test_rollout import prefix_of

GROUP, STEPS, LEAVE = 3, 9, (4, 7)


def prefilled(backbone, prefix, tokens):
    """Keys and values of two prompts."""
    embeds, visual = backbone.embed_pairs(prefix, tokens.index([0, 2]), tokens.index([1, 3]))
    positions = prefix.positions_RS[:, None].expand(-1, 2, -1)
    cache = DynamicCache()
    backbone.hidden(embeds, positions, cache=cache, visual=visual)
    return cache


def expected_steps(backbone, prefix, cache, ids):
    """transformers, with a copy of the prompt for every row; the second row leaves twice."""
    cache.batch_repeat_interleave(GROUP)
    rows, found = torch.arange(len(ids)), []
    for t in range(STEPS):
        if t in LEAVE:
            kept = torch.tensor([i for i in range(len(rows)) if i != 1])
            rows = rows[kept]
            cache.batch_select_indices(kept)
        axes = prefix.positions_RS.shape[0]
        position = torch.full((axes, len(rows), 1), prefix.next_position + t)
        embeds = backbone.embed(ids[rows, t][:, None])
        found.append(backbone.hidden(embeds, position, cache=cache)[:, -1])
    return found


def found_steps(backbone, prefix, cache, ids, room_step):
    prompts = [(layer.keys, layer.values) for layer in cache.layers]
    memory = SharedPrefix(prompts, 2, GROUP, room=4)
    for i, (keys, values) in enumerate(prompts):
        memory.put(i, 0, keys, values)
    token_pass = TokenPass(backbone, prefix, STEPS)
    rows, found = torch.arange(len(ids)), []
    for t in range(STEPS):
        if t in LEAVE:
            kept = torch.tensor([i for i in range(len(rows)) if i != 1])
            memory.keep(kept, Window(len(rows), t, True), Window(len(kept), t, True))
            rows = rows[kept]
        window = Window(len(rows), -(-(t + 1) // room_step) * room_step, room_step == 1)
        memory.reserve(window.room)
        found.append(token_pass(ids[rows, t], torch.tensor([t]), memory, window))
    return found


def some_ids():
    return torch.randint(5, 40, (2 * GROUP, STEPS), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("room_step", [1, 8])
@torch.no_grad()
def test_hidden_states_are_those_of_transformers(checkpoint, image_tokens, room_step):
    backbone, prefix = checkpoint.backbone, prefix_of(checkpoint)
    cache = prefilled(backbone, prefix, image_tokens)
    found = found_steps(backbone, prefix, cache, some_ids(), room_step)
    for ours, theirs in zip(
        found, expected_steps(backbone, prefix, cache, some_ids()), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
@torch.no_grad()
def test_decoders_without_norms_of_queries_and_keys_too(kind):
    backbone, prefix, prompt = language_alone(kind)
    cache = DynamicCache()
    backbone.hidden(backbone.embed(prompt), prefix.positions_RS[:, None].expand(1, 2, -1), cache)
    found = found_steps(backbone, prefix, cache, some_ids(), 1)
    for ours, theirs in zip(
        found, expected_steps(backbone, prefix, cache, some_ids()), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def language_alone(kind, **more):
    """A tiny random language model and two prompts of six tokens."""
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 50}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.2}
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **sizes, **heads, **more)).eval()

    def hidden(embeds, positions, cache=None):
        out = model(inputs_embeds=embeds, position_ids=positions[0], past_key_values=cache)
        return out.last_hidden_state

    backbone = SimpleNamespace(language=model, embed=model.embed_tokens, hidden=hidden)
    prompt = torch.arange(12).view(2, 6)
    empty = torch.empty(0, dtype=torch.long)
    return backbone, Prefix(prompt[0], empty, empty, torch.arange(6)[None], 6), prompt


def test_other_decoders_are_refused_by_name():
    backbone, prefix, _ = language_alone("gemma2", head_dim=8)
    with pytest.raises(UserInputError, match=r"Gemma2DecoderLayer.*pre_feedforward_layernorm"):
        TokenPass(backbone, prefix, STEPS)


def test_sliding_windows_are_refused():
    backbone, prefix, _ = language_alone(
        "qwen2", use_sliding_window=True, sliding_window=4, max_window_layers=0
    )
    with pytest.raises(UserInputError, match="without a sliding window"):
        TokenPass(backbone, prefix, STEPS)


@torch.no_grad()
def test_half_precision_is_as_near_to_the_whole_as_transformers_is(checkpoint, image_tokens):
    backbone, prefix = checkpoint.backbone, prefix_of(checkpoint)
    exact = expected_steps(backbone, prefix, prefilled(backbone, prefix, image_tokens), some_ids())
    model = deepcopy(backbone.model).to(torch.bfloat16)
    half = type(backbone)(model, backbone.tokenizer)
    ours = found_steps(half, prefix, prefilled(half, prefix, image_tokens), some_ids(), 8)
    theirs = expected_steps(half, prefix, prefilled(half, prefix, image_tokens), some_ids())
    assert all(x.dtype == torch.bfloat16 for x in ours)
    assert error(ours, exact) < 1.3 * error(theirs, exact)


def error(found, exact):
    return torch.cat([(a.float() - b).flatten() for a, b in zip(found, exact)]).norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_norm_is_the_modules_own(checkpoint, dtype):
    norm = checkpoint.backbone.language.norm
    x = torch.randn(7, norm.weight.shape[0], generator=torch.Generator().manual_seed(0)).to(dtype)
    torch.testing.assert_close(rms_norm(norm, x), norm(x))
