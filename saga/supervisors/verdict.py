"""Reads the supervisor's answer: one well-formed JSON object of the prompt's form, or nothing.

The reward hangs on this, so it is strict: exactly the prompt's keys, each once, every attribute
with a short value, the verdict exactly "yes" or "no". Around the object only white space and one
code fence (```json … ```) are allowed. The order of the keys is not checked: JSON objects have
none.

The scanner is driven by the form. It knows at each place whether an object, a list of strings or a
string must follow and reads nothing else, so there is no recursion to exhaust, and NaN, numbers and
nested values cannot occur. It keeps where each value stands in the text: attention alignment needs
the tokens there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from json.decoder import scanstring  # type: ignore[attr-defined]

from saga.supervisors.prompts import (
    CONFIDENCE,
    CONFIDENCES,
    DIFFERENCES,
    REASONING,
    VERDICTS,
    Prompt,
)

MAX_CHARS = 20_000
"""Longest completion that is looked at; 1,024 tokens are some 4,000 characters."""
MAX_VALUE_CHARS = 80
"""Longest attribute value."""

Span = tuple[int, int]
"""Start and end, in characters of the completion, without the quotes."""

_SPACE = re.compile(r"[ \t\r\n]*")
_FENCE = re.compile(r"```(?:json)?(?=[ \t\r\n{])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """A well-formed answer; descriptions are empty for a prompt without attributes."""

    same: bool
    """The verdict."""
    verdict_span: Span
    """Where "yes" or "no" stands."""
    attributes_a: dict[str, str] = field(default_factory=dict)
    """Value of each attribute of the first image, in the prompt's order."""
    attributes_b: dict[str, str] = field(default_factory=dict)
    """The same for the second image."""
    value_spans_a: tuple[Span, ...] = ()
    """Where those values stand, in the prompt's order of attributes; never empty spans."""
    value_spans_b: tuple[Span, ...] = ()
    """The same for the second image."""
    differences: tuple[str, ...] = ()
    """Differences named, if the prompt asks for them."""
    confidence: str | None = None
    """"high", "medium" or "low", if asked for."""
    reasoning: str | None = None
    """If asked for."""


def parse_answer(prompt: Prompt, completion: str) -> ParsedAnswer | None:
    """The answer in a completion, or None if it is not exactly of the prompt's form. Never raises.

    Args:
        prompt: says which keys and attributes there must be.
        completion: the generated text without its end token.
    """
    if len(completion) > MAX_CHARS:
        return None
    try:
        return _read(prompt, _Scanner(completion))
    except ValueError:
        return None


class _Scanner:
    """A position in a text that moves over JSON tokens; ValueError at anything unexpected."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def accept(self, literal: str) -> bool:
        """Move over white space and a literal, if it follows."""
        self.space()
        found = self.text.startswith(literal, self.at)
        self.at += len(literal) * found
        return found

    def expect(self, literal: str) -> None:
        if not self.accept(literal):
            raise ValueError(f"{literal} expected at {self.at}")

    def space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        assert match is not None
        self.at = match.end()

    def fence(self) -> bool:
        """Move over the opening of a code fence, if there is one."""
        self.space()
        match = _FENCE.match(self.text, self.at)
        if match:
            self.at = match.end()
        return match is not None

    def end(self) -> None:
        self.space()
        if self.at != len(self.text):
            raise ValueError(f"text goes on at {self.at}")

    def string(self) -> tuple[str, Span]:
        """A string's value and where it stands; refuses control characters and half surrogates."""
        self.expect('"')
        start = self.at
        value, self.at = scanstring(self.text, start, True)
        value.encode()  # UnicodeEncodeError, a ValueError, for what no file could hold
        return value, (start, self.at - 1)

    def read_keys(self) -> Iterator[str]:
        """The keys of an object; the caller reads each value before it asks for the next key."""
        seen: set[str] = set()
        self.expect("{")
        if self.accept("}"):
            return
        while True:
            key, _ = self.string()
            if key in seen:
                raise ValueError(f"{key} twice")
            seen.add(key)
            self.expect(":")
            yield key
            if self.accept("}"):
                return
            self.expect(",")

    def strings(self) -> tuple[str, ...]:
        """A list of strings."""
        self.expect("[")
        if self.accept("]"):
            return ()
        values = [self.string()[0]]
        while not self.accept("]"):
            self.expect(",")
            values.append(self.string()[0])
        return tuple(values)

    def choice(self, allowed: tuple[str, ...]) -> tuple[str, Span]:
        """One of some strings."""
        value, span = self.string()
        if value not in allowed:
            raise ValueError(f"{value} is none of {allowed}")
        return value, span


def _read(prompt: Prompt, scanner: _Scanner) -> ParsedAnswer:
    fenced = scanner.fence()
    descriptions: dict[str, dict[str, tuple[str, Span]]] = {}
    verdict: tuple[str, Span] | None = None
    differences: tuple[str, ...] = ()
    confidence = reasoning = None
    seen = set()
    for key in scanner.read_keys():
        if key not in prompt.schema_keys:
            raise ValueError(f"{key} is not asked for")
        seen.add(key)
        if key in prompt.item_keys:
            descriptions[key] = _description(prompt, scanner)
        elif key == DIFFERENCES:
            differences = scanner.strings()
        elif key == CONFIDENCE:
            confidence = scanner.choice(CONFIDENCES)[0]
        elif key == REASONING:
            reasoning = scanner.string()[0]
        else:
            verdict = scanner.choice(VERDICTS)
    if fenced:
        scanner.expect("```")
    scanner.end()
    if verdict is None or len(seen) != len(prompt.schema_keys):
        raise ValueError("a key is missing")
    first, second = (descriptions.get(key, {}) for key in prompt.item_keys)
    return ParsedAnswer(
        same=verdict[0] == "yes",
        verdict_span=verdict[1],
        attributes_a={name: value for name, (value, _) in first.items()},
        attributes_b={name: value for name, (value, _) in second.items()},
        value_spans_a=tuple(span for _, span in first.values()),
        value_spans_b=tuple(span for _, span in second.values()),
        differences=differences,
        confidence=confidence,
        reasoning=reasoning,
    )


def _description(prompt: Prompt, scanner: _Scanner) -> dict[str, tuple[str, Span]]:
    """Value and place of every attribute of one image, in the prompt's order."""
    found = {}
    for name in scanner.read_keys():
        value, span = scanner.string()
        if name not in prompt.attributes:
            raise ValueError(f"{name} is not an attribute")
        if not value.strip() or len(value) > MAX_VALUE_CHARS or not value.isprintable():
            raise ValueError(f"{name} has no short value")
        found[name] = (value, span)
    if len(found) != len(prompt.attributes):
        raise ValueError("an attribute is missing")
    return {name: found[name] for name in prompt.attributes}
