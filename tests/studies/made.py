"""A study so small that a cell takes seconds; its figures mean nothing."""

from pathlib import Path
from typing import Any

import yaml

from saga.settings.merging import merged

STUDY: dict[str, Any] = {
    "name": "tiny",
    "seeds": 2,
    "data": {"seed": 1},
    "tuning": {
        "data_seed": 2,
        "steps": 1,
        "space": {
            "training.optimizer.encoder_lr": [1e-4, 2e-4],
            "training.optimizer.pooler_lr": [1e-3, 3e-3],
        },
    },
    "plan": {"small": ["pretrained", "dml", "saga", "kl_only"]},
    "regimes": {"small": {"dataset.synthetic.haze": 0.5}},
    "arms": {
        "pretrained": {"of": "pretrained"},
        "dml": {"set": {"training.weights.grpo": 0, "training.weights.kl": 0}},
        "saga": {},
        "kl_only": {
            "set": {
                "training.weights.dml": 0,
                "training.weights.grpo": 0,
                "encoder.tuning": "frozen",
            }
        },
    },
    "targets": [
        {"regime": "small", "difference": "saga-dml", "at_least": 0.1, "interval": "above_zero"}
    ],
    "dataset": {
        "layout": "synthetic",
        "synthetic": {
            "train_classes": 4,
            "validation_classes": 4,
            "test_classes": 4,
            "images_per_class": 3,
        },
    },
    "supervisor": {
        "model": "embedded",
        "prompt": "synthetic_birds",
        "image_size": 96,
        "attention_layer": 2,
        "device": "cpu",
    },
    "encoder": {"pooler": {"kind": "attribute", "normalize_keys": True, "embedding_dim": 36}},
    "mining": {"strategy": "stratified", "pairs": 12},
    "training": {
        "steps": 1,
        "classes_per_batch": 4,
        "images_per_class": 2,
        "contributing_pairs": 2,
        "pairs_per_round": 2,
        "max_rounds": 1,
        "weights": {"dml": 0.5, "grpo": 0.3, "kl": 5.0},
        "metric_loss": {"name": "multi_similarity"},
        "rollout": {"group_size": 2, "top_p": 1.0, "max_new_tokens": 40},
        "autocast": "none",
    },
}


def write_study(path: Path, **changes: Any) -> Path:
    """The study with some sections changed, as a file."""
    path.write_text(yaml.safe_dump(merged(STUDY, changes)))
    return path
