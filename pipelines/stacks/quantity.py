"""Amounts as Kubernetes writes them: "500m", "16Gi"."""

import math
import re
from decimal import Decimal

UNITS: dict[str, int | Decimal] = {
    "": 1,
    "m": Decimal("0.001"),
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
}
QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
MEMORY = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:M|G|T|Mi|Gi|Ti)")


def amount(text: str) -> Decimal:
    """The number that a quantity stands for: cores, bytes, pieces.

    Raises:
        ValueError: if it is not a quantity.
    """
    found = QUANTITY.fullmatch(str(text))
    if found is None:
        raise ValueError(f"{text!r} is not a quantity such as 500m or 16Gi")
    return Decimal(found[1]) * UNITS[found[2] or ""]


def cores(number: float) -> str:
    """A number of cores; Kubernetes takes thousandths."""
    return f"{math.ceil(number * 1000)}m"


def check_memory(name: str, text: str) -> None:
    """Refuse what is not an amount of memory with a unit.

    Raises:
        ValueError: naming the setting and what it may be.
    """
    if MEMORY.fullmatch(text) is None or amount(text) <= 0:
        raise ValueError(f"{name} must be an amount with its unit, such as 16Gi; got {text!r}")
