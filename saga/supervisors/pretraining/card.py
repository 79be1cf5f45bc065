"""The model card of the tiny supervisor."""

from typing import Any

CARD = """---
library_name: transformers
---
# Tiny Qwen3-VL for synthetic birds

A Qwen3-VL of {parameters:,} parameters that compares two procedurally drawn birds: it names six
attributes of each, the differences, and says whether they are of one species. It supervises saga's
embedded example; it knows nothing about real birds.

- **Data**: birds drawn by `saga.data.synthetic` with free backgrounds, no haze, clutter up to
  {clutter}. {pool} images. Combinations of attributes that test or validation classes may have
  (40 % of all, decided by a hash of the values) were never shown.
- **Accuracy** on held-out images of this kind, teacher-forced:

| attribute | accuracy |
|---|---|
{table}

- **Training**: {stages}; {minutes} minutes; seed {seed}.
- **Date** {date}, **commit** {commit}. Rebuild: `saga build-supervisor configs/supervisor.yaml`.
"""

PHOTO_CARD = """---
library_name: transformers
---
# Tiny Qwen3-VL for photographed birds

A Qwen3-VL of {parameters:,} parameters that compares two photographed birds: it names {attributes}
attributes of each, the differences, and says whether they are of one species. It is small and weak;
it is for saga's study on real photos and for nothing else.

- **Data**: photos of the training classes of CUB-200-2011 (the first half of its classes, less
  {validation_classes} held out for validation with seed {dataset_seed}, less {held_out_photos} photos
  of each class), with the annotators' class attributes merged into few values. No photo and no
  attribute of a test or validation class was learned from.
- **Use**: the photos are for non-commercial research, so these weights are as well, and they must not
  be passed on without that.
- **Labels are a class's, not a photo's**: females, young and winter birds are labelled as most of their
  class are.
- **Accuracy**, teacher-forced, on held-out photos of training classes and on the validation classes,
  each beside what always saying the commonest value would reach:

| attribute | held-out photos | commonest | validation classes | commonest |
|---|---|---|---|---|
{table}

- **Training**: {stages}; weights at the start: {start}; {minutes} minutes; seed {seed}.
- **Date** {date}, **commit** {commit}. Rebuild:
  `saga build-supervisor configs/supervisor-cub200.yaml --set dataset.root=<CUB_200_2011>`.
"""


def model_card(facts: dict[str, Any]) -> str:
    """Markdown with data, accuracy by attribute, date and commit."""
    config = facts["config"]
    stages = ", then ".join(f"{s['steps']} steps at {s['image_size']} px" for s in config["stages"])
    if config["dataset"] is not None:
        return _photo_card(facts, stages)
    table = "\n".join(f"| {name} | {value:.3f} |" for name, value in facts["accuracy"].items())
    pool = ", then ".join(f"{4 * s['groups']:,}" for s in config["stages"])
    return CARD.format(
        parameters=facts["parameters"],
        clutter=config["clutter"],
        pool=pool,
        table=table,
        stages=stages,
        minutes=facts["minutes"],
        seed=config["seed"],
        date=facts["date"],
        commit=facts["commit"],
    )


def _photo_card(facts: dict[str, Any], stages: str) -> str:
    config = facts["config"]
    columns = [
        facts.get(name, {})
        for name in ("accuracy", "commonest", "accuracy_unseen", "commonest_unseen")
    ]
    table = "\n".join(
        f"| {name} | " + " | ".join(_share(column.get(name)) for column in columns) + " |"
        for name in facts["accuracy"]
    )
    return PHOTO_CARD.format(
        parameters=facts["parameters"],
        attributes=len(facts["commonest"]),
        validation_classes=config["dataset"]["validation_classes"],
        dataset_seed=config["dataset"]["seed"],
        held_out_photos=config["held_out_photos"],
        table=table,
        stages=stages,
        start=config["start"],
        minutes=facts["minutes"],
        seed=config["seed"],
        date=facts["date"],
        commit=facts["commit"],
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
