from dataclasses import MISSING, dataclass, field
from typing import Literal

import pytest

from saga.settings.checks import check_seed
from saga.settings.describe import closest, describe, describe_bounded, plain, unknown_key
from saga.settings.schema import documentation, settings_of


@dataclass(frozen=True, slots=True)
class Part:
    """A part."""

    group_size: int = 8
    """How many;
    at least two."""
    top_p: float = 1.0
    """In (0, 1]."""

    def __post_init__(self) -> None:
        if self.group_size < 2:
            raise ValueError("group_size must be at least 2")
        if not 0 < self.top_p <= 1:
            raise ValueError("top_p must be in (0, 1]")


@dataclass(frozen=True, slots=True)
class Bounded:
    """Every kind of bound."""

    free: int = 0
    seed: int = 0
    above: float = 1.0
    least: float = 0.0
    share: float = 0.0
    two: float = 1.0
    beside: int = 3
    maybe: int | None = None
    word: str = "a"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if not self.above > 0 or not self.least >= 0 or not 0 <= self.share < 1:
            raise ValueError
        if not 0 < self.two < 2 or self.beside < self.seed + 1:
            raise ValueError
        if self.maybe is not None and self.maybe < 1:
            raise ValueError


@dataclass(frozen=True, slots=True)
class Whole:
    """All of it."""

    name: str
    """Name."""
    part: Part = field(default_factory=Part)
    """The part."""
    bounded: Bounded = field(default_factory=Bounded)
    """The bounds."""


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "an integer"),
        (float | None, "a number or null"),
        (Literal["a", "b"], "one of a, b"),
        (tuple[float, float], "a list of 2 entries, each a number"),
        (tuple[str, ...], "a list, each entry text"),
        (tuple[str, ...] | None, "a list, each entry text or null"),
        (tuple[Part, ...], "a list of sections"),
        (Part, "a section (key: value lines)"),
        (dict[str, int], "a section (key: value lines)"),
    ],
)
def test_a_type_in_words(hint, words):
    assert describe(hint) == words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("free", "an integer"),
        ("seed", "an integer ≥ 0"),
        ("above", "a number > 0"),
        ("least", "a number ≥ 0"),
        ("share", "a number in [0, 1)"),
        ("two", "a number in (0, 2)"),
        ("beside", "an integer ≥ 1"),
        ("maybe", "an integer ≥ 1 or null"),
        ("word", "text"),
    ],
)
def test_bounds_are_those_that_the_dataclass_itself_enforces(name, words):
    (setting,) = (s for s in settings_of(Bounded) if s.name == name)
    assert describe_bounded(setting, {}) == words


def test_bounds_take_the_values_beside_into_account():
    (setting,) = (s for s in settings_of(Bounded) if s.name == "beside")
    assert describe_bounded(setting, {"seed": 4}) == "an integer ≥ 5"


def test_settings_are_listed_with_path_owner_and_default():
    found = {s.path: (s.owner, s.default) for s in settings_of(Whole)}
    assert found["name"] == (Whole, MISSING)
    assert found["part.group_size"] == (Part, 8)
    assert list(found)[:3] == ["name", "part.group_size", "part.top_p"]


def test_the_text_under_a_field_is_its_documentation():
    assert documentation(Part) == {"group_size": "How many; at least two.", "top_p": "In (0, 1]."}


@pytest.mark.parametrize(
    ("cls", "path", "name", "message"),
    [
        (Part, "part", "groupsize", "Nearest: part.group_size (an integer ≥ 2, now 8)."),
        (Part, "part", "Group-Size", "Nearest: part.group_size (an integer ≥ 2, now 8)."),
        (Part, "part", "topp", "Nearest: part.top_p (a number in (0, 1], now 1)."),
        (Whole, "", "group_size", "Nearest: part.group_size (an integer ≥ 2)."),
        (Part, "part", "above", "Nearest: bounded.above (a number > 0)."),
        (Whole, "", "prat", "Nearest: part (a section)."),
        (Whole, "", "nam", "Nearest: name (text)."),
        (Part, "part", "zzzz", "Allowed in part: group_size, top_p."),
        (Whole, "", "zzzz", "Allowed: name, part, bounded."),
    ],
)
def test_an_unknown_key_names_the_setting_that_was_probably_meant(cls, path, name, message):
    dotted = f"{path}.{name}" if path else name
    assert unknown_key(cls, {}, path, name, Whole) == f"{dotted} is not a setting. {message}"


def test_what_stands_there_now_is_told():
    message = unknown_key(Part, {"group_size": 3}, "part", "groupsize")
    assert message.endswith("(an integer ≥ 2, now 3).")


def test_values_are_told_as_one_would_write_them():
    assert [plain(v) for v in (None, True, (1, 2.5), 2e-5, "a")] == [
        "null",
        "true",
        "[1, 2.5]",
        "2e-05",
        "a",
    ]


def test_nothing_is_near_to_another_word():
    assert closest("temperature", ["seed", "steps"]) is None


@pytest.mark.parametrize("seed", [-1, 2**31, 10**30])
def test_a_seed_that_generators_refuse_is_refused(seed):
    with pytest.raises(ValueError, match=rf"nmi_seed must be in \[0, 2\^31\), got {seed}"):
        check_seed(seed, "nmi_seed")
    check_seed(2**31 - 1)
