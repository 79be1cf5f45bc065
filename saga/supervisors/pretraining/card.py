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


def model_card(facts: dict[str, Any]) -> str:
    """Markdown with data, accuracy by attribute, date and commit."""
    config = facts["config"]
    table = "\n".join(f"| {name} | {value:.3f} |" for name, value in facts["accuracy"].items())
    stages = ", then ".join(f"{s['steps']} steps at {s['image_size']} px" for s in config["stages"])
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
