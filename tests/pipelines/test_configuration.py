from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.configuration import (
    CONFIGS,
    DEFAULT_CONFIG,
    gate_policy_path,
    load_config,
    load_run_config,
)
from saga.errors import UserInputError
from saga.gates.policy import GatePolicy
from saga.supervisors.pretraining.configuration import PretrainingConfig
from saga.supervisors.prompts import load_prompt

RUNS = sorted(
    path
    for path in CONFIGS.rglob("*.yaml")
    if path.parent.name != "studies" and "training" in yaml.safe_load(path.read_text())
)


@pytest.fixture
def run_file(tmp_path: Path):
    """Writes a small run with some top-level sections changed; None removes one."""

    def write(**changes: Any) -> Path:
        values = {
            "name": "nightly",
            "model": "birds",
            "supervisor": {"prompt": "synthetic_birds"},
            "training": {"steps": 5, "classes_per_batch": 4},
        }
        values = {k: v for k, v in (values | changes).items() if v is not None}
        path = tmp_path / "nightly.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return write


def refusal(path: Path, *overrides: str) -> list[str]:
    """The problems, without the file's name."""
    with pytest.raises(UserInputError) as caught:
        load_run_config(path, overrides)
    return [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize("path", RUNS, ids=lambda p: p.relative_to(CONFIGS).as_posix())
def test_every_configuration_that_comes_along_loads_with_its_prompt_and_gates(path):
    run = load_run_config(path)
    assert load_prompt(run.supervisor.prompt).text()
    assert GatePolicy.load(gate_policy_path(run.gates)).gates
    assert run.baseline.weights.supervised is False and run.baseline.weights.dml > 0
    assert (run.training.steps, run.training.epochs) == (run.baseline.steps, run.baseline.epochs)


def test_the_embedded_example_the_paper_and_the_small_one_are_among_them():
    names = {path.relative_to(CONFIGS).as_posix() for path in RUNS}
    paper = {
        f"paper/{data}{family}.yaml"
        for data in ("cub200", "cars196", "aircraft", "inat-aves")
        for family in ("", "-internvl")
    }
    assert names == paper | {"embedded.yaml", "ci-small.yaml", "cub200-photos.yaml"}
    assert DEFAULT_CONFIG in RUNS


@pytest.mark.parametrize(
    "path", [p for p in RUNS if p.parent.name == "paper"], ids=lambda p: p.stem
)
def test_the_papers_values_are_in_the_papers_configurations(path):
    run = load_run_config(path)
    training, optimizer = run.training, run.training.optimizer
    assert (training.weights.dml, training.weights.grpo, training.weights.kl) == (1, 1, 1)
    assert training.metric_loss.name == "potential_field"
    assert (training.metric_loss.pf_proxies, training.contributing_pairs) == (15, 8)
    assert (training.rollout.group_size, training.rollout.temperature) == (8, 0.7)
    assert (training.rollout.top_p, training.rollout.max_new_tokens) == (0.95, 1024)
    assert (optimizer.encoder_lr, optimizer.pooler_lr, optimizer.clip_norm) == (2e-5, 1e-4, 1)
    assert (training.epochs, training.steps, optimizer.warmup_fraction) == (3, None, 0.05)
    assert training.classes_per_batch * training.images_per_class == 64
    assert (run.supervisor.attention_layer, run.supervisor.image_size) == (26, 224)
    assert run.encoder.pooler.kind == "attention" and run.encoder.pooler.embedding_dim == 4096
    assert run.baseline_encoder.pooler.kind == "mean"


def test_the_supervisors_pretraining_is_what_the_defaults_say():
    assert load_config(PretrainingConfig, CONFIGS / "supervisor.yaml") == PretrainingConfig()


# What is refused --------------------------------------------------------------------------------


def test_a_misspelt_key_is_told_with_the_nearest_its_bounds_and_its_value(run_file):
    path = run_file(training={"steps": 5, "rollout": {"groupsize": 4}})
    with pytest.raises(UserInputError) as caught:
        load_run_config(path)
    assert str(caught.value) == (
        f"{path}: training.rollout.groupsize is not a setting. "
        "Nearest: training.rollout.group_size (an integer ≥ 2, now 8)."
    )


def test_a_key_in_the_wrong_section_is_told_where_it_belongs(run_file):
    assert refusal(run_file(temperature=0.5)) == [
        "temperature is not a setting. Nearest: training.metric_loss.temperature (a number > 0)."
    ]
    assert refusal(run_file(encoder={"encoder_lr": 1e-5})) == [
        "encoder.encoder_lr is not a setting. "
        "Nearest: training.optimizer.encoder_lr (a number ≥ 0)."
    ]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"training": {"steps": 5, "epochs": 1}}, "training needs exactly one of steps and epochs"),
        ({"training": {"classes_per_batch": 4}}, "training needs exactly one of steps and epochs"),
        ({"training": {"steps": 0}}, "training.steps must be at least 1, got 0."),
        ({"training": {"epochs": -1.0}}, "training.epochs must be above 0, got -1.0."),
        ({"training": {"steps": "ten"}}, "training.steps must be an integer or null; got 'ten'"),
        ({"training": {"steps": 5, "seed": -1}}, "training.seed must be in [0, 2^31), got -1."),
        (
            {"training": {"steps": 5, "optimizer": {"betas": [0.9, 1.0]}}},
            "training.optimizer.betas must be in [0, 1), got [0.9, 1.0].",
        ),
        ({"seed": 1 << 40}, "seed must be in [0, 2^31), got 1099511627776."),
        ({"name": "../up"}, "name must be 1 to 100 letters, digits, '.', '_' or '-'"),
        ({"model": ""}, "model must be 1 to 100 letters"),
        ({"name": "n" * 101}, "name must be 1 to 100 letters"),
        ({"name": None}, "name is missing."),
        ({"training": None}, "training is missing."),
        ({"baseline": 3}, "baseline must be a section (key: value lines)."),
        ({"baseline": {"stepz": 1}}, "baseline.stepz is not a setting. Nearest: baseline.steps"),
        ({"baseline_encoder": []}, "baseline_encoder must be a section"),
        ({"dataset": {"layout": "cub"}}, "dataset.layout must be one of cub200, cars196"),
        ({"dataset": {"layout": "folders"}}, "dataset.root: the layout folders needs the dataset"),
        ({"encoder": {"lora": {"rank": 0}}}, "encoder.lora.rank and lora.alpha must be at least 1"),
        ({"evaluation": {"ks": [1, 2, 4]}}, "evaluation.ks must be ascending and hold 1, 2, 4 and"),
        ({"supervisor": {"prompt": "brids"}}, "supervisor.prompt: brids is neither a bundled"),
        ({"gates": "strict"}, "gates: strict is neither a bundled policy (default) nor a file."),
        ({"gates": "x" * 5000}, "gates: xxxx"),
        ({"supervisor": {"prompt": "~nobody-here/p.yaml"}}, "supervisor.prompt: ~nobody-here"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name(run_file, changes, problem):
    found = refusal(run_file(**changes))
    assert len(found) == 1 and found[0].startswith(problem)


def test_all_problems_are_told_at_once_also_where_sections_cannot_be_built(run_file):
    path = run_file(
        name=None,
        training={"steps": "many", "rollout": {"top_p": 0}},
        baseline={"flips": True},
        encoder={"tuning": "frozn"},
        dataset={"validation_classes": 19},
        supervisor={"prompt": "brids"},
        gates="strict",
        oops=1,
    )
    assert sorted(line.split(" ")[0].rstrip(":") for line in refusal(path)) == [
        "baseline.flips",
        "dataset.validation_classes",
        "encoder.tuning",
        "gates",
        "name",
        "oops",
        "supervisor.prompt",
        "training.rollout.top_p",
        "training.steps",
    ]


def test_a_problem_that_an_override_made_is_told_with_the_override(run_file):
    path = run_file()
    assert refusal(path, "training.steps=0", "oops=1", "name=a/b") == [
        "--set training.steps=0: training.steps must be at least 1, got 0.",
        "--set oops=1: oops is not a setting. Allowed: name, model, training, baseline, "
        "baseline_encoder, seed, dataset, supervisor, encoder, mining, evaluation, ablations, "
        "study, gates, monitoring.",
        "--set name=a/b: name must be 1 to 100 letters, digits, '.', '_' or '-', and begin with a "
        "letter or digit; got 'a/b'.",
    ]
    (line,) = refusal(path, "encoder.pooler.kind=mean")
    assert line.startswith(f"{path} with --set encoder.pooler.kind=mean: training.weights.kl is 1")


# Two arms, seeds, paths -------------------------------------------------------------------------


def test_the_baseline_is_the_candidate_without_the_supervisor(run_file):
    run = load_run_config(run_file(training={"steps": 7, "flip": True, "weights": {"dml": 0.5}}))
    assert run.baseline == replace(
        run.training, weights=replace(run.training.weights, grpo=0.0, kl=0.0)
    )
    assert run.baseline_encoder == run.encoder
    assert run.baseline_arm.training == run.baseline and run.candidate_arm.name == "saga"


def test_ablations_leave_terms_out_and_change_nothing_else(run_file):
    run = load_run_config(run_file(ablations=["kl", "grpo", "kl_only"]))
    assert [arm.name for arm in run.arms] == ["dml", "kl", "grpo", "kl_only", "saga"]
    left_out = {"kl": {"grpo"}, "grpo": {"kl"}, "kl_only": {"dml", "grpo"}}
    for arm in run.arms[1:-1]:
        zero = dict.fromkeys(left_out[arm.name], 0.0)
        weights = replace(run.training.weights, **zero)
        assert arm.training == replace(run.training, weights=weights)
        tuning = "frozen" if arm.name == "kl_only" else run.encoder.tuning
        assert arm.encoder == replace(run.encoder, tuning=tuning)


def test_without_ablations_there_are_two_arms(run_file):
    run = load_run_config(run_file())
    assert run.arms == (run.baseline_arm, run.candidate_arm)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"ablations": ["kl", "kl"]}, "names an arm twice"),
        ({"ablations": ["saga"]}, "kl_only"),
        ({"ablations": ["kl_only"], "training": {"steps": 7, "weights": {"kl": 0}}}, "kl is 0"),
        ({"study": "nothing"}, "study: nothing is neither a bundled study"),
    ],
)
def test_impossible_ablations_and_studies_are_refused(run_file, changes, message):
    with pytest.raises(UserInputError, match=message):
        load_run_config(run_file(**changes))


