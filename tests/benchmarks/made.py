"""A large model's benchmark made small: random weights, drawn lengths, written verdicts."""

from dataclasses import replace

from benchmarks.presets import LARGE, TINY, ModelShape

SMALL = ModelShape(
    layers=2,
    hidden=32,
    heads=4,
    kv_heads=2,
    head_dim=16,
    intermediate=64,
    vocabulary=128,
    tied=False,
    rope_section=(4, 2, 2),
    vision_depth=2,
    vision_hidden=32,
    vision_heads=2,
    vision_intermediate=64,
    deepstack=(0, 1),
)
RANDOM = replace(
    LARGE,
    shape=SMALL,
    image_size=64,
    pairs=3,
    group=4,
    prompt=40,
    completion=24,
    max_new_tokens=48,
    repeats=1,
    images_per_class=2,
)
SAMPLED = replace(TINY, image_size=96, pairs=6, group=4, repeats=1, images_per_class=2)
UNREADABLE = replace(TINY, image_size=32, pairs=2, group=2, repeats=1, images_per_class=2)
"""So few tokens an image that hardly a pair contributes."""
