"""Places the boxes of a directed graph in columns, for an inline SVG.

A box stands one column to the right of the last thing that it came from; within a column, boxes are
ordered by where their neighbours stand, so that few lines cross. Lines that follow from others are
left out. Sizes in pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 168, 58, 36, 16, 8
LETTERS = 24
"""Of a line in a box; longer ones are cut, and whole in the box's tooltip."""
SWEEPS = 8


@dataclass(frozen=True, slots=True)
class Box:
    """A thing in the graph."""

    id: str
    title: str
    lines: tuple[str, ...] = ()
    """At most two, below the title."""
    kind: str = "artifact"
    """"source", "artifact", "subject" or "use"; sets its colour."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A box and where it stands."""

    box: Box
    x: float
    y: float

    @property
    def texts(self) -> list[tuple[str, float]]:
        """Its lines, cut to fit, with their baselines."""
        texts = (self.box.title, *self.box.lines[:2])
        return [(_cut(text), self.y + 18 + 15 * i) for i, text in enumerate(texts)]

    @property
    def whole(self) -> str:
        """All of its text."""
        return "\n".join((self.box.title, *self.box.lines))


@dataclass(frozen=True, slots=True)
class Drawing:
    """A graph with its places."""

    width: float
    height: float
    boxes: tuple[Placed, ...]
    paths: tuple[str, ...]
    """`d` of each line."""


def drawn(boxes: Sequence[Box], lines: Sequence[tuple[str, str]]) -> Drawing:
    """Place boxes and draw the lines between them.

    Args:
        boxes: with different ids.
        lines: (from, to) by id; a line whose end is no box is left out.

    Raises:
        ValueError: if the lines go in a circle.
    """
    known = {box.id for box in boxes}
    lines = _direct({(a, b) for a, b in lines if a in known and b in known and a != b})
    columns = _columns([box.id for box in boxes], lines)
    tallest = max((len(column) for column in columns), default=1)
    places: dict[str, tuple[float, float]] = {}
    for i, column in enumerate(columns):
        above = (tallest - len(column)) * (HEIGHT + GAP_Y) / 2
        for j, name in enumerate(column):
            places[name] = (MARGIN + i * (WIDTH + GAP_X), MARGIN + above + j * (HEIGHT + GAP_Y))
    return Drawing(
        2 * MARGIN + len(columns) * (WIDTH + GAP_X) - GAP_X,
        2 * MARGIN + tallest * (HEIGHT + GAP_Y) - GAP_Y,
        tuple(Placed(box, *places[box.id]) for box in boxes),
        tuple(_path(places[a], places[b]) for a, b in lines),
    )


def _direct(lines: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Lines without those that a longer way shows already.

    Raises:
        ValueError: if they go in a circle.
    """
    after: dict[str, set[str]] = {}
    for a, b in lines:
        after.setdefault(a, set()).add(b)

    def reached(start: str) -> set[str]:
        found, waiting = set[str](), list(after.get(start, ()))
        while waiting:
            here = waiting.pop()
            if here not in found:
                found.add(here)
                waiting += after.get(here, ())
        return found

    below = {name: reached(name) for name in after}
    if any(name in found for name, found in below.items()):
        raise ValueError("the lines of the graph go in a circle")
    return sorted((a, b) for a, b in lines if not any(b in below.get(c, ()) for c in after[a]))


def _columns(names: Sequence[str], lines: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Names by column, ordered."""
    before = {name: [a for a, b in lines if b == name] for name in names}
    after = {name: [b for a, b in lines if a == name] for name in names}
    depth = _depths(names, before)
    # A source stands right before what first needs it, not far to the left of it.
    for name in names:
        if not before[name] and after[name]:
            depth[name] = min(depth[other] for other in after[name]) - 1
    columns: list[list[str]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for name in names:
        columns[depth[name]].append(name)
    for sweep in range(SWEEPS):
        row = {name: i for column in columns for i, name in enumerate(column)}
        neighbours: Mapping[str, list[str]] = before if sweep % 2 == 0 else after
        for column in columns if sweep % 2 == 0 else reversed(columns):
            column.sort(key=lambda name: _mean([row[n] for n in neighbours[name]], row[name]))
            row |= {name: i for i, name in enumerate(column)}
    return columns


def _depths(names: Sequence[str], before: Mapping[str, list[str]]) -> dict[str, int]:
    """Longest way from a source; the lines go in no circle."""
    depth: dict[str, int] = {}
    deeper = dict.fromkeys(names, 0)
    while deeper != depth:
        depth = deeper
        deeper = {n: max((depth[b] + 1 for b in before[n]), default=0) for n in names}
    return depth


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _path(start: tuple[float, float], end: tuple[float, float]) -> str:
    """A curve from the right side of one box to the left side of another."""
    (x1, y1), (x2, y2) = (start[0] + WIDTH, start[1] + HEIGHT / 2), (end[0], end[1] + HEIGHT / 2)
    bend = (x2 - x1) / 2
    return f"M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LETTERS else f"{line[: LETTERS - 1]}…"
