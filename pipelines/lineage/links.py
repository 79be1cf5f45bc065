"""What artifacts say of each other: each digest that one holds must be one of what it came from."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.lineage.contents import SHOWN, Contents
from pipelines.lineage.finding import Finding
from pipelines.lineage.trace import Kept, Trace
from saga.errors import UserInputError
from saga.files import digest_of

MANIFEST, PAIRS, ENCODER, REPORT = "DatasetManifest", "PairSet", "Retriever", "RetrievalReport"
EVIDENCE = ""
"""Of any kind."""
SPOKEN = {
    MANIFEST: "manifest",
    PAIRS: "pair set",
    ENCODER: "encoder",
    REPORT: "retrieval report",
    EVIDENCE: "evidence",
}
NAMED = {
    "manifest_digest": MANIFEST,
    "dataset_digest": MANIFEST,
    "encoder_digest": ENCODER,
    "report_digest": REPORT,
}
"""Attributes of our types that hold the digest of what an artifact came from."""
BOUND = ("code", "supervisor_files", "prompt")
"""Digests that a training step is given and its encoder keeps."""


def check_links(trace: Trace, contents: Mapping[str, Contents]) -> list[Finding]:
    """Every link of the chain of digests; one finding for each artifact that has any."""
    findings = []
    for key, kept in trace.kept.items():
        value = contents[key].value
        if value is None:
            continue
        claims = list(_claims(value))
        wrong = [w for kind, said in claims if (w := _broken(trace, kept, kind, said, contents))]
        if kept.kind == ENCODER:
            wrong += _wrong_parameters(trace, kept, value)
        if kept.kind == "GateDecision":
            wrong += _wrong_policy(trace, value)
        findings += [Finding(f"{key} → {what}", "altered", text) for what, text in wrong]
        if claims and not wrong:
            kinds = ", ".join(dict.fromkeys(SPOKEN[kind] for kind, _ in claims))
            detail = "the digests that it holds are those of what it came from"
            findings.append(Finding(f"{key} → {kinds}", "ok", detail))
    return [*findings, *_subject(trace, contents), *_policy_read(trace, contents)]


def _claims(value: Any) -> Iterator[tuple[str, str]]:
    """Kinds and digests that an artifact names as its sources."""
    for name, kind in NAMED.items():
        if getattr(value, name, None):
            yield kind, str(getattr(value, name))
    made = getattr(value, "provenance", {})
    for name, kind in (("manifest", MANIFEST), ("pairs", PAIRS)):
        if name in made:
            yield kind, str(made[name])
    for reference in dict(getattr(value, "references", {})).values():
        yield ENCODER, reference.encoder_digest
        yield REPORT, reference.report_digest
    for digest in dict(getattr(value, "evidence", {})).values():
        yield EVIDENCE, str(digest)


def _broken(
    trace: Trace, kept: Kept, kind: str, said: str, contents: Mapping[str, Contents]
) -> tuple[str, str] | None:
    """The link and what is wrong with it, or None."""
    of_kind = trace.nearest(kept, kind) if kind else trace.ancestors(kept).values()
    found = {source.key: contents[source.key].digest for source in of_kind}
    if said in found.values() or not kept.step:  # what another run made has its sources there
        return None
    there = ", ".join(f"{key} is {digest[:SHOWN]}" for key, digest in found.items())
    return SPOKEN[kind], f"it names the {SPOKEN[kind]} {said[:SHOWN]}; {there or 'there is none'}."


def _wrong_parameters(trace: Trace, kept: Kept, encoder: Any) -> list[tuple[str, str]]:
    """An encoder against what its step was given."""
    given, made = trace.parameters(kept.step), encoder.provenance
    expected = {n: v for n, v in dict(given.get("bound") or {}).items() if n in BOUND and n in made}
    arm = given.get("arm")
    if isinstance(arm, dict) and "config" in made:
        expected["config"] = digest_of(arm)
    wrong = [
        (name, f"it was made with {str(made[name])[:SHOWN]}; its step says {str(value)[:SHOWN]}.")
        for name, value in expected.items()
        if made[name] != value
    ]
    if kept.key == trace.encoder.key and isinstance(arm, dict):
        sections = ("supervisor", "encoder", "training")
        odd = [name for name in sections if trace.settings.get(name) != arm.get(name)]
        text = "the run's configuration differs from what the training step was given."
        wrong += [(f"settings.{name}", text) for name in odd]
    return wrong


def _wrong_policy(trace: Trace, decision: Any) -> list[tuple[str, str]]:
    policy = _policy_digest(trace)
    if policy in (None, decision.policy_digest):
        return []
    text = (
        f"it was made under {decision.policy_digest[:SHOWN]}; the run says {str(policy)[:SHOWN]}."
    )
    return [("policy", text)]


def _policy_digest(trace: Trace) -> str | None:
    """Of the policy that the run was given; None where this version cannot read it."""
    from saga.gates.policy import GatePolicy

    policy = trace.given.get("policy")
    try:
        return GatePolicy.from_dict(policy).digest if isinstance(policy, dict) else None
    except UserInputError:
        return None


def _policy_read(trace: Trace, contents: Mapping[str, Contents]) -> list[Finding]:
    decided = any(contents[kept.key].value is not None for kept in trace.of_kind("GateDecision"))
    if not decided or _policy_digest(trace) is not None:
        return []
    return [Finding("policy", "unchecked", "this version of saga cannot read the run's policy.")]


def _subject(trace: Trace, contents: Mapping[str, Contents]) -> list[Finding]:
    """The decision of this run is about this encoder."""
    digest = contents[trace.encoder.key].digest if trace.encoder.key in contents else ""
    decisions = [(k.key, contents[k.key].value) for k in trace.of_kind("GateDecision")]
    return [
        Finding(
            f"{key} → encoder",
            "altered",
            f"it judged {value.encoder_digest[:SHOWN]}, not "
            f"{trace.encoder.key}, which is {digest[:SHOWN]}.",
        )
        for key, value in decisions
        if value is not None and value.encoder_digest != digest
    ]
