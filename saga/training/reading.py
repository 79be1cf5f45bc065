"""What was said about all pairs, of which each rank reads its own.

Reading takes microseconds a token on the host; if all ranks read everything, some tens of them would read
for longer than they compute. So a rank reads what it sampled and tells the others which verdicts were
right and which answers could be read. Another rank's answers are read where somebody asks for them, as
the rank does that replays them.

Shapes: P pairs of all ranks, G group size, p pairs of this rank.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import cast, overload

import torch
from torch import Tensor

from saga.supervisors.rollout import Completions
from saga.supervisors.supervisor import Answers, Supervisor, Verdicts
from saga.supervisors.verdict import ParsedAnswer
from saga.training.ranks import Ranks

Group = Sequence[ParsedAnswer | None]


@dataclass(frozen=True, slots=True)
class Reading:
    """Verdicts, and which answers could be read."""

    verdicts: Verdicts
    parsed_PG: Tensor

    def select(self, pairs: Tensor) -> "Reading":
        """Of some pairs, by index."""
        return Reading(self.verdicts.select(pairs), self.parsed_PG[pairs])


class ReadLater(Group):
    """A group's answers, read when one of them is asked for."""

    def __init__(self, read: Callable[[], Group]) -> None:
        """Not read yet."""
        self._read = read

    @cached_property
    def _group(self) -> Group:
        return self._read()

    @overload
    def __getitem__(self, place: int) -> ParsedAnswer | None: ...
    @overload
    def __getitem__(self, place: slice) -> Group: ...
    def __getitem__(self, place: int | slice) -> ParsedAnswer | None | Group:
        return self._group[place]

    def __len__(self) -> int:
        return len(self._group)


def read_own(
    supervisor: Supervisor,
    own: Completions,
    whole: Completions,
    same_P: Sequence[bool],
    mine: list[int],
    ranks: Ranks,
) -> Reading:
    """Read this rank's completions, and learn from the others what came of theirs.

    Args:
        supervisor: reads.
        own: completions of this rank's pairs.
        whole: of all.
        same_P: whether each pair is of one class.
        mine: which pairs are this rank's.
        ranks: tell each other.
    """
    read = supervisor.assess(own, [same_P[p] for p in mine])
    parsed_pG = torch.tensor([[answer is not None for answer in group] for group in read.answers])
    if ranks.world == 1:
        return Reading(read, parsed_pG)
    device, G = whole.lengths_PG.device, whole.lengths_PG.shape[1]
    told_pG2 = torch.stack([read.rewards_PG.view(-1, G), parsed_pG.view(-1, G).float()], -1)
    rewards_PG, parsed_PG = ranks.whole(told_pG2.to(device), mine, len(same_P)).cpu().unbind(-1)
    groups: list[Group] = [
        ReadLater(partial(_group, supervisor, whole, p)) for p in range(len(same_P))
    ]
    for p, group in zip(mine, read.answers, strict=True):
        groups[p] = group
    return Reading(Verdicts(whole, cast(Answers, groups), rewards_PG), parsed_PG.bool())


def _group(supervisor: Supervisor, completions: Completions, pair: int) -> Group:
    chosen = torch.tensor([pair], device=completions.lengths_PG.device)
    return supervisor.read(completions.select(chosen))[0]
