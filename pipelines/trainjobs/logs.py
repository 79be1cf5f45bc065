"""What the pods of a TrainJob say: all of the first node's, the others' last words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipelines.stacks.cluster import Cluster
from pipelines.stacks.logs import new_lines, tail
from pipelines.trainjobs.pods import Member
from saga.training.processes import PROGRESS, progress_of
from saga.training.trainer import Progress

LAST_LINES = 15


@dataclass
class Logs:
    """Read again and again."""

    cluster: Cluster
    """Where the pods run."""
    _last: dict[str, list[str]] = field(default_factory=dict)
    _over: set[str] = field(default_factory=set)

    def news(self, members: Sequence[Member]) -> Iterator[Progress | str]:
        """Progress and lines of the first node since the last call."""
        for member in members:
            if member.node != 0 or not member.speaks or member.name in self._over:
                continue
            lines = tail(self.cluster, member.name)
            for line in new_lines(self._last.get(member.name, []), lines):
                yield understood(line)
            self._last[member.name] = lines
            if member.phase != "Running":
                self._over.add(member.name)

    def last_words(self, members: Sequence[Member]) -> str:
        """How each node ended and what it said last; those that failed by themselves first."""
        told = []
        for member in sorted(members, key=lambda m: (not m.ended, m.node)):
            if member.speaks:
                lines = [
                    line
                    for line in tail(self.cluster, member.name)
                    if not line.startswith(PROGRESS)
                ]
                how = f" ended with {member.ended}" if member.ended else ""
                told.append(f"node {member.node} ({member.name}){how}; last it said:")
                told += [f"    {line}" for line in lines[-LAST_LINES:]]
        return "\n".join(told)


def understood(line: str) -> Progress | str:
    """A line, as progress where it tells progress."""
    try:
        return progress_of(line) or line
    except (ValueError, TypeError):  # half a line: the log is cut where it is read
        return line
