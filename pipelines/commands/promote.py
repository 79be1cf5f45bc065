"""`saga promote`: a version takes a stage, on its evidence."""

from pipelines.answer import Answer
from pipelines.configuration import gate_policy_path


def main(model: str, version: str, stage: str, policy: str, reason: str) -> Answer:
    """Promote, or say every reason why not."""
    from pipelines.promotion.promoting import promote
    from pipelines.promotion.telling import back, gallery, short
    from saga.gates.policy import GatePolicy

    policy_file = gate_policy_path(policy)
    done = promote(model, version, stage, GatePolicy.load(policy_file), policy_file, reason=reason)
    move = done.record.move
    name = f"{model}:{move.to_version}"
    if done.already:
        text = (
            f"{name} is in {stage} already, on the same evidence, since {done.record.at} "
            f"(record {done.record.number}). Nothing was changed."
        )
        return Answer(done.to_dict(), text)
    before = f"instead of version {move.from_version}" if move.from_version else "the first there"
    lines = [
        f"{name} is in {stage} now, {before}. Record {done.record.number}, by {move.who}.",
        f"Evidence: decision {short(move.evidence['decision_digest'])}, encoder "
        f"{short(move.to_digest)}, dataset {short(move.evidence['dataset_digest'])}, policy "
        f"{short(move.evidence['policy_digest'])}.",
        *gallery(done, f"{model}:{stage}"),
    ]
    if stage == "production":
        lines += back(model, move.from_version)
    return Answer(done.to_dict(), "\n".join(lines))
