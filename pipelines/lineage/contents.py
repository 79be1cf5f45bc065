"""An artifact against what was recorded of it: its files, its value, its metadata."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.lineage.digests import stored_digests
from pipelines.lineage.finding import Finding
from pipelines.lineage.opening import ForeignError, is_ours, opened
from pipelines.lineage.recording import FILES
from pipelines.lineage.trace import Kept
from saga.errors import UserInputError

SHOWN = 12
"""Digits of a digest in messages."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What an artifact really holds."""

    digest: str
    """Recomputed; where it cannot be read, as it was recorded."""
    value: Any = None
    """None where it cannot be read, or is not of our types."""


def check_contents(kept: Kept) -> tuple[Contents, list[Finding]]:
    """Read an artifact and compare; at least one finding."""
    files, same_bytes = _files(kept)
    if not is_ours(kept):
        return Contents(kept.digest), files or [_unrecorded(kept)]
    try:
        value, reader = opened(kept)
    except ForeignError as error:
        return Contents(kept.digest), [*files, Finding(kept.key, "altered", f"{error}.")]
    except Exception as error:  # noqa: BLE001 - an altered file may make a library raise anything
        return Contents(kept.digest), [*files, _unreadable(kept, error, same_bytes)]
    wrong = list(_differences(kept, value.digest, reader.extract_metadata(value)))
    findings = files + [Finding(kept.key, "altered", text) for text in wrong]
    if not findings:
        covered = "its files and content are" if same_bytes else "its content is"
        note = "" if same_bytes else " (its run recorded no digests of files)"
        findings = [Finding(kept.key, "ok", f"{covered} as recorded{note}")]
    return Contents(value.digest, value), findings


def _files(kept: Kept) -> tuple[list[Finding], bool]:
    """Files that differ, and whether all are known to be the same."""
    recorded = kept.facts.get(FILES)
    if not isinstance(recorded, dict):
        return [], False
    try:
        found = stored_digests(kept.response)
    except (OSError, ValueError) as error:
        return [Finding(kept.key, "altered", f"its files cannot be read: {error}.")], False
    wrong = [Finding(f"{kept.key}/{n}", "altered", why) for n, why in compared(recorded, found)]
    if not is_ours(kept) and not wrong:
        return [Finding(kept.key, "ok", "its files are as recorded")], True
    return wrong, not wrong


def compared(recorded: dict[str, str], found: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Files that are missing, were added or hold something else, with a sentence each."""
    for name in sorted(recorded.keys() | found.keys()):
        was, now = recorded.get(name), found.get(name)
        if now is None:
            yield name, "the file is missing."
        elif was is None:
            yield name, "the file was added."
        elif was != now:
            yield name, f"its SHA-256 is {now[:SHOWN]}, recorded was {was[:SHOWN]}."


def _differences(kept: Kept, digest: str, facts: dict[str, Any]) -> Iterator[str]:
    recorded = {"metadata": kept.facts.get("digest"), "content hash": kept.response.content_hash}
    for where, was in recorded.items():
        if was != digest:
            yield f"its digest is {digest[:SHOWN]}; the {where} in the database says {_short(was)}."
    for name, value in facts.items():
        was = kept.facts.get(name)
        if name != "digest" and name in kept.facts and _plain(value) != _plain(was):
            yield f"its metadata {name} says {_short(was)}, and the artifact says {_short(value)}."


def _unreadable(kept: Kept, error: Exception, same_bytes: bool) -> Finding:
    if same_bytes:
        return Finding(
            kept.key,
            "unchecked",
            f"its files are as recorded, but this version of saga cannot read them: {error}",
        )
    if isinstance(error, (UserInputError, OSError)):
        return Finding(kept.key, "altered", str(error))
    return Finding(kept.key, "altered", f"it cannot be read: {type(error).__name__}: {error}.")


def _unrecorded(kept: Kept) -> Finding:
    why = f"a {kept.kind} has no digest of its own, and its run recorded none of its files"
    return Finding(kept.key, "unchecked", f"{why}.")


def _plain(value: Any) -> Any:
    """As the database would give it back."""
    return json.loads(json.dumps(value, sort_keys=True, default=str))


def _short(value: Any) -> str:
    text = str(value)
    return text[:SHOWN] if len(text) == 64 else text[:80]
