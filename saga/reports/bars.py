"""An estimate and its interval as a bar with a threshold; places in per cent of its width."""

import math
from dataclasses import dataclass

PADDING = 0.08
"""Room left at both ends, as a share of what is shown."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Where things stand, from 0 at the left to 100 at the right."""

    low: float
    high: float
    value: float
    threshold: float
    """What the interval is compared with."""


def interval_bar(
    value: float | None,
    low: float | None,
    high: float | None,
    threshold: float | None,
    span: tuple[float, float] | None = None,
) -> Bar | None:
    """The bar of an interval.

    Args:
        value: the estimate.
        low: lower end of its interval.
        high: upper end.
        threshold: what it is compared with.
        span: values at both ends of the bar, before padding, for bars that are read together; None
            takes what the four need.

    Returns:
        None where one of the four is missing or not finite.
    """
    if value is None or low is None or high is None or threshold is None:
        return None
    numbers = (low, high, value, threshold)
    if not all(map(math.isfinite, numbers)):
        return None
    least, most = span or (min(numbers), max(numbers))
    reach = max(most - least, 1e-9)
    start, room = least - PADDING * reach, reach * (1 + 2 * PADDING)
    places = (round(min(max(100 * (n - start) / room, 0.0), 100.0), 2) for n in numbers)
    return Bar(*places)
