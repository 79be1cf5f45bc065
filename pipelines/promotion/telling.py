"""What people are told about a promotion or rollback."""

from collections.abc import Iterator, Sequence

from pipelines.promotion.moving import Moved
from pipelines.promotion.records import Record

SHOWN = 12
"""Digits of a digest."""
HEAD = ("no.", "at", "what", "stage", "from", "to", "encoder", "evidence", "who")


def short(digest: str | None) -> str:
    """The first digits of a digest."""
    return digest[:SHOWN] if digest else "none"


def gallery(done: Moved, encoder: str) -> Iterator[str]:
    """What has to be done about the vectors that are stored."""
    command = f"saga embed {encoder} GALLERY --output gallery.parquet"
    if done.record.move.from_digest is None:
        yield f"Index the gallery with it: {command}"
    elif done.reindex:
        yield (
            "Re-index the gallery before you switch, because vectors of another encoder cannot be "
            f"compared with these: {command}"
        )
    before, width = done.previous_dim, done.embedding_dim
    if before is not None and before != width:
        yield f"The width of a vector changes from {before} to {width}: so does the index."


def back(model: str, before: int | None) -> Iterator[str]:
    """How to undo it."""
    if before is not None:
        yield f"To go back to version {before}: saga rollback {model}"


def table(records: Sequence[Record]) -> str:
    """A line for each move that came to an end, oldest first; then the reasons and notes."""
    records = [r for r in records if r.phase != "begun" or r is records[-1]]
    rows = [HEAD, *(_row(record) for record in records)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    ]
    for record in records:
        said = "; ".join(filter(None, (record.move.reason, record.note)))
        lines += [f"  record {record.number}: {_plain(said)}"] if said else []
    return "\n".join(lines)


def _row(record: Record) -> tuple[str, ...]:
    move = record.move
    return (
        str(record.number),
        record.at.replace("+00:00", "Z"),
        f"{move.action} {record.phase}",
        move.stage,
        str(move.from_version or "-"),
        str(move.to_version),
        short(move.to_digest),
        _evidence(record),
        _plain(move.who),
    )


def _evidence(record: Record) -> str:
    evidence = record.move.evidence
    if "record" in evidence:
        return f"record {evidence['record']}"
    return f"decision {short(str(evidence.get('decision_digest', '')))}"


def _plain(text: str) -> str:
    """Without characters that a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)
