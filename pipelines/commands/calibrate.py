"""`saga gates calibrate`: false blocks and misses of a gate policy."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.answer import REFUSED, Answer
from pipelines.configuration import DEFAULT_CONFIG, RunConfig, gate_policy_path, load_run_config
from pipelines.environment import environment
from pipelines.home import home
from pipelines.preflight import check_inputs
from pipelines.progress import reporter, shown
from saga.errors import UserInputError
from saga.files import digest_of, write_json, write_text
from saga.gates.calibration import Judged, Tally, decide_pair, judge_pairs, summary
from saga.gates.policy import GatePolicy
from saga.gates.regressions import BROKEN, CLASS_FORGOTTEN, BrokenEncoder, forget_class
from saga.retrieval.evaluate import evaluate_encoder
from saga.retrieval.extract import extract_embeddings, load_images
from saga.retrieval.measurements import measure_encoder
from saga.retrieval.metrics import evaluate_embeddings

if TYPE_CHECKING:
    from saga.data.manifest import DatasetManifest
    from saga.encoders.retriever import Retriever
    from saga.mining.pairs import PairSet
    from saga.training.arm import ArmConfig

CLASS_COUNTS = (60, 120, 240, 480)
REPEATS = 5
BROKEN_SEEDS = 2
"""Encoders that are broken in every way; more would be the same encoder once more."""
FORGOTTEN, WELL_RETRIEVED = 10, 0.6
"""Classes that are forgotten one at a time, the best first, down to this Recall@1: of a class that is
hardly found, little can be lost."""
MEASURED_IMAGES = 32


@dataclass(frozen=True)
class _Trained:
    seed: int
    encoder: "Retriever"
    judged: Judged


def main(
    config: Path | None,
    settings: list[str],
    policy: Path | None,
    seeds: int,
    arm: str,
    output: Path,
) -> Answer:
    """Train what is missing, judge every pair and every broken encoder, write the page."""
    run = load_run_config(config or DEFAULT_CONFIG, settings)
    check_inputs(run)
    source = policy or gate_policy_path(run.gates)
    gates = GatePolicy.load(source)
    started = time.monotonic()
    with shown():
        manifest, trained = _trained(run, arm, seeds)
        pairs = judge_pairs(
            gates,
            [t.judged for t in trained],
            CLASS_COUNTS,
            REPEATS,
            tell=reporter("judge pairs"),
        )
        planted = list(_planted(run, gates, manifest, trained))
    tallies = [*pairs, *planted]
    found = dict(summary(tallies))
    facts: dict[str, Any] = {
        "policy": {"name": gates.name, "file": str(source), "digest": gates.digest},
        "config": {"name": run.name, "digest": run.digest, "arm": arm, "seeds": seeds},
        "dataset": {"name": manifest.name, "digest": manifest.digest} | manifest.counts()["test"],
        "recall_at_1": [t.judged[0].metrics["recall_at_1"] for t in trained],
        "tallies": [tally.to_dict() for tally in tallies],
        "summary": found,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.monotonic() - started, 1),
        "environment": environment(),
    }
    text = _page(facts, tallies)
    files = [output / "calibration.md", output / "calibration.json"]
    write_text(files[0], text)
    write_json(files[1], facts)
    said = "\n".join([text, *map(str, files)])
    return Answer(facts, said, REFUSED if found["missed"] else 0)


def _trained(run: RunConfig, arm: str, seeds: int) -> tuple["DatasetManifest", list[_Trained]]:
    """The encoder of each seed, judged."""
    from saga.data.load import load_manifest

    manifest = load_manifest(run.dataset, home() / "data", reporter("load the dataset"))
    test = manifest.subset("test")
    if test["class_id"].nunique() < 2:
        raise UserInputError("A calibration needs at least two test classes.")
    base = {a.name: a for a in run.arms}[arm]
    pairs = cache(partial(_mined, run, manifest))  # of all seeds, and only if one is trained
    trained = []
    for seed in range(seeds):
        encoder = _train(run, manifest, _seeded(base, seed), pairs)
        report = evaluate_encoder(
            encoder,
            manifest,
            test,
            run.evaluation,
            f"{arm} {seed}",
            run.dataset.limits,
            reporter(f"evaluate seed {seed}"),
        )
        images = load_images(manifest, test.head(MEASURED_IMAGES), run.dataset.limits)
        measured = measure_encoder(encoder, images, name=f"{arm} {seed}")
        trained.append(_Trained(seed, encoder, (report, measured)))
    return manifest, trained


def _seeded(arm: "ArmConfig", seed: int) -> "ArmConfig":
    pooler = replace(arm.encoder.pooler, seed=seed)
    return replace(
        arm,
        encoder=replace(arm.encoder, pooler=pooler),
        training=replace(arm.training, seed=seed),
    )


def _mined(run: RunConfig, manifest: "DatasetManifest") -> "PairSet":
    from saga.mining.miner import mine_training_images
    from saga.training.trainer import untrained_retriever

    def untrained() -> "Retriever":
        return untrained_retriever(run.supervisor)

    return mine_training_images(manifest, run.mining, untrained, run.dataset.limits)


def _train(
    run: RunConfig,
    manifest: "DatasetManifest",
    arm: "ArmConfig",
    pairs: Callable[[], "PairSet"],
) -> "Retriever":
    """An encoder, trained now or by an earlier calibration of the same settings and code."""
    from saga.encoders.retriever import Retriever
    from saga.studies.cell import code_digest
    from saga.training.trainer import train

    key = {"arm": asdict(arm), "mining": asdict(run.mining), "data": manifest.digest}
    folder = home() / "calibration" / digest_of(key | {"code": code_digest()})[:16]
    if (folder / "encoder").exists():
        return Retriever.load(folder / "encoder")
    report = reporter(f"train seed {arm.training.seed}")
    encoder, _ = train(
        arm,
        manifest,
        pairs(),
        checkpoint_folder=folder / "checkpoints",
        progress=lambda at: report(at.step, at.steps),
    )
    encoder.save(folder / "encoder")
    return encoder


def _planted(
    run: RunConfig, policy: GatePolicy, manifest: "DatasetManifest", trained: Sequence[_Trained]
) -> Iterator[Tally]:
    test, limits = manifest.subset("test"), run.dataset.limits
    for name in BROKEN:
        tally = Tally(name, int(test["class_id"].nunique()))
        for whole in trained[:BROKEN_SEEDS]:
            broken: Any = BrokenEncoder(whole.encoder, name)
            report = evaluate_encoder(
                broken, manifest, test, run.evaluation, name, limits, reporter(f"evaluate {name}")
            )
            tally.add(decide_pair(policy, (report, whole.judged[1]), whole.judged))
        yield tally
    yield _forgetting(run, policy, manifest, trained[0])


def _forgetting(
    run: RunConfig, policy: GatePolicy, manifest: "DatasetManifest", whole: _Trained
) -> Tally:
    """The best-retrieved classes are forgotten one at a time."""
    test = manifest.subset("test")
    # Corrupted queries are left out: a class is forgotten in the gallery's vectors.
    settings = replace(run.evaluation, corruptions=())
    vectors = extract_embeddings(whole.encoder, manifest, test, limits=run.dataset.limits)
    classes = test["class_id"].to_numpy()

    def judged(embeddings: np.ndarray, name: str, digest: str) -> Judged:
        report = evaluate_embeddings(
            embeddings,
            test,
            settings,
            name=name,
            encoder_digest=digest,
            dataset_digest=manifest.digest,
        )
        return report, whole.judged[1]

    intact = judged(vectors, "intact", whole.encoder.digest)
    classes_by_recall = intact[0].per_class.sort_values("recall_at_1", ascending=False)
    well = classes_by_recall[classes_by_recall["recall_at_1"] >= WELL_RETRIEVED]
    best = (well if len(well) else classes_by_recall[:1])["class_id"][:FORGOTTEN]
    tally = Tally(CLASS_FORGOTTEN, len(set(classes)))
    report = reporter("forget classes")
    for done, forgotten in enumerate(best, start=1):
        changed = forget_class(vectors, classes, int(forgotten), seed=done)
        broken = judged(changed, CLASS_FORGOTTEN, digest_of([whole.encoder.digest, int(forgotten)]))
        tally.add(decide_pair(policy, broken, intact))
        report(done, len(best))
    return tally


def _page(facts: dict[str, Any], tallies: Sequence[Tally]) -> str:
    """Markdown: what was asked, the two tables, what they come to."""
    found, data = facts["summary"], facts["dataset"]
    recalls = ", ".join(f"{100 * value:.1f}" for value in facts["recall_at_1"])
    lines = [
        f"# How often the gates err: policy {facts['policy']['name']}",
        "",
        f"`{facts['config']['arm']}` of {facts['config']['name']}, {facts['config']['seeds']} seeds "
        f"(Recall@1 {recalls}), judged on {data['classes']} classes with {data['images']} images; "
        f"{facts['date'][:10]}, commit {facts['environment']['git_commit'][:7]}, policy digest "
        f"{facts['policy']['digest'][:12]}.",
        "",
        f"- **False blocks: {found['false_blocks']} of {found['pairs']}** pairs of equal encoders "
        f"with {found['classes']} classes; {found['inconclusive']} more were INCONCLUSIVE.",
        f"- **Missed regressions: {found['missed']} of {found['planted']}.**",
        "",
        "## Equal encoders: the same training with other seeds",
        "",
        "| classes | decisions | PASS | INCONCLUSIVE | FAIL | ERROR | gates that blocked | warned |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(t, str(t.classes)) for t in tallies if t.kind == "A/A"),
        "",
        "Every ordered pair of seeds is one decision, so decisions share encoders and are not "
        "independent; where not all classes are taken, random parts of them are judged.",
        "",
        "## Broken encoders: each must be blocked",
        "",
        f"Classes are forgotten one at a time, those with a Recall@1 of {100 * WELL_RETRIEVED:.0f} % or "
        f"more, at most {FORGOTTEN}. A class that is found less often can be forgotten unseen.",
        "",
        "| broken | decisions | PASS | INCONCLUSIVE | FAIL | ERROR | gates that blocked | warned |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(t, t.kind) for t in tallies if t.kind != "A/A"),
        "",
    ]
    return "\n".join(lines)


def _row(tally: Tally, name: str) -> str:
    counts = [tally.decisions[status] for status in ("PASS", "INCONCLUSIVE", "FAIL", "ERROR")]
    gates = [
        ", ".join(f"{gate} {n}" for gate, n in counter.most_common()) or "–"
        for counter in (tally.blocks, tally.warnings)
    ]
    return f"| {' | '.join(map(str, [name, tally.total, *counts, *gates]))} |"
