"""The step benchmark: both ways do the same, and the report says what was done."""

import json
from argparse import Namespace
from dataclasses import replace

import pytest
import torch

from benchmarks.equal import differences
from benchmarks.naive_model import ForcedLengths
from benchmarks.naive_step import Spent, completions_of
from benchmarks.presets import PRESETS, TINY
from benchmarks.scripted import FixedPieces, forced_lengths, padded, written_answer
from benchmarks.step import chosen_preset, measure
from benchmarks.step_report import table
from benchmarks.step_runs import Bench
from benchmarks.step_turns import naive_run, scaled
from benchmarks.sweep import sweep, variations
from saga.supervisors.prompts import load_prompt
from tests.benchmarks.made import RANDOM, SAMPLED, UNREADABLE

PHASES = {"rollout", "replay", "attention", "tower", "dml", "optimizer", "data", "other", "step"}


@pytest.fixture(scope="module")
def random_bench(tmp_path_factory):
    return Bench(RANDOM, "cpu", tmp_path_factory.mktemp("random"))


@pytest.fixture(scope="module")
def sampled_bench(tmp_path_factory):
    return Bench(SAMPLED, "cpu", tmp_path_factory.mktemp("sampled"))


@pytest.mark.parametrize("bench", ["random_bench", "sampled_bench"])
def test_both_ways_score_the_same_completions_alike_and_with_the_same_gradient(request, bench):
    found = differences(request.getfixturevalue(bench))
    assert found["pairs"] > 0 and found["gradient_largest"] > 0
    assert found["log_prob"] < 1e-4
    assert found["gradient_relative"] < 1e-4


def test_both_ways_agree_on_some_pairs_alone(random_bench):
    found = differences(random_bench, pairs=1)
    assert found["pairs"] == 1
    assert found["gradient_relative"] < 1e-4


def test_a_naive_step_moves_encoder_pooler_and_proxies_as_ours_does(random_bench):
    naive, ours = random_bench.naive(), random_bench.trainer
    before = [[p.detach().clone() for p in g] for g in naive.parameters.groups()]
    _, step = random_bench.ours()
    naive.step(step, random_bench.lengths_PG)
    groups = zip(before, ours.parameters.groups(), naive.parameters.groups(), strict=True)
    for start, ours_now, naive_now in groups:
        moved, theirs = (
            torch.cat([(now - then).detach().flatten() for now, then in zip(group, start)])
            for group in (ours_now, naive_now)
        )
        # The moments and the rate differ, so the directions agree and not the lengths.
        assert torch.nn.functional.cosine_similarity(moved, theirs, dim=0) > 0.9


def test_both_ways_sample_just_the_lengths_that_were_drawn(random_bench):
    ours, step = random_bench.ours()
    total = int(random_bench.lengths_PG.sum())
    assert ours.generated == total
    naive = random_bench.naive()
    assert naive.roll_out(step, random_bench.lengths_PG) == total


def test_with_written_verdicts_every_pair_contributes(random_bench):
    _, step = random_bench.ours()
    assert len(step.kept) == RANDOM.pairs
    assert step.verdicts.rewards_PG.mean(1).tolist() == [0.5] * RANDOM.pairs


def test_the_naive_way_on_one_pair_counts_for_all(random_bench):
    _, step = random_bench.ours()
    run = naive_run(random_bench, random_bench.naive(), step)
    assert run.generated % RANDOM.pairs == 0 and run.generated > 0
    assert PHASES - {"data", "other", "step"} == set(run.phases)


def test_scaling_leaves_what_is_done_once_a_step():
    spent = Spent({"dml": 1.0, "tower": 2.0}, {"rollout": 3.0, "tower": 1.0}, {"replay": 5.0}, 7)
    run = scaled(spent, rolled=4.0, replayed=2.0)
    assert run.phases == {"dml": 1.0, "tower": 6.0, "rollout": 12.0, "replay": 10.0}
    assert run.seconds == 29.0 and run.generated == 28


@pytest.mark.parametrize("preset", [RANDOM, UNREADABLE], ids=["random", "sampled"])
def test_the_report_has_every_figure(tmp_path, preset, monkeypatch):
    monkeypatch.setattr("benchmarks.step.differences", lambda bench, pairs: {"pairs": pairs})
    found = json.loads(json.dumps(measure(preset, "cpu", tmp_path), allow_nan=False))
    for way in ("ours", "naive"):
        assert set(found["seconds"][way]) == PHASES
        assert found["tokens_per_second"][way] > 0
    assert set(found["ratios"]) == {"rollout", "replay", "replay_and_tower", "step"}
    assert found["ratios"]["step"] > 0 and found["ratios"]["rollout"] > 0
    assert preset is not RANDOM or found["ratios"]["replay"] > 0
    assert found["saga_over_dml"] > 0 and found["floor"]["seconds"]["total"] > 0
    assert found["naive"]["scaled"] == (preset is RANDOM)
    assert ("log-normal" in found["sizes"]["completions"]) == (preset is RANDOM)
    assert found["sizes"]["images"] == 32 and found["equal"] == {"pairs": preset.naive_pairs}
    assert {"git_commit", "git_dirty", "versions", "threads", "date"} <= set(found["environment"])
    assert "naive over ours" in table(found)


