"""The gates of a promotion, as a file that people review.

    name: default
    gates:
      - id: …
        kind: floor
        …

Strict: an unknown key, another type or an impossible value is refused with the place, what is
allowed and the nearest name; all problems at once. Every gate must pass, so the order does not
matter and no correction is needed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from saga.errors import UserInputError
from saga.files import digest_of
from saga.gates.base import Gate
from saga.gates.floor import Floor
from saga.gates.non_inferiority import NonInferiority
from saga.settings.strict_yaml import read_yaml
from saga.settings.typed import Problems, build, convert, convert_fields

KINDS: dict[str, type[Gate]] = {gate.kind: gate for gate in (Floor, NonInferiority)}
"""Every kind of gate; a new one is a file of its own and a name here."""
KIND: Any = Literal[tuple(KINDS)]


@dataclass(frozen=True)
class GatePolicy:
    """Gates that must all pass."""

    name: str
    """As decisions call it."""
    gates: tuple[Gate, ...]
    """In any order."""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name must not be empty")
        if not self.gates:
            raise ValueError("gates: a policy without gates would let everything pass")
        ids = [gate.id for gate in self.gates]
        for gate_id in ids:
            if ids.count(gate_id) > 1:
                raise ValueError(f"gates: the id {gate_id} is given twice")

    @cached_property
    def digest(self) -> str:
        """Of the settings, defaults filled in; comments and the order of keys do not count."""
        return digest_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `from_dict` takes them, defaults filled in."""
        return {"name": self.name, "gates": [{"kind": g.kind} | asdict(g) for g in self.gates]}

    @classmethod
    def from_dict(cls, values: Any, source: str = "gate policy") -> "GatePolicy":
        """Build a policy from plain values.

        Args:
            values: `name` and a list of `gates`.
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
            return cls(top["name"], gates)
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
        problems.add("gates", "gates must be a list of sections with id, kind and so on.")
        return ()
    built = [_gate(gate, f"gates[{i}]", problems) for i, gate in enumerate(values)]
    return tuple(gate for gate in built if gate is not None)


def _gate(values: Any, path: str, problems: Problems) -> Gate | None:
    if not isinstance(values, Mapping):
        problems.add(path, f"{path} must be a section with id, kind and so on.")
        return None
    settings = dict(values)
    try:
        kind = convert(KIND, settings.pop("kind", None))
    except TypeError as error:
        problems.add(f"{path}.kind", f"{path}.kind {error}.")
        return None
    return build(KINDS[kind], settings, problems, path)
