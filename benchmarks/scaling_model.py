"""Seconds that a rank takes for its part of a step, and those in which data travel, from arithmetic.

Computing goes at the speed of benchmarks/floor.py's device, times a slowdown. At the floor itself the
network weighs most: whatever computes more slowly hides it better. Data travel in rings, 2(R−1)/R times
what is handed over, at the full speed of the narrowest link.

Shapes: P pairs, G group size, T generated tokens, R ranks, B images, E embedding width.
"""

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.floor import H200, Device, Language, Tower, Work, _scores, floor_seconds

FORWARD = 1 / 3
"""Of a trained tower's arithmetic."""
LOSS_FLOPS = 6
"""A pair of images and a number of their embeddings: the product and its two gradients."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Machines of eight H200, each with a network card of its own.

    From NVIDIA's data sheets of H200 and DGX H200.
    """

    device: Device = H200
    memory_bytes: float = 141e9
    """Of one GPU."""
    node: int = 8
    """GPUs of one machine."""
    within: float = 450e9
    """Bytes a second out of each GPU, of NVLink's 900 GB/s both ways."""
    across: float = 8 * 50e9
    """Bytes a second out of each machine: eight times 400 Gbit/s, all of which a ring of rings uses."""
    latency: float = 2e-5
    """Seconds of an exchange of nothing, for each doubling of the ranks; an assumption."""

    def exchange_seconds(self, given: float, exchanges: int, ranks: int) -> float:
        """For so many bytes in so many exchanges."""
        if ranks == 1:
            return 0.0
        speed = self.within if ranks <= self.node else self.across
        moved = 2 * (ranks - 1) / ranks * given
        return moved / speed + exchanges * self.latency * math.log2(ranks)


@dataclass(frozen=True, slots=True)
class Model:
    """What a step computes on one rank."""

    language: Language
    tower: Tower
    cluster: Cluster
    prompt: int
    """Tokens."""
    image_size: int
    """Pixels."""
    read_seconds: float
    """The host's, to read a token of a completion."""
    slowdown: float = 1.0
    """Seconds of computing over the floor's."""

    def tower_seconds(self, images: int) -> float:
        """Forward and backward."""
        work = Work(self.prompt, [], images, self.image_size)
        return self._floor(work)["tower"]

    def rollout_seconds(self, lengths_PG: np.ndarray) -> float:
        """Prefill, decoding and reading of one decode batch."""
        if not len(lengths_PG):
            return 0.0
        nothing = np.ones((len(lengths_PG), 1), int)  # no token behind the prefill's
        prefill = self._floor(Work(self.prompt, nothing.tolist(), 0, self.image_size, []))
        decode = decode_seconds(self.language, self.prompt, lengths_PG, self.cluster.device)
        read = self.read_seconds * float(lengths_PG.sum())
        return prefill["prefill"] + self.slowdown * decode + read

    def loss_seconds(self, images: int, width: int) -> float:
        """The metric loss of one batch, which every rank computes whole."""
        flops = LOSS_FLOPS * images**2 * width
        return self.slowdown * flops / self.cluster.device.flops

    def replay_seconds(self, lengths_PG: np.ndarray) -> float:
        """Forward and backward of some pairs' completions."""
        work = Work(self.prompt, [], 0, self.image_size, lengths_PG.tolist())
        return self._floor(work)["replay"]

    def _floor(self, work: Work) -> dict[str, float]:
        found = floor_seconds(self.language, self.tower, work, self.cluster.device)
        return {part: self.slowdown * seconds for part, seconds in found.items()}


def decode_seconds(
    language: Language, prompt: int, lengths_PG: np.ndarray, device: Device
) -> float:
    """As the floor has it, all token steps at once."""
    longest = int(lengths_PG.max())
    done_T = np.arange(1, longest)
    rows_T = _longer(lengths_PG.ravel(), longest)
    prompts_T = _longer(lengths_PG.max(1), longest)
    cached_T = rows_T * done_T + prompts_T * prompt
    read_T = language.weights * language.bytes_each + cached_T * language.cache_bytes
    flops_T = 2 * rows_T * language.weights + _scores(language, rows_T * (prompt + done_T))
    return float(np.maximum(read_T / device.bytes_per_second, flops_T / device.flops).sum())


def _longer(lengths: np.ndarray, longest: int) -> np.ndarray:
    """How many are longer than 1, 2, … longest − 1."""
    return np.cumsum(np.bincount(lengths, minlength=longest + 1)[::-1])[::-1][2:]
