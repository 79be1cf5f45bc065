"""What the attribute pooler costs at inference, against the paper's pooler with one query.

    python -m benchmarks.pooler_inference

Embeds the same images with both, in turns, and prints JSON: the ratio of the times and its quartiles
over the rounds. Times themselves are of this machine and of no other.
"""

import json
import statistics
import time

import torch

from saga.encoders.configuration import PoolerConfig
from saga.encoders.poolers import build_pooler
from saga.supervisors.checkpoint import load_checkpoint
from saga.supervisors.configuration import SupervisorConfig
from saga.supervisors.prompts import load_prompt

IMAGES, ROUNDS, WARM_UP = 64, 200, 5
SIDE = 96


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    tower = load_checkpoint(SupervisorConfig("embedded", image_size=SIDE, device="cpu")).tower
    tower.eval()
    queries = load_prompt("synthetic_birds").attributes
    width = tower.width * len(queries)
    common = {"embedding_dim": width, "normalize_keys": True}
    poolers = {
        "attention": build_pooler(PoolerConfig("attention", **common), tower.width),
        "attribute": build_pooler(
            PoolerConfig("attribute", queries=tuple(queries), **common), tower.width
        ),
    }
    pixels = torch.randn(IMAGES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    seconds: dict[str, list[float]] = {name: [] for name in poolers}
    for number in range(WARM_UP + ROUNDS):
        # In turns and in changing order: whatever slows the machine down slows both.
        for name in sorted(poolers, reverse=bool(number % 2)):
            began = time.perf_counter()
            poolers[name](tower(pixels).tokens_BND)
            if number >= WARM_UP:
                seconds[name].append(time.perf_counter() - began)
    ratios = [a / b for a, b in zip(seconds["attribute"], seconds["attention"])]
    low, median, high = statistics.quantiles(ratios, n=4)
    print(  # noqa: T201 - what the benchmark is for
        json.dumps(
            {
                "queries": len(queries),
                "embedding_dim": width,
                "images": IMAGES,
                "rounds": ROUNDS,
                "threads": torch.get_num_threads(),
                "attribute_over_attention": round(median, 4),
                "quartiles": [round(low, 4), round(high, 4)],
                "median_milliseconds_an_image": {
                    name: round(1e3 * statistics.median(found) / IMAGES, 4)
                    for name, found in seconds.items()
                },
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
