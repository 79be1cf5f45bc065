"""Checks that several settings share; each raises ValueError from a `__post_init__`."""

SEEDS = 2**31
"""Every library takes the seeds below this."""


def check_seed(seed: int, name: str = "seed") -> None:
    """Refuse a seed that some generator would not take.

    Raises:
        ValueError: naming the setting and what it may be.
    """
    if not 0 <= seed < SEEDS:
        raise ValueError(f"{name} must be in [0, 2^31), got {seed}")
