"""Named regimes of the synthetic birds: what stands between labels and attributes in each.

A study takes `REGIMES[name].changes`, or writes the settings itself.
"""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Regime:
    """What a regime sets of `SyntheticConfig`; the rest of it, size and seed, is free."""

    name: str
    """Key in `REGIMES`."""
    description: str
    """One sentence."""
    habitat: float = 0.0
    """As in `SyntheticConfig`, like all that follow."""
    haze: float = 0.0
    tint: float = 0.0
    shift: float = 0.0
    entangled: bool = False

    @property
    def changes(self) -> dict[str, Any]:
        """Settings of `SyntheticConfig`; all that make a regime, whatever the base has."""
        own = ("name", "description")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in own}


REGIMES: dict[str, Regime] = {
    regime.name: regime
    for regime in (
        Regime(
            "hazy_habitat",
            "The default: training backgrounds belong to classes, and all images lie under haze.",
            habitat=1.0,
            haze=0.7,
        ),
        Regime(
            "habitat",
            "In training each class has a background colour of its own; in test it is random.",
            habitat=1.0,
        ),
        Regime(
            "habitat70",
            "As habitat, but 30 % of the training images have a random background.",
            habitat=0.7,
        ),
        Regime("haze", "A haze of random strength lies over all images.", haze=0.7),
        Regime("free", "Neither shortcut nor change of appearance."),
        Regime(
            "tint",
            "As habitat, and each image has a colour cast of its own.",
            habitat=1.0,
            tint=0.25,
        ),
        Regime(
            "shift",
            "As habitat, and one colour shift that the supervisor never saw is over all images.",
            habitat=1.0,
            shift=1.0,
        ),
        Regime(
            "entangled",
            "In training the wing's colour decides the tail's, and the crown's the bill's.",
            entangled=True,
        ),
    )
}
"""Every regime, by name."""