def test_the_baseline_of_a_candidate_without_labels_learns_from_labels(run_file):
    run = load_run_config(run_file(training={"steps": 7, "weights": {"dml": 0}}))
    assert (run.training.weights.dml, run.baseline.weights.dml) == (0, 1)


def test_the_baselines_sections_change_what_they_say_and_nothing_else(run_file):
    run = load_run_config(
        run_file(
            training={
                "steps": 7,
                "classes_per_batch": 4,
                "optimizer": {"weight_decay": 0.5},
                "metric_loss": {"pf_delta": 0.6, "pf_min_distance": 0.3},
            },
            baseline={
                "optimizer": {"encoder_lr": 1e-3},
                "metric_loss": {"pf_min_distance": 0.5},  # right only with the pf_delta above
            },
            baseline_encoder={"pooler": {"kind": "mean"}},
        )
    )
    assert run.baseline.optimizer == replace(run.training.optimizer, encoder_lr=1e-3)
    assert run.baseline.metric_loss == replace(run.training.metric_loss, pf_min_distance=0.5)
    assert (run.encoder.pooler.kind, run.baseline_encoder.pooler.kind) == ("attention", "mean")


def test_the_runs_seed_is_everyones_but_the_datas_and_those_that_name_their_own(run_file):
    run = load_run_config(run_file(seed=7, mining={"seed": 3}))
    assert (run.training.seed, run.baseline.seed, run.mining.seed) == (7, 7, 3)
    assert run.encoder.pooler.seed == run.baseline_encoder.pooler.seed == 7
    assert run.dataset.seed == run.dataset.synthetic.seed == 0


