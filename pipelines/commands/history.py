"""`saga history`: the audit of a model, checked against itself and the database."""

from pipelines.answer import REFUSED, Answer


def main(model: str) -> Answer:
    """Every record; what is wrong with them, if anything."""
    from pipelines.promotion.audit import Audit
    from pipelines.promotion.opening import opened
    from pipelines.promotion.standing import disagreements, holders
    from pipelines.promotion.telling import table
    from pipelines.registry import existing_model
    from saga.errors import RefusedError

    found = existing_model(model)
    try:
        with opened(found) as audit:
            records = audit.records()
            problems = disagreements(found, records)
    except RefusedError as error:
        reading = Audit(found).examine()
        records, problems = list(reading.records), [reading.problem or str(error)]
    stages = {stage: record.move.to_version for stage, record in holders(records).items()}
    facts = {
        "model": model,
        "stages": stages,
        "records": [record.to_dict() for record in records],
        "problems": problems,
        "message": " ".join(problems),
    }
    lines = [table(records)] if records else [f"{model}: nothing was promoted yet."]
    if problems:
        lines += ["", "The audit is not to be trusted:", *(f"- {p}" for p in problems)]
    elif records:
        whole = f"All {len(records)} records follow one another, and the database agrees."
        lines += ["", whole, *(f"In {s}: version {v}." for s, v in sorted(stages.items()))]
    return Answer(facts, "\n".join(lines), REFUSED if problems else 0)
