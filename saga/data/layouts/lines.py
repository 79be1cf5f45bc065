"""A strict reader of annotation files: one record a line, fields apart by spaces, nothing guessed.

Whatever is wrong is told with file and line. A list that is cut off, or that names an image twice,
would otherwise become another dataset in silence.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from saga.errors import UserInputError

MAX_BYTES = 64 << 20
SHOWN = 80
INTEGER = re.compile(r"[0-9]{1,9}")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Line:
    """One record of an annotation file."""

    file: Path
    number: int
    """From 1."""
    fields: tuple[str, ...]

    @property
    def place(self) -> str:
        """File and line, as messages name them."""
        return f"{self.file}, line {self.number}"

    def wrong(self, problem: str) -> UserInputError:
        """The error of this line."""
        return UserInputError(f"{self.place}: {problem}")

    def integer(self, field: int = 0) -> int:
        """A whole number without sign."""
        text = self.fields[field]
        if not INTEGER.fullmatch(text):
            raise self.wrong(f"expected a whole number, got {text[:SHOWN]!r}.")
        return int(text)

    def number_at(self, field: int) -> float:
        """A finite number."""
        text = self.fields[field]
        if not NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            raise self.wrong(f"expected a number, got {text[:SHOWN]!r}.")
        return float(text)

    def path(self, field: int) -> str:
        """A path below the dataset's folder."""
        try:
            return safe_path(self.fields[field])
        except ValueError as error:
            raise self.wrong(f"{error}.") from error


def read_lines(path: Path, *names: str) -> list[Line]:
    """All lines of a file; the last field takes the rest of its line, spaces included.

    Args:
        path: UTF-8 text.
        names: what the fields are, for messages.

    Raises:
        UserInputError: if the file is unreadable, too large, empty, or a line has too few fields.
    """
    lines = []
    for number, text in enumerate(_texts(path), start=1):
        line = Line(path, number, tuple(text.strip(" \t").split(None, len(names) - 1)))
        if len(line.fields) != len(names) or any(not c.isprintable() for c in text if c != "\t"):
            form = " ".join(f"<{name}>" for name in names)
            raise line.wrong(f"expected {form}, got {text[:SHOWN]!r}.")
        lines.append(line)
    if not lines:
        raise UserInputError(f"{path} is empty.")
    return lines


def keyed(lines: list[Line], key: Callable[[Line], Key], what: str) -> dict[Key, Line]:
    """Lines by their key, which may stand once.

    Raises:
        UserInputError: naming both lines of a key that stands twice.
    """
    found: dict[Key, Line] = {}
    for line in lines:
        first = found.setdefault(key(line), line)
        if first is not line:
            raise line.wrong(
                f"the {what} {key(line)} was given in line {first.number} already. Remove one."
            )
    return found


def check_same_keys(one: Mapping[Any, Line], other: Mapping[Any, Line], what: str) -> None:
    """Refuse two files of which one lists something that the other lacks.

    Raises:
        UserInputError: naming the first such line and the file that lacks it.
    """
    for here, there in ((one, other), (other, one)):
        missing = next((key for key in here if key not in there), None)
        if missing is not None:
            lacking = next(iter(there.values())).file
            raise here[missing].wrong(
                f"the {what} {missing} has no line in {lacking.name}. The two files must list the "
                "same ones; is one of them cut off?"
            )


def safe_path(text: str) -> str:
    """A relative POSIX path that stays below where it starts.

    Raises:
        ValueError: if it is absolute, goes up, is empty, or is no clean text.
    """
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\\" in text or path == PurePosixPath("."):
        raise ValueError(
            f"{text[:SHOWN]!r} is no path below the dataset's folder. Only files below it are read"
        )
    if not text.isprintable():
        raise ValueError(
            f"{text[:SHOWN]!r} holds characters that cannot be printed. Rename the file"
        )
    return path.as_posix()


def _texts(path: Path) -> list[str]:
    """The lines' texts; empty lines at the end do not count."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserInputError(
                f"{path} has {path.stat().st_size:,} bytes; an annotation file has at most "
                f"{MAX_BYTES:,}."
            )
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserInputError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UserInputError(f"{path}, line {line}: not UTF-8 text.") from error
    return text.rstrip("\n").split("\n") if text.strip("\n") else []
