from pathlib import Path

import pandas as pd
import pytest

from pipelines.configuration import CONFIGS, load_run_config
from saga.errors import UserInputError
from saga.mining.batching import PairGuidedSampler
from saga.mining.pairs import SCHEMA, PairSet

RUN = Path(__file__).with_name("run.yaml")
CUB = CONFIGS / "cub200-photos.yaml"


def refused(*overrides: str, path: Path = RUN) -> list[str]:
    """Each problem without its origin."""
    with pytest.raises(UserInputError) as caught:
        load_run_config(path, overrides)
    return [line.partition(": ")[2] for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("overrides", "settings"),
    [
        (["supervisor.prompt=generic"], ["training.weights.kl"]),
        (["encoder.pooler.kind=mean"], ["training.weights.kl"]),
        (["encoder.pooler.kind=max"], ["training.weights.kl"]),
        (["training.optimizer.pooler_lr=0"], ["training.weights.kl"]),
        (["encoder.tuning=frozen"], ["training.weights.grpo"]),
        (["training.optimizer.encoder_lr=0"], ["training.weights.grpo"]),
        (["baseline.weights.kl=1", "baseline_encoder.pooler.kind=mean"], ["baseline.weights.kl"]),
        (
            ["baseline.weights.kl=1", "supervisor.prompt=generic"],
            ["training.weights.kl", "baseline.weights.kl"],
        ),
        (["training.contributing_pairs=65"], ["training.contributing_pairs"]),
        (["training.pairs_per_round=193", "training.classes_per_batch=16"], ["training.pairs_per"]),
        (
            [
                "training.distributed.processes_per_node=65",
                "baseline.distributed.processes_per_node=1",
            ],
            ["training.distributed.processes_per_node"],
        ),
        (
            [
                "training.distributed.nodes=5",
                "training.distributed.processes_per_node=13",
                "baseline.distributed.nodes=1",
                "baseline.distributed.processes_per_node=1",
            ],
            ["training.distributed.processes_per_node is 13 on each of 5 nodes"],
        ),
        (["training.classes_per_batch=21"], ["training.classes_per_batch"]),
        (["training.images_per_class=21"], ["training.images_per_class"]),
        (["dataset.max_images_per_class=3"], ["training.images_per_class"]),
        (["dataset.validation_classes=1"], ["dataset.validation_classes"]),
        (
            ["dataset.synthetic.validation_classes=0", "dataset.validation_classes=19"],
            ["dataset.validation_classes"],
        ),
        (
            ["encoder.pooler.embedding_dim=64", "baseline_encoder.pooler.embedding_dim=32"],
            ["baseline_encoder.pooler.embedding_dim"],
        ),
    ],
)
def test_what_cannot_mean_anything_is_refused_under_its_name(overrides, settings):
    found = refused(*overrides)
    assert len(found) == len(settings), found
    assert all(message.startswith(setting) for message, setting in zip(found, settings))


@pytest.mark.parametrize(
    "overrides",
    [
        ["supervisor.prompt=generic", "training.weights.kl=0"],
        ["encoder.pooler.kind=mean", "training.weights.kl=0"],
        ["encoder.tuning=frozen", "training.weights.grpo=0"],
        ["baseline_encoder.pooler.kind=mean"],
        ["training.choice.mode=predicted"],
        ["training.distributed.processes_per_node=64"],
        ["training.distributed={nodes: 8, processes_per_node: 8}"],
        ["training.contributing_pairs=65", "training.max_rounds=2"],
        ["training.contributing_pairs=65", "training.weights={grpo: 0, kl: 0}"],
        ["training.classes_per_batch=20", "training.images_per_class=20"],
        ["dataset.synthetic.validation_classes=0", "dataset.validation_classes=4"],
        ["baseline_encoder.pooler.embedding_dim=32"],
    ],
)
def test_what_the_message_advises_or_what_merely_looks_alike_is_accepted(overrides):
    load_run_config(RUN, overrides)


def test_nothing_that_learns_is_refused_with_both_reasons():
    found = refused(
        "encoder.tuning=frozen",
        "encoder.pooler.kind=mean",
        "training.weights={dml: 1, grpo: 0, kl: 0}",
    )
    assert found == [
        "encoder.tuning is frozen, and the mean pooler has nothing to learn either. Choose the "
        "attention pooler with training.optimizer.pooler_lr above 0, or let the encoder learn."
    ]


def test_impossible_combinations_are_all_told_at_once():
    found = refused("encoder.pooler.kind=mean", "encoder.tuning=frozen", "gates=none")
    assert [message.split(" ")[0].rstrip(":") for message in found] == [
        "training.weights.kl",
        "training.weights.grpo",
        "encoder.tuning",
        "gates",
    ]


def test_a_canonical_split_bounds_the_batch_before_the_data_are_there():
    found = refused("training.classes_per_batch=101", path=CUB)
    assert found == [
        "training.classes_per_batch is 101, but the dataset has 100 training classes. "
        "Allowed: 2 to 100."
    ]
    assert refused("dataset.validation_classes=99", path=CUB)[0].startswith("dataset.validation")


@pytest.mark.parametrize(("classes", "images"), [(4, 3), (2, 2), (3, 4)])
def test_the_most_pairs_of_a_batch_are_those_that_the_sampler_can_draw(classes, images):
    same = classes * images * (images - 1) // 2
    sizes = [
        f"training.classes_per_batch={classes}",
        f"training.images_per_class={images}",
        "training.contributing_pairs=1",
    ]
    load_run_config(RUN, [*sizes, f"training.pairs_per_round={2 * same}"])
    assert refused(*sizes, f"training.pairs_per_round={2 * same + 1}")[0].endswith(
        f"holds {same} such pairs. Allowed: at most {2 * same}."
    )
    labels = [i // images for i in range(5 * images)]
    ids = [f"image-{i}" for i in range(len(labels))]
    none_mined = PairSet(pd.DataFrame(columns=SCHEMA.names), "random", 0, "")
    sampler = PairGuidedSampler(labels, ids, none_mined, classes, images, 2 * same, seed=0)
    _, pairs = sampler.next_batch()
    drawn = {tuple(sorted(pair[:2])) for pair in pairs if pair[2]}
    assert len(drawn) == same
