"""The gates of a promotion, as a file that people review.

    name: default
    gates:
      - id: …
        kind: floor
        …

Strict: an unknown key, another type or an impossible value is refused with the place, what is allowed and
the nearest name. Every gate must pass, so the order does not matter and no correction is needed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from saga.errors import UserInputError
from saga.files import digest_of
from saga.gates.base import Gate
from saga.gates.floor import Floor
from saga.gates.non_inferiority import NonInferiority
from saga.gates.settings import build_settings, unknown_key

MAX_BYTES = 1 << 16
KINDS: dict[str, type[Gate]] = {gate.kind: gate for gate in (Floor, NonInferiority)}
"""Every kind of gate; a new one is a file of its own and a name here."""


@dataclass(frozen=True)
class GatePolicy:
    """Gates that must all pass."""

    name: str
    gates: tuple[Gate, ...]

    def __post_init__(self) -> None:
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
        for key in values:
            if key not in ("name", "gates"):
                raise UserInputError(unknown_key(source + ":", key, ["name", "gates"]))
        name, gates = values.get("name"), values.get("gates")
        if not isinstance(name, str) or not name:
            raise UserInputError(f"{source}: name must be text, got {name!r}.")
        if not isinstance(gates, list) or not gates:
            raise UserInputError(
                f"{source}: gates must be a list of at least one gate: a policy without gates would "
                "let everything pass."
            )
        built = [_gate(gate, f"{source}: gates[{i}]") for i, gate in enumerate(gates)]
        try:
            return cls(name, tuple(built))
        except ValueError as error:
            raise UserInputError(f"{source}: {error}.") from error

    @classmethod
    def load(cls, path: Path | str) -> "GatePolicy":
        """Read a policy file.

        Raises:
            UserInputError: if it cannot be read or is not a policy.
        """
        return cls.from_dict(_read_yaml(Path(path)), str(path))


def _gate(values: Any, where: str) -> Gate:
    if not isinstance(values, Mapping):
        raise UserInputError(f"{where} must hold settings such as id, kind and metric.")
    settings = dict(values)
    kind = settings.pop("kind", None)
    if kind not in KINDS:
        raise UserInputError(f"{where}.kind must be one of {', '.join(KINDS)}, got {kind!r}.")
    return build_settings(KINDS[kind], settings, where)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                problem = f"the key {key.value} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> Any:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        return yaml.load(data.decode(), _Loader)  # noqa: S506 - a SafeLoader
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        detail = " ".join(str(error).split())
        raise UserInputError(f"{path} cannot be read as a gate policy: {detail}.") from error
