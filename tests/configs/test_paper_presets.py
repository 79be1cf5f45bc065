"""The paper's configurations: their values, and one real step of each arm on tiny stand-ins.

The stand-ins have 36 decoder layers as the 8-billion models have, so that layer 26 is taken as it stands,
and are read by the same code; images have 224 pixels. Only sizes are overridden.
"""

import pytest

from pipelines.configuration import CONFIGS, load_run_config
from saga.data.load import load_manifest
from saga.mining.miner import mine_pairs
from saga.supervisors.prompts import load_prompt
from saga.training.trainer import Trainer, train
from tests.checkpoints import write_tiny_internvl, write_tiny_qwen3_vl
from tests.data.made import made_aircraft, made_cars, made_cub, made_inat
from tests.training.made import SHORT_PROMPT, script_answers

PRESETS = sorted((CONFIGS / "paper").glob("*.yaml"))
DATASETS = {
    # name of the preset: its layout, prompt, how its tree is made
    "cub200": ("cub200", "birds", made_cub),
    "cars196": ("cars196", "cars", made_cars),
    "aircraft": ("aircraft", "aircraft", made_aircraft),
    "inat-aves": ("inat_aves", "birds", made_inat),
}
MODELS = {"qwen3_vl": "Qwen/Qwen3-VL-8B-Instruct", "internvl": "OpenGVLab/InternVL3_5-8B-HF"}
SIZES = [
    "training.epochs=null",
    "training.steps=1",
    "training.classes_per_batch=2",
    "training.images_per_class=2",
    "training.contributing_pairs=2",
    "training.pairs_per_round=2",
    "training.max_rounds=1",
    "training.rollout.max_new_tokens=3",
    "mining.pairs=4",
    "supervisor.device=cpu",
]


def named(path):
    return path.stem


def dataset_of(path):
    return DATASETS[path.stem.removesuffix("-internvl")]


def family_of(path):
    return "internvl" if path.stem.endswith("-internvl") else "qwen3_vl"


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """Tiny checkpoints as deep as the real ones, with their patch sizes."""
    root = tmp_path_factory.mktemp("stand-ins")
    text = " ".join(load_prompt(prompt).text() for _, prompt, _ in DATASETS.values())
    write_tiny_qwen3_vl(root / "qwen3_vl", layers=36, patch=16, text=text)
    write_tiny_internvl(root / "internvl", layers=36, patch=14, text=text)
    return root


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    root = tmp_path_factory.mktemp("trees")
    for layout, _, make in DATASETS.values():
        make(root / layout, images=3)
    return root


def located(path, stand_ins, trees, *more):
    """The preset with nothing changed but where model and data lie (and what `more` says)."""
    layout, _, _ = dataset_of(path)
    where = [f"supervisor.model={stand_ins / family_of(path)}", f"dataset.root={trees / layout}"]
    # The list of the real classes, which a small tree cannot have.
    return load_run_config(path, [*where, "dataset.class_list_digest=null", *more])


def test_there_is_one_preset_for_each_dataset_and_family():
    assert {p.stem for p in PRESETS} == {
        f"{name}{ending}" for name in DATASETS for ending in ("", "-internvl")
    }


@pytest.mark.parametrize("path", PRESETS, ids=named)
def test_a_preset_has_the_papers_values(path):
    """METHOD sections 2 to 4 and 6."""
    run = load_run_config(path)
    layout, prompt, _ = dataset_of(path)
    assert (run.dataset.layout, run.dataset.validation_classes) == (layout, 0)
    assert run.dataset.max_images_per_class is None
    supervisor = run.supervisor
    assert supervisor.model == MODELS[family_of(path)] and supervisor.prompt == prompt
    assert (supervisor.image_size, supervisor.attention_layer) == (224, 26)
    training = run.training
    assert (training.epochs, training.steps) == (3, None)
    assert training.classes_per_batch * training.images_per_class == 64
    assert (training.contributing_pairs, training.rollout.group_size) == (8, 8)
    assert (training.rollout.temperature, training.rollout.top_p) == (0.7, 0.95)
    assert training.rollout.max_new_tokens == 1024
    weights = training.weights
    assert (weights.dml, weights.grpo, weights.kl) == (1, 1, 1)
    loss = training.metric_loss
    assert (loss.name, loss.pf_proxies, loss.pf_alpha) == ("potential_field", 15, 3)
    assert 0.10 <= loss.pf_delta <= 0.35
    optimizer = training.optimizer
    assert (optimizer.encoder_lr, optimizer.pooler_lr) == (2e-5, 1e-4)
    assert (optimizer.proxy_lr_multiplier, optimizer.warmup_fraction) == (100, 0.05)
    assert (optimizer.clip_norm, optimizer.clip_scope) == (1.0, "global")
    assert (training.autocast, training.standardise) == ("bfloat16", "sample")
    pooler = run.encoder.pooler
    assert (pooler.kind, pooler.embedding_dim, pooler.normalize_keys) == ("attention", 4096, False)
    assert run.encoder.tuning == "full" and run.mining.strategy == "random"
    assert run.seed == training.seed == pooler.seed == run.mining.seed == 0


