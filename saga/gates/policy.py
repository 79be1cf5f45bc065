"""The gates of a promotion, as a file that people review.

    name: default
    statistics: {alpha: 0.05}
    cold_start: baseline
    gates:
      - id: …
        test: value_threshold
        …

Strict: an unknown key, another type or an impossible value is refused with the place, what is
allowed and the nearest name; all problems at once. Every gate that blocks must pass, so their order
does not matter and no correction over gates is needed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from saga.errors import UserInputError
from saga.files import digest_of
from saga.gates.base import Gate, Statistics
from saga.gates.change_threshold import ChangeThreshold
from saga.gates.equals import Equals
from saga.gates.non_inferiority import NonInferiority
from saga.gates.superiority import Superiority
from saga.gates.value_threshold import ValueThreshold
from saga.settings.strict_yaml import read_yaml
from saga.settings.typed import Problems, build, convert, convert_fields

TESTS: dict[str, type[Gate]] = {
    gate.test: gate
    for gate in (ValueThreshold, NonInferiority, Superiority, ChangeThreshold, Equals)
}
"""Every test; a new one is a file of its own and a name here."""
TEST: Any = Literal[tuple(TESTS)]
ColdStart = Literal["refuse", "skip", "baseline"]


@dataclass(frozen=True, slots=True)
class Signature:
    """An encoder must be signed before it may be promoted."""

    public_key: str
    """PEM file, relative to the policy's."""


@dataclass(frozen=True)
class GatePolicy:
    """Gates that must all pass."""

    name: str
    """As decisions call it."""
    gates: tuple[Gate, ...]
    """In any order."""
    statistics: Statistics = Statistics()
    """Of all gates."""
    cold_start: ColdStart = "refuse"
    """Where nothing is in production, gates against it: block ("refuse"), are left out ("skip"), or
    compare with the baseline instead ("baseline")."""
    signature: Signature | None = None
    """None: no signature is asked for."""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name must not be empty")
        if not self.gates:
            raise ValueError("gates: a policy without gates would let everything pass")
        ids = [gate.id for gate in self.gates]
        for gate_id in ids:
            if ids.count(gate_id) > 1:
                raise ValueError(f"gates: the id {gate_id} is given twice")
        if all(gate.severity == "warn" for gate in self.gates):
            raise ValueError("gates: at least one must block, or everything would pass")

    @cached_property
    def digest(self) -> str:
        """Of the settings, defaults filled in; comments and the order of keys do not count."""
        return digest_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `from_dict` takes them, defaults filled in."""
        plain: dict[str, Any] = {
            "name": self.name,
            "statistics": asdict(self.statistics),
            "cold_start": self.cold_start,
            "signature": None if self.signature is None else asdict(self.signature),
            "gates": [{"test": g.test} | asdict(g) for g in self.gates],
        }
        copied: dict[str, Any] = json.loads(json.dumps(plain))  # lists in the place of tuples
        return copied

    @classmethod
    def from_dict(cls, values: Any, source: str = "gate policy") -> "GatePolicy":
        """Build a policy from plain values.

        Args:
            values: `name`, a list of `gates`, and what else the policy sets.
            source: what messages begin with; the file's name.

        Raises:
            UserInputError: saying what is wrong and what is allowed.
        """
        if not isinstance(values, Mapping):
            raise UserInputError(f"{source}: a gate policy holds `name` and a list of `gates`.")
        problems = Problems(source)
        top, _ = convert_fields(cls, {k: v for k, v in values.items() if k != "gates"}, problems)
        for key in ("name", "gates"):
            if key not in values:
                problems.add(key, f"{key} is missing.")
        gates = _gates(values.get("gates", ()), problems)
        problems.raise_all()
        try:
            return cls(gates=gates, **top)
        except ValueError as error:
            raise UserInputError(f"{source}: {error}.") from error

    @classmethod
    def load(cls, path: Path | str) -> "GatePolicy":
        """Read a policy file.

        Raises:
            UserInputError: if it cannot be read or is not a policy.
        """
        return cls.from_dict(read_yaml(Path(path)), str(path))


def _gates(values: Any, problems: Problems) -> tuple[Gate, ...]:
    """Those that can be built."""
    if not isinstance(values, (list, tuple)):
        problems.add("gates", "gates must be a list of sections with id, test and so on.")
        return ()
    built = [_gate(gate, f"gates[{i}]", problems) for i, gate in enumerate(values)]
    return tuple(gate for gate in built if gate is not None)


def _gate(values: Any, path: str, problems: Problems) -> Gate | None:
    if not isinstance(values, Mapping):
        problems.add(path, f"{path} must be a section with id, test and so on.")
        return None
    settings = dict(values)
    try:
        test = convert(TEST, settings.pop("test", None))
    except TypeError as error:
        problems.add(f"{path}.test", f"{path}.test {error}.")
        return None
    return build(TESTS[test], settings, problems, path)
