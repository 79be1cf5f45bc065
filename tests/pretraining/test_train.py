"""Pretraining on two groups of four birds, a few steps: what it computes, not how it learns."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from saga.data.synthetic.attributes import ATTRIBUTES, values_of
from saga.encoders.towers.qwen3_vl import Qwen3VLTower
from saga.supervisors.pretraining.card import model_card
from saga.supervisors.pretraining.configuration import PretrainingConfig, Stage
from saga.supervisors.pretraining.model import build_model, preprocessor_config
from saga.supervisors.pretraining.pool import render_pool
from saga.supervisors.pretraining.tokenizer import answer_text, build_tokenizer
from saga.supervisors.pretraining.train import (
    GENERIC_PROMPT,
    ITEM,
    PROMPT,
    VERDICT_KEY,
    Pretrainer,
    build_supervisor,
)
from saga.supervisors.source import EMBEDDED

STAGE = Stage(32, steps=3, learning_rate=1e-2, groups=2, probe_weight=0.5, probe_decays=True)
TINY = PretrainingConfig(stages=(STAGE,), groups_per_step=2, held_out_groups=2, workers=1)


@pytest.fixture(scope="module")
def pool():
    return render_pool(2, 32, 0.7, [0], workers=1)


@pytest.fixture
def pretrainer() -> Pretrainer:
    return Pretrainer(TINY)


def weights(pretrainer: Pretrainer) -> dict[str, torch.Tensor]:
    named = [*pretrainer.model.named_parameters(), *pretrainer.probe.named_parameters("probe")]
    return {name: parameter.detach().clone() for name, parameter in named}


def test_every_parameter_learns(pretrainer):
    before = weights(pretrainer)
    pretrainer.run()
    after = weights(pretrainer)
    assert [name for name in before if torch.equal(before[name], after[name])] == []


@pytest.mark.parametrize(("depth", "to_the_language_model"), [(2, [0]), (4, [1]), (8, [3])])
def test_a_deeper_tower_has_more_layers_and_its_middle_goes_to_the_language_model(
    depth, to_the_language_model
):
    made = Pretrainer(replace(TINY, tower_depth=depth))
    vision = made.model.config.vision_config
    assert len(made.model.model.visual.blocks) == vision.depth == depth
    assert vision.deepstack_visual_indexes == to_the_language_model
    made.run()


def test_equal_seeds_give_equal_weights_and_others_do_not():
    ends = []
    for seed in (0, 0, 1):
        torch.rand(seed + 1)  # what was drawn before does not matter
        pretrainer = Pretrainer(replace(TINY, seed=seed))
        pretrainer.run()
        ends.append(weights(pretrainer))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert not all(torch.equal(ends[0][name], ends[2][name]) for name in ends[0])


def test_stages_follow_each_other_and_progress_counts_all_of_their_steps():
    second = replace(STAGE, image_size=48, steps=2)
    seen = []
    pretrainer = Pretrainer(replace(TINY, stages=(STAGE, second)))
    held_out = pretrainer.run(lambda done, total, losses: seen.append((done, total, losses)))
    assert [(done, total) for done, total, _ in seen] == [(i, 5) for i in range(1, 6)]
    assert all(np.isfinite(losses["answers"]) for _, _, losses in seen)
    assert held_out.images.shape == (8, 48, 48, 3), "of the last stage"


def test_held_out_birds_are_drawn_apart_from_those_of_the_pool(pretrainer, monkeypatch):
    seeds = []
    rendered = render_pool
    monkeypatch.setattr(
        "saga.supervisors.pretraining.pool.render_pool",
        lambda groups, size, clutter, seed, workers: (
            seeds.append(tuple(seed)) or rendered(groups, size, clutter, seed, workers)
        ),
    )
    Pretrainer(replace(TINY, stages=(STAGE, STAGE))).run()
    assert len(seeds) == len(set(seeds)) == 4


def test_two_groups_are_learned_by_heart(pool):
    stage = replace(STAGE, steps=50)
    # The two prompts' losses differ: with one alone, the first and the last step compare.
    pretrainer = Pretrainer(replace(TINY, stages=(stage,), generic_share=0.0))
    losses = []
    pretrainer._run_stage(0, stage, pool, 50, 0, lambda *said: losses.append(said[2]["answers"]))
    assert losses[-1] < 0.25 * losses[0]


@pytest.mark.parametrize(("share", "prompt"), [(0.0, PROMPT), (1.0, GENERIC_PROMPT)])
def test_the_generic_share_says_which_prompt_is_asked_and_answered(
    pool, monkeypatch, share, prompt
):
    pretrainer = Pretrainer(replace(TINY, generic_share=share))
    asked, answered = [], []
    prefix, forced = pretrainer.backbone.prefix, pretrainer.teacher_forced
    monkeypatch.setattr(
        pretrainer.backbone,
        "prefix",
        lambda text, grid: (asked.append(text), prefix(text, grid))[1],
    )

    def keep_answers(*args):
        logits_PTV, answer_PT = forced(*args)
        answered.extend(pretrainer.tokenizer.batch_decode(answer_PT, skip_special_tokens=True))
        return logits_PTV, answer_PT

    monkeypatch.setattr(pretrainer, "teacher_forced", keep_answers)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for _ in range(3):
            pretrainer._losses(pool, rng)
    assert asked == [prompt] * 3
    assert len(answered) == 3 * 2 * 3, "three steps, two groups, three pairs a group"
    assert {"bird_1" in json.loads(text) for text in answered} == {prompt == PROMPT}


def test_teacher_forced_logits_are_those_of_the_whole_model(pretrainer, pool):
    model, tokenizer = pretrainer.model.eval(), pretrainer.tokenizer
    a, b = np.array([0, 2, 4]), np.array([1, 0, 7])
    with torch.no_grad():
        tokens = pretrainer.encode(pool.images)
        logits_PTV, answer_PT = pretrainer.teacher_forced(tokens, pool.combinations, a, b)
    for row, (i, j) in enumerate(zip(a, b)):
        text = answer_text(
            ITEM, VERDICT_KEY, values_of(pool.combinations[i]), values_of(pool.combinations[j])
        )
        content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": PROMPT}]
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False
        )
        image = tokenizer.convert_tokens_to_ids("<|image_pad|>")
        ids = []
        for token in tokenizer(prompt)["input_ids"]:
            ids += [token] * (4 if token == image else 1)  # 2×2 tokens at 32 pixels
        answer = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
        whole = torch.tensor([ids + answer])
        pixels = torch.from_numpy(pool.images[[i, j]]).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            expected = model(
                input_ids=whole,
                pixel_values=pretrainer.tower.patches(pixels),
                image_grid_thw=torch.tensor([[1, 4, 4]] * 2),
                mm_token_type_ids=(whole == image).long(),
            ).logits[0, len(ids) - 1 : -1]
        assert answer_PT[row, : len(answer)].tolist() == answer
        assert (answer_PT[row, len(answer) :] == tokenizer.pad_token_id).all()
        torch.testing.assert_close(logits_PTV[row, : len(answer)], expected, atol=2e-5, rtol=1e-4)


def test_the_loss_is_the_mean_over_answer_tokens_without_the_padding(pretrainer, pool, monkeypatch):
    drawn = {}
    forced = pretrainer.teacher_forced
    monkeypatch.setattr(
        pretrainer, "teacher_forced", lambda *args: drawn.setdefault("out", forced(*args))
    )
    with torch.no_grad():
        loss, _ = pretrainer._losses(pool, np.random.default_rng(0))
    logits_PTV, answer_PT = drawn["out"]
    losses = []
    for logits_TV, answer in zip(logits_PTV, answer_PT.tolist()):
        for logits_V, token in zip(logits_TV, answer):
            if token != pretrainer.tokenizer.pad_token_id:
                losses.append(-F.log_softmax(logits_V, -1)[token].item())
    assert len(losses) < answer_PT.numel()
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (None, {}),
        ("verdict", {"verdict": 0.0}),
        ("first", {"bill color": 0.5}),  # the first bird's bill, never the second's
        ("last", {"tail color": 0.5}),
    ],
)
def test_accuracy_is_counted_at_the_token_that_says_it(
    pretrainer, pool, monkeypatch, wrong, expected
):
    def oracle(tokens, combinations, a, b):
        answer_PT = pretrainer._answers(
            [(combinations[i], combinations[j]) for i, j in zip(a, b)], generic=False
        )
        said = answer_PT.clone()
        for row in said:
            end = row.tolist().index(pretrainer.tokenizer.eos_token_id)
            place = {"verdict": end - 1, "first": 1, "last": 1 + 2 * len(ATTRIBUTES), None: None}
            if wrong is not None:
                row[place[wrong]] = pretrainer.tokenizer.pad_token_id
        return F.one_hot(said, len(pretrainer.tokenizer)).float(), answer_PT

    monkeypatch.setattr(pretrainer, "teacher_forced", oracle)
    found = pretrainer.measure(pool)
    assert found == dict.fromkeys([*ATTRIBUTES, "verdict"], 1.0) | expected


def test_the_folder_tells_what_it_is(tmp_path):
    facts = build_supervisor(TINY, tmp_path / "supervisor", "commit")
    written = json.loads((tmp_path / "supervisor" / "pretraining.json").read_text())
    assert written == json.loads(json.dumps(facts))
    assert (tmp_path / "supervisor" / "README.md").read_text() == model_card(facts)
    assert facts["commit"] == "commit" and facts["config"]["stages"][0]["steps"] == 3
    card = model_card(facts)
    assert f"{facts['parameters']:,} parameters" in card and "3 steps at 32 px" in card
    for name, value in facts["accuracy"].items():
        assert f"| {name} | {value:.3f} |" in card


def test_a_failure_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("saga.supervisors.pretraining.train.model_card", lambda facts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_supervisor(TINY, tmp_path / "supervisor", "commit")
    assert list(tmp_path.iterdir()) == []


def test_the_supervisor_that_ships_is_of_this_architecture_and_tokenizer(tmp_path: Path):
    tokenizer = build_tokenizer((PROMPT, GENERIC_PROMPT), ITEM, VERDICT_KEY, ATTRIBUTES)
    model = build_model(tokenizer, seed=0)
    shipped = json.loads((EMBEDDED / "config.json").read_text())
    ours = json.loads(model.config.to_json_string(use_diff=False))
    for part in ("vision_config", "text_config"):
        for name in ("hidden_size", "num_hidden_layers", "depth", "vocab_size", "patch_size"):
            assert shipped[part].get(name) == ours[part].get(name)
    facts = json.loads((EMBEDDED / "pretraining.json").read_text())
    assert facts["parameters"] == sum(p.numel() for p in model.parameters())
    assert json.loads((EMBEDDED / "preprocessor_config.json").read_text()) == preprocessor_config()
    tokenizer.save_pretrained(tmp_path)
    vocabularies = [
        json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
        for folder in (tmp_path, EMBEDDED)
    ]
    assert vocabularies[0] == vocabularies[1]


def test_images_become_one_token_per_16_pixels(pretrainer):
    tokens = pretrainer.encode(np.zeros((2, 96, 96, 3), np.uint8))
    assert tokens.tokens_BND.shape[:2] == (2, 36)
    assert isinstance(pretrainer.tower, Qwen3VLTower)
