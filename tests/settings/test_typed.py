from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from saga.errors import UserInputError
from saga.settings.typed import Problems, build, convert


@dataclass(frozen=True, slots=True)
class Inner:
    width: int = 4
    """Width."""
    rate: float = 0.5
    """Rate."""
    kind: Literal["mean", "max"] = "mean"
    """Kind."""

    def __post_init__(self) -> None:
        if self.width < 2:
            raise ValueError(f"width must be at least 2, got {self.width}")


@dataclass(frozen=True, slots=True)
class Outer:
    name: str
    """Name."""
    limit: int | None = None
    """Limit."""
    flag: bool = False
    """Flag."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Two numbers."""
    names: tuple[str, ...] = ()
    """Any number of texts."""
    inner: Inner = field(default_factory=Inner)
    """A section."""
    stages: tuple[Inner, ...] = ()
    """A list of sections."""

    def __post_init__(self) -> None:
        if self.name == "bad":
            raise ValueError("name is bad")
        if self.flag and self.limit is None:
            raise ValueError("outer needs a limit where there is a flag")


def problems_of(raw: dict[str, Any]) -> list[str]:
    problems = Problems("file.yaml", Outer)
    build(Outer, raw, problems)
    return [message for _, message in problems.found]


def test_plain_values_become_the_dataclass_with_defaults_where_nothing_is_said():
    raw = {
        "name": "a",
        "limit": 3,
        "betas": [1, 0.5],
        "names": ["x", "y"],
        "inner": {"width": 8},
        "stages": [{"width": 2}, {"rate": 1}],
    }
    problems = Problems("")
    built = build(Outer, raw, problems)
    assert not problems.found
    assert built == Outer(
        "a", 3, False, (1.0, 0.5), ("x", "y"), Inner(8), (Inner(2), Inner(rate=1.0))
    )
    assert type(built.betas[0]) is float and type(built.stages[1].rate) is float


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"name": 5}, "name must be text; got 5 (an integer); put it in quotes."),
        ({"name": None}, "name must be text; got null."),
        ({"name": True}, "name must be text; got True (true or false); put it in quotes."),
        ({"limit": 1.0}, "limit must be an integer or null; got 1.0 (a number)."),
        ({"limit": True}, "limit must be an integer or null; got True (true or false)."),
        ({"limit": "many"}, "limit must be an integer or null; got 'many' (text)."),
        ({"flag": "yes"}, "flag must be true or false; got 'yes' (text)."),
        ({"flag": 1}, "flag must be true or false; got 1 (an integer)."),
        ({"betas": 0.9}, "betas must be a list of 2 entries, each a number; got 0.9 (a number)."),
        ({"betas": [0.9]}, "betas must be a list of 2 entries, each a number; got [0.9] (a list)."),
        ({"betas": [0.9, "x"]}, "betas must be a number; got 'x' (text)."),
        ({"names": "x"}, "names must be a list, each entry text; got 'x' (text)."),
        ({"inner": 3}, "inner must be a section (key: value lines); got 3 (an integer)."),
        ({"inner": None}, "inner must be a section (key: value lines); got null."),
        ({"inner": []}, "inner must be a section (key: value lines); got [] (a list)."),
        ({"inner": {"rate": float("inf")}}, "inner.rate must be a finite number, got inf."),
        ({"inner": {"rate": float("nan")}}, "inner.rate must be a finite number, got nan."),
        (
            {"inner": {"kind": "maen"}},
            "inner.kind must be one of mean, max; got 'maen' (text). Nearest: mean.",
        ),
        ({"inner": {"kind": 3}}, "inner.kind must be one of mean, max; got 3 (an integer)."),
        ({"inner": {"width": 1}}, "inner.width must be at least 2, got 1."),
        (
            {"inner": {"widht": 9}},
            "inner.widht is not a setting. Nearest: inner.width (an integer ≥ 2, now 4).",
        ),
        ({"stages": {"width": 3}}, "stages must be a list of sections; got "),
        ({"stages": [{}, {"width": 0}]}, "stages[1].width must be at least 2, got 0."),
        ({"stages": [{}, 3]}, "stages[1] must be a section (key: value lines); got 3 (an integer)"),
        ({"stages": [{"kidn": "max"}]}, "stages[0].kidn is not a setting. Nearest: stages[0].kind"),
        ({"name": "bad"}, "name is bad."),
        ({"flag": True}, "outer needs a limit where there is a flag."),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_name(raw, message):
    found = problems_of({"name": "a"} | raw)
    assert len(found) == 1 and found[0].startswith(message)


def test_an_integer_too_large_for_a_number_is_refused():
    found = problems_of({"name": "a", "inner": {"rate": 10**400}})
    shortened = "1" + "0" * 17 + "..." + "0" * 19
    assert found == [f"inner.rate must be a finite number, got {shortened}."]


def test_all_problems_are_found_at_once():
    found = problems_of(
        {"limit": "x", "oops": 1, "inner": {"width": 0}, "stages": [{"rate": "x"}, {"kind": "z"}]}
    )
    assert [message.split(" ")[0] for message in found] == [
        "limit",
        "inner.width",
        "stages[0].rate",
        "stages[1].kind",
        "oops",
        "name",
    ]
    assert found[-1] == "name is missing."


def test_a_message_says_where_each_value_came_from():
    origins = {"inner.width": "--set inner.width=0", "inner.rate": "R"}
    problems = Problems("run.yaml", origins=origins)
    problems.add("inner.width", "inner.width must be at least 2, got 0.")
    problems.add("inner", "inner is wrong.")
    problems.add("name", "name is missing.")
    problems.add("limit", "limit is 3, but inner.rate is 2.")
    problems.add("flag", "flag is on, but inner.rate.x is 2.")
    with pytest.raises(UserInputError) as caught:
        problems.raise_all()
    assert str(caught.value).splitlines() == [
        "--set inner.width=0: inner.width must be at least 2, got 0.",
        "run.yaml with --set inner.width=0 R: inner is wrong.",
        "run.yaml: name is missing.",
        "run.yaml with R: limit is 3, but inner.rate is 2.",
        "run.yaml: flag is on, but inner.rate.x is 2.",
    ]


def test_the_last_override_of_a_setting_is_its_origin():
    problems = Problems("f", origins={"a": "--set a={b: 1}", "a.b": "--set a.b=2"})
    problems.add("a.b", "m")
    problems.add("a[0].c", "m")
    with pytest.raises(UserInputError) as caught:
        problems.raise_all()
    assert str(caught.value) == "--set a.b=2: m\n--set a={b: 1}: m"


def test_a_section_is_touched_by_problems_in_it_and_around_it_alone():
    problems = Problems("")
    problems.add("training.rollout.top_p", "m")
    assert problems.touch("training") and problems.touch("training.rollout")
    assert problems.touch("other", "training.rollout.top_p")
    assert not problems.touch("train") and not problems.touch("training.optimizer")
    problems.add("", "m")
    assert problems.touch("anything")


def test_a_problem_is_noted_once():
    problems = Problems("")
    problems.add("a", "m")
    problems.add("a", "m")
    assert problems.found == [("a", "m")]


def test_true_is_not_one_of_numbered_choices():
    assert convert(Literal[0, 1], 1) == 1
    with pytest.raises(TypeError, match="must be one of 0, 1; got True"):
        convert(Literal[0, 1], True)
