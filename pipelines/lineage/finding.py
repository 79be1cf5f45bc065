"""One thing that was checked."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "altered", "unchecked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, and what came of it."""

    what: str
    """The artifact ("pairs:3"), a file of it ("pairs:3/content/pairs.parquet"), or the link."""
    state: State
    detail: str
    """In words: what was compared; or what differs; or why it could not be looked at."""

    def to_dict(self) -> dict[str, str]:
        """Plain values."""
        return {"what": self.what, "state": self.state, "detail": self.detail}
