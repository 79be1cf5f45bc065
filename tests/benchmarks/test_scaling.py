"""The simulation against the floor's arithmetic, closed forms and what two processes really send."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.floor import Device, Language, Tower, Work, floor_seconds
from benchmarks.scaling import RESULTS, pays_up_to, rows
from benchmarks.scaling_bytes import StepSizes, Weights, step_bytes, step_exchanges
from benchmarks.scaling_curve import draw_curve
from benchmarks.scaling_measured import measured
from benchmarks.scaling_model import Cluster, Model, decode_seconds
from benchmarks.scaling_simulation import (
    DEALINGS,
    Draw,
    Lengths,
    Setting,
    draw_step,
    mean_spent,
    simulate,
)

LANGUAGE = Language(2, 1000, 500, 8, 4, bytes_each=2)
TOWER = Tower(2, 500, 100, 8, 4, 16)
MODEL = Model(LANGUAGE, TOWER, Cluster(Device("slow", 1e6, 1e8)), 20, 32, read_seconds=1e-6)
SIZES = StepSizes(
    images=8,
    tokens=3,
    width=2,
    levels=2,
    embedding=5,
    drawn=3,
    used=2,
    keeping=1,
    decoded=[(4, 7), (2, 5)],
    group=3,
    encoder=Weights(100, 4),
    pooler=Weights(20, 3),
    looking=Weights(6, 2),
    proxies=Weights(10, 1),
)
LENGTHS = Lengths(mean=40, sigma=0.4, between=0.5, known=0.3, longest=100)
SETTING = Setting(SIZES, pairs=4, wanted=4, contributing=0.5, rounds=6, lengths=LENGTHS)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("two"), steps=6)


def test_two_processes_send_what_the_formula_says_to_the_byte(two):
    assert len(two["bytes"]) == 6
    for of_step in two["bytes"]:
        assert of_step["measured"] == [of_step["formula"]["total"]] * 2
    assert len({of_step["formula"]["completions"] for of_step in two["bytes"]}) > 1


def test_what_the_simulation_needs_of_completions_is_measured(two):
    found = two["completions"]
    assert 0 <= found["between_pairs"] <= 1 and -1 <= found["expected_correlation"] <= 1
    assert found["mean"] > 1 and found["sigma"] > 0 and found["read_seconds_a_token"] > 0
    assert len(two["wait_share_of_each"]) == 2


def test_the_committed_bytes_are_those_of_the_formula():
    committed = json.loads((RESULTS / "scaling.json").read_text())["measured"]["bytes"]
    assert committed
    for of_step in committed:
        assert set(of_step["measured"]) == {of_step["formula"]["total"]}


def test_bytes_are_counted_by_what_travels():
    found = step_bytes(SIZES)
    of_batch = 4 * 8 * 3 * 2
    assert found["tokens"] == 3 * 2 * of_batch
    assert found["completions"] == 2 * 8 + 4 * 3 * (12 * 7 + 16 + 8) + 2 * 3 * (12 * 5 + 16 + 8)
    assert found["embeddings"] == 2 * 4 * 8 * 5
    assert found["token_gradients"] == 2 * 2 * 4 + (2 + 1) * of_batch
    assert found["encoder"] == 4 * 104
    assert found["head"] == 4 * (4 + 30 + 3 + 6)
    assert found["figures"] == 8 * (6 + step_exchanges(SIZES) + 1)
    assert found["total"] == sum(v for k, v in found.items() if k != "total")


def test_decoding_is_the_floors():
    rng = np.random.default_rng(0)
    for device in (Device("memory", 1e3, 1e30), Device("arithmetic", 1e30, 1e3)):
        lengths_PG = rng.integers(1, 30, (5, 4))
        floor = floor_seconds(LANGUAGE, TOWER, Work(20, lengths_PG.tolist(), 0, 32), device)
        assert decode_seconds(LANGUAGE, 20, lengths_PG, device) == pytest.approx(floor["decode"])


def test_a_ring_moves_nearly_twice_what_is_given_over_its_narrowest_link():
    cluster = Cluster(node=2, within=100.0, across=50.0, latency=0.5)
    assert cluster.exchange_seconds(1000, 3, 1) == 0
    assert cluster.exchange_seconds(1000, 3, 2) == pytest.approx(1000 / 100 + 3 * 0.5)
    assert cluster.exchange_seconds(1000, 3, 4) == pytest.approx(1500 / 50 + 3 * 0.5 * 2)


def test_lengths_have_their_mean_and_expectations_their_correlation():
    lengths = replace(LENGTHS, longest=10_000)
    drawn_PG, expected_P = lengths.draw(np.random.default_rng(0), 20_000, 8)
    assert drawn_PG.mean() == pytest.approx(40, rel=0.01)
    assert np.log(drawn_PG).std() == pytest.approx(0.4, rel=0.03)
    found = np.corrcoef(np.log(expected_P), np.log(drawn_PG).mean(1))[0, 1]
    assert found == pytest.approx(0.3, abs=0.03)
    certain = replace(lengths, known=1.0).draw(np.random.default_rng(0), 2_000, 8)
    assert np.corrcoef(np.log(certain[1]), np.log(certain[0]).mean(1))[0, 1] > 0.9


def test_pairs_are_drawn_until_enough_contribute_or_batches_run_out():
    rng = np.random.default_rng(0)
    draws = [draw_step(SETTING, rng) for _ in range(200)]
    assert all(len(d.kept) <= 4 and d.used <= 6 and d.used <= sum(d.drawn) for d in draws)
    assert all(len(d.kept) == 4 or d.used == 6 for d in draws)
    assert {len(d.drawn) for d in draws} >= {1, 2} and all(d.drawn[0] == 2 for d in draws)
    assert any(d.used < sum(d.drawn) for d in draws), "some are given back"
    barren = draw_step(replace(SETTING, contributing=1e-9), rng)
    assert not barren.kept and barren.used == 6


def test_a_phase_lasts_as_long_as_its_slowest_rank():
    lengths_PG = np.array([[50, 50, 50], [10, 10, 10]])
    draw = Draw([lengths_PG], [np.array([50.0, 10.0])], [1], 1, 1, [(0, 0), (0, 1)])
    free = replace(MODEL, cluster=replace(MODEL.cluster, within=1e30, latency=0.0))
    one, two = (simulate(SETTING, free, draw, ranks, "balanced") for ranks in (1, 2))
    assert one.waited == one.given == one.exchanging == 0
    idle = [
        free.rollout_seconds(lengths_PG[:1]) - free.rollout_seconds(lengths_PG[1:]),
        free.replay_seconds(lengths_PG[:1]) - free.replay_seconds(lengths_PG[1:]),
    ]
    assert two.waited == pytest.approx(sum(idle) / 2)
    shared = free.tower_seconds(4) + free.loss_seconds(8, 5)
    slowest = free.rollout_seconds(lengths_PG[:1]) + free.replay_seconds(lengths_PG[:1])
    assert two.seconds == pytest.approx(shared + slowest)


def test_balanced_ranks_wait_less():
    spent = {d: mean_spent(SETTING.times(8), MODEL, 8, d, 40) for d in DEALINGS}
    assert spent["balanced"].waited < spent["turns"].waited < spent["rolled out"].waited
    assert spent["balanced"].seconds < spent["turns"].seconds
    known = replace(SETTING, lengths=replace(LENGTHS, known=1.0)).times(8)
    assert mean_spent(known, MODEL, 8, "balanced", 40).waited < spent["balanced"].waited
    assert mean_spent(SETTING.times(8), MODEL, 8, "turns", 40) == spent["turns"], "seeded"


def test_efficiency_is_work_over_that_of_one_gpu():
    for grows in (True, False):
        found = rows(SETTING, MODEL, (1, 2, 4), "balanced", grows)
        assert found[0]["efficiency"] == 1 and found[0]["bytes"] == 0
        for row in found[1:]:
            ideal = found[0]["seconds"] / (1 if grows else row["gpus"])
            assert row["efficiency"] == pytest.approx(ideal / row["seconds"])
            assert 0 < row["wait_share"] + row["exchange_share"] < 1


def test_more_gpus_pay_until_twice_as_many_do_little_more():
    found = [{"gpus": n, "seconds": s} for n, s in ((1, 8.0), (2, 4.5), (4, 2.9), (8, 2.8))]
    assert pays_up_to(found) == 4
    assert pays_up_to(found, grows=True) == 8


def test_the_curve_is_the_same_for_the_same_figures(tmp_path):
    of_dealing = rows(SETTING, MODEL, (1, 2), "balanced")
    found = {q: dict.fromkeys(DEALINGS, of_dealing) for q in ("weak", "strong")}
    for name in ("a.svg", "b.svg"):
        draw_curve(found | {"weak_slower": of_dealing}, tmp_path / name)
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn == (tmp_path / "b.svg").read_text()
    assert drawn.startswith("<?xml") and "one step, shared" in drawn