def test_ours_alone_can_be_measured(tmp_path):
    found = measure(RANDOM, "cpu", tmp_path, naive=False)
    assert "ratios" not in found and "equal" not in found
    assert set(found["peak_memory_bytes"]) == {"ours"}
    assert "SAGA over DML" in table(found)


def test_a_forced_row_ends_at_its_length_and_not_before():
    ends, lengths_G = torch.tensor([1]), torch.tensor([1, 2, 3])
    force = ForcedLengths(lengths_G, ends, prompt=5)
    scores = torch.zeros(3, 4)
    for done in range(3):
        may_end = force(torch.zeros(3, 5 + done).long(), scores)[:, 1] > -torch.inf
        assert may_end.tolist() == [length <= done + 1 for length in lengths_G]
        may_go_on = force(torch.zeros(3, 5 + done).long(), scores)[:, 2] > -torch.inf
        assert may_go_on.tolist() == [length > done + 1 for length in lengths_G]


def test_what_follows_the_end_is_no_part_of_a_completion():
    found = completions_of(torch.tensor([[4, 1, 0, 0], [4, 5, 6, 7]]), ends=(1,))
    assert found.lengths_PG.tolist() == [[2, 4]]
    assert found.ended_PG.tolist() == [[True, False]]


def test_drawn_lengths_have_their_mean_and_repeat():
    drawn = forced_lengths(8, 8, mean=450, longest=1024)
    assert float(drawn.float().mean()) == pytest.approx(450, abs=1)
    assert 600 < int(drawn.max()) <= 1024 and int(drawn.min()) > 100
    assert torch.equal(drawn, forced_lengths(8, 8, mean=450, longest=1024))
    assert int(forced_lengths(8, 8, mean=450, longest=400).max()) == 400


def test_a_padded_prompt_has_the_positions_that_the_model_would_give_it(random_bench):
    prefix, backbone = random_bench.supervisor.prefix, random_bench.supervisor.backbone
    assert len(prefix) == RANDOM.prompt
    expected = backbone._positions(prefix.ids_S, random_bench.supervisor.grid)
    assert torch.equal(prefix.positions_RS, expected)
    assert prefix.next_position == int(expected.max()) + 1
    with pytest.raises(ValueError, match="more than 10"):
        padded(prefix, 10, vocabulary=128)


@pytest.mark.parametrize("tokens", [15, 40, 500])
def test_written_values_stand_apart_inside_their_completion(tokens):
    answer = written_answer(load_prompt("synthetic_birds"), True, tokens)
    spans = [*answer.value_spans_a, *answer.value_spans_b]
    assert len(spans) == 12 and spans == sorted(spans)
    assert all(start < end <= tokens for start, end in spans)
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:]))
    assert FixedPieces().offsets([7] * tokens)[spans[-1][0]] == (spans[-1][0], spans[-1][0] + 1)


def test_a_sweep_changes_one_factor_at_a_time():
    found = [(factor, value) for factor, value, _ in variations(TINY, own_prompt=209)]
    assert [v for f, v in found if f == "group"] == [4, 8, 16]
    assert [v for f, v in found if f == "prompt"] == [209, 418]
    assert {f for f, _ in found} == {"group", "pairs", "images_per_class", "prompt", "completion"}
    for factor, _, changed in variations(TINY, own_prompt=209):
        middle = replace(TINY, completion=18, max_new_tokens=72)
        names = {factor} | ({"max_new_tokens"} if factor == "completion" else set())
        same = {n: getattr(changed, n) for n in TINY.__slots__ if n not in names}
        assert same == {n: getattr(middle, n) for n in same}


def test_a_sweep_measures_each_value_with_the_same_model(random_bench, monkeypatch):
    more = replace(RANDOM, group=6)
    monkeypatch.setattr("benchmarks.sweep.variations", lambda preset, own: [("group", 6, more)])
    said = []
    found = sweep(random_bench, said.append)
    [row] = found["group"]
    assert row["value"] == 6 and row["seconds"] > 0 and len(said) == 1
    drawn = forced_lengths(more.pairs, 6, more.completion, more.max_new_tokens)
    assert row["generated_tokens"] == int(drawn.sum())


def test_the_command_overrides_a_preset():
    none = dict.fromkeys(
        ("pairs", "group", "prompt", "completion", "naive_pairs", "repeats", "replay_pairs")
    )
    options = Namespace(preset="qwen3-vl-8b", depth=2, **(none | {"pairs": 4}))
    preset = chosen_preset(options)
    assert preset.pairs == 4 and preset.group == PRESETS["qwen3-vl-8b"].group
    assert preset.shape.layers == 2 and preset.shape.deepstack == (0, 1)
    assert preset.shape.hidden == 4096