def test_overrides_win_over_the_file_and_the_last_over_the_first(run_file):
    run = load_run_config(
        run_file(),
        ["training.steps=9", "training.steps=11", "encoder.pooler={embedding_dim: 32}", "seed=2"],
    )
    assert run.training.steps == run.baseline.steps == 11
    assert (run.encoder.pooler.kind, run.encoder.pooler.embedding_dim) == ("attention", 32)
    assert run.training.seed == 2


def test_prompt_and_gates_are_found_beside_the_configuration(run_file, tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    for kind, name in (("prompts", "birds"), ("gates", "default")):
        text = (CONFIGS / kind / f"{name}.yaml").read_text()
        (tmp_path / "own" / f"{kind}.yaml").write_text(text)
    path = run_file(supervisor={"prompt": "own/prompts.yaml"}, gates="own/gates.yaml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = load_run_config(path)
    assert run.supervisor.prompt == str(tmp_path / "own" / "prompts.yaml")
    assert gate_policy_path(run.gates) == tmp_path / "own" / "gates.yaml"


def test_the_digest_tells_every_change_and_nothing_but_changes(run_file):
    path = run_file()
    same = load_run_config(path).digest
    assert load_run_config(path, ["training.steps=5", "dataset.name=null"]).digest == same
    others = ["training.steps=6", "seed=1", "gates=default.yaml", "baseline.flip=true"]
    (path.parent / "default.yaml").write_text((CONFIGS / "gates" / "default.yaml").read_text())
    digests = {load_run_config(path, [other]).digest for other in others}
    assert len(digests) == 4 and same not in digests
