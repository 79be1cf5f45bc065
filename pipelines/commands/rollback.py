"""`saga rollback`: production goes back to what was there before."""

from pipelines.answer import Answer


def main(model: str, to: int | None, reason: str) -> Answer:
    """Go back, or say why not."""
    from pipelines.promotion.going_back import rollback
    from pipelines.promotion.telling import gallery

    done = rollback(model, to, reason=reason)
    move = done.record.move
    name = f"{model}:{move.to_version}"
    if done.already:
        return Answer(done.to_dict(), f"{name} is in production already. Nothing was changed.")
    lines = [
        f"{name} is in production again, instead of {_left(move.from_version)}. Record "
        f"{done.record.number}, by {move.who}; it was live by record {move.evidence['record']}, "
        "and its bytes are the same.",
        *gallery(done, f"{model}:production"),
    ]
    return Answer(done.to_dict(), "\n".join(lines))


def _left(version: int | None) -> str:
    return "nothing" if version is None else f"version {version}"
