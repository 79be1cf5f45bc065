"""The golden trajectory: a short seeded run of the embedded supervisor, its figures committed.

    python -m tests.training.record_golden

writes tests/training/golden.json. Only a change that is meant to change training may do so; say why in
the commit.
"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from saga.files import sha256_bytes, write_json
from saga.mining.pairs import PairSet
from saga.supervisors.source import supervisor_digest
from saga.training.trainer import train
from tests.training.made import EMBEDDED, made_arm, made_birds, made_pairs

GOLDEN = Path(__file__).parent / "golden.json"
FIGURES = (
    "loss/dml",
    "loss/grpo",
    "loss/kl",
    "gradient/total",
    "gradient/theta_grpo",
    "gradient/phi_kl",
    "embedding/spread",
    "rollout/reward",
    "rollout/contributing",
    "rollout/rounds",
    "rollout/length",
)


def trajectory(device: Literal["cpu", "cuda"] = "cpu") -> dict[str, Any]:
    """Figures of six steps with all three terms, and digests of what went in."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            birds = made_birds(Path(folder))
            supervisor = replace(EMBEDDED, device=device)
            settings = {"contributing_pairs": 5, "max_rounds": 4, "term_norms_every": 1}
            arm = made_arm(supervisor, (0.5, 0.3, 5.0), steps=6, **settings)
            pairs = made_pairs(birds, "stratified")
            _, history = train(arm, birds, pairs)
            pixels = [
                np.asarray(Image.open(p)).tobytes() for p in sorted(Path(folder).glob("*.png"))
            ]
    finally:
        torch.set_num_threads(threads)
    return {
        "images": sha256_bytes(b"".join(pixels)),
        "pairs": pairs_digest(pairs),
        "supervisor": supervisor_digest(EMBEDDED),
        "steps": history.frame[list(FIGURES)].astype(object).to_dict("records"),
    }


def pairs_digest(pairs: PairSet) -> str:
    """Of the pairs alone: the manifest's digest follows how Pillow compresses."""
    rows = pairs.frame[["anchor", "other", "same_class", "kind"]].values.tolist()
    return sha256_bytes(json.dumps(rows).encode())


if __name__ == "__main__":
    write_json(GOLDEN, trajectory())