@pytest.mark.parametrize("path", PRESETS, ids=named)
def test_the_baseline_of_a_preset_is_the_same_training_without_the_supervisor(path):
    run = load_run_config(path)
    candidate, baseline = run.candidate_arm, run.baseline_arm
    assert not baseline.training.weights.supervised and baseline.training.weights.dml == 1
    assert baseline.encoder.pooler.kind == "mean"
    assert baseline.encoder.pooler.embedding_dim == 4096
    for name in ("epochs", "metric_loss", "optimizer", "classes_per_batch", "seed", "autocast"):
        assert getattr(baseline.training, name) == getattr(candidate.training, name)
    assert baseline.supervisor == candidate.supervisor


@pytest.mark.parametrize("path", PRESETS, ids=named)
def test_both_arms_of_a_preset_train(path, stand_ins, trees):
    run = located(path, stand_ins, trees, *SIZES)
    manifest = load_manifest(run.dataset)
    pairs = mine_pairs(manifest.training(), run.mining, manifest.digest)
    asked = {}
    for arm in (run.candidate_arm, run.baseline_arm):
        retriever, history = train(arm, manifest, pairs)
        row = history.frame.iloc[0]
        assert retriever.embedding_dim == 4096 and retriever.preprocessor.size == 224
        assert row["loss/dml"] != 0 and row["gradient/theta_dml"] > 0
        assert history.summary["steps"] == 1 and history.summary["stopped_early"] is None
        asked[arm.name] = row.get("rollout/pairs")
    assert asked == {"saga": 2, "dml": None}


@pytest.mark.parametrize("path", [p for p in PRESETS if p.stem.startswith("c")], ids=named)
def test_layer_26_of_a_preset_teaches_on_the_papers_grid(path, stand_ins, trees):
    run = located(path, stand_ins, trees, *SIZES)
    manifest = load_manifest(run.dataset)
    pairs = mine_pairs(manifest.training(), run.mining, manifest.digest)
    supervisor = Trainer(run.candidate_arm, manifest, pairs).supervisor
    assert supervisor.backbone.depth == 36 and supervisor.layer == 26
    assert len(supervisor.prefix) < 1000
    # 32 pixels a token for Qwen3-VL's patches of 16, 28 for InternVL's of 14.
    assert supervisor.grid == ((8, 8) if family_of(path) == "internvl" else (7, 7))
    assert len(supervisor.prompt.attributes) == (28 if supervisor.prompt.name == "birds" else 17)


@pytest.mark.parametrize("family", sorted(MODELS))
def test_where_verdicts_disagree_all_three_terms_train(
    family, stand_ins, trees, monkeypatch, tmp_path
):
    """A random model's answers cannot be read; these are written for it, to a shorter prompt."""
    prompt = tmp_path / "short.yaml"
    prompt.write_text(SHORT_PROMPT)
    path = CONFIGS / "paper" / ("cars196.yaml" if family == "qwen3_vl" else "cars196-internvl.yaml")
    run = located(
        path,
        stand_ins,
        trees,
        *SIZES,
        f"supervisor.prompt={prompt}",
        "training.rollout.group_size=3",
    )
    script_answers(monkeypatch, prompt)
    manifest = load_manifest(run.dataset)
    pairs = mine_pairs(manifest.training(), run.mining, manifest.digest)
    _, history = train(run.candidate_arm, manifest, pairs)
    row = history.frame.iloc[0]
    # One pair is of one class and "same" was said in two of three answers; the other in one.
    assert (row["rollout/reward"], row["rollout/kept"], row["rollout/parsed"]) == (0.5, 2, 1)
    for name in ("gradient/theta_dml", "gradient/theta_grpo", "gradient/phi_kl", "loss/kl"):
        assert row[name] > 0, name
    assert row["alignment/images"] == 4
