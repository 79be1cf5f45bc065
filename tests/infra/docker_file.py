"""A Dockerfile, read: stages and their instructions."""

from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "infra" / "docker"
DOCKERFILE = FOLDER / "Dockerfile"
IGNORED = FOLDER / "Dockerfile.dockerignore"


@dataclass(frozen=True)
class Instruction:
    """One instruction, on one line."""

    word: str
    text: str
    """All that follows the word."""


@dataclass(frozen=True)
class Stage:
    """What stands between one FROM and the next."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def all(self, word: str) -> list[str]:
        """Texts of the instructions of a kind, in order."""
        return [found.text for found in self.instructions if found.word == word]


def instructions() -> list[Instruction]:
    """All of the file's, comments left out and continued lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    parted = [line.split(maxsplit=1) for line in joined if line.strip()]
    return [Instruction(word.upper(), " ".join(text.split())) for word, text in parted]


def stages() -> dict[str, Stage]:
    """The file's stages by name."""
    read = instructions()
    starts = [n for n, found in enumerate(read) if found.word == "FROM"]
    made = {}
    for start, end in zip(starts, [*starts[1:], len(read)]):
        base, _, name = read[start].text.partition(" AS ")
        made[name] = Stage(name, base, tuple(read[start + 1 : end]))
    return made
