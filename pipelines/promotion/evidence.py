"""The evidence for a version: its gate decision, and whether that is about what it holds."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.promotion.signing import signature_problem
from pipelines.registry import CANDIDATE, DECISION, MANIFEST, check_digest, fetched, load_checked
from saga.errors import UserInputError
from saga.files import sha256_file

if TYPE_CHECKING:
    from zenml.models import ArtifactVersionResponse, ModelVersionResponse

    from pipelines.registry import Live
    from saga.gates.decision import GateDecision
    from saga.gates.policy import GatePolicy

SHOWN = 12
"""Digits of a digest in messages."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Digests of the decision and of everything that it judged."""

    decision_digest: str
    encoder_digest: str
    dataset_digest: str
    policy_digest: str
    report_digest: str
    production_digest: str | None
    """Of the encoder in production that the candidate was compared with; None where nothing was."""
    key_digest: str | None = None
    """Of the file of the public key, where the policy requires a signature."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the audit holds them."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a version can show."""

    reasons: tuple[str, ...]
    """Why it must not be promoted, whatever is in production; a sentence each."""
    evidence: Evidence | None = None
    """None where the decision itself is missing or altered."""
    encoder_digest: str = ""
    embedding_dim: int = 0
    """Width E of its vectors."""


def gather(version: "ModelVersionResponse", policy: "GatePolicy", policy_file: Path) -> Gathered:
    """Load encoder, manifest and decision of a version, and compare their digests.

    Args:
        version: the candidate.
        policy: the gates as their file says now.
        policy_file: that file; the public key of a required signature is relative to it.
    """
    reasons: list[str] = []
    names = (CANDIDATE, MANIFEST, DECISION)
    artifacts = {name: version.get_artifact(name) for name in names}
    missing = [name for name, artifact in artifacts.items() if artifact is None]
    if missing:
        return Gathered((f"It holds no {' and no '.join(missing)}: its run did not get that far.",))
    encoder, width = _encoder(version, artifacts[CANDIDATE], policy, policy_file, reasons)
    dataset = _digest(artifacts[MANIFEST], reasons)
    decision: GateDecision | None = _loaded(artifacts[DECISION], reasons)
    if decision is None:
        return Gathered(tuple(reasons), None, encoder, width)
    reasons += _mismatches(decision, encoder, dataset, policy, policy_file)
    production = decision.references.get("production")
    key = policy.signature and policy_file.parent / policy.signature.public_key
    evidence = Evidence(
        decision_digest=decision.digest,
        encoder_digest=decision.encoder_digest,
        dataset_digest=decision.dataset_digest,
        policy_digest=decision.policy_digest,
        report_digest=decision.report_digest,
        production_digest=None if production is None else production.encoder_digest,
        key_digest=sha256_file(key) if key and key.is_file() else None,
    )
    return Gathered(tuple(reasons), evidence, encoder, width)


def outdated(evidence: Evidence, now: "Live | None") -> str:
    """Why evidence does not fit what is in production now, or nothing."""
    judged = evidence.production_digest
    if judged == (now.digest if now else None):
        return ""
    against = f"compared with the encoder {judged[:SHOWN]}" if judged else "not compared with any"
    there = f"version {now.version} ({now.digest[:SHOWN]})" if now else "nothing"
    return (
        f"The evidence is outdated: the candidate was {against} in production, and {there} is in "
        "production now. Judge it again with `saga run`, which compares with what is there."
    )


def _encoder(
    version: "ModelVersionResponse",
    artifact: Any,
    policy: "GatePolicy",
    policy_file: Path,
    reasons: list[str],
) -> tuple[str, int]:
    """Digest and width of the encoder whose very files were checked; empty where they are wrong."""
    from saga.encoders.retriever import Retriever

    try:
        with fetched(artifact) as folder:
            encoder = Retriever.load(folder)
            check_digest(artifact, encoder.digest)
            if policy.signature is not None:
                key = policy_file.parent / policy.signature.public_key
                problem = signature_problem(version, encoder.digest, folder, key)
                reasons += [problem] if problem else []
            return encoder.digest, encoder.embedding_dim
    except (UserInputError, OSError) as error:
        reasons.append(str(error))
        return "", 0


def _digest(artifact: "ArtifactVersionResponse | None", reasons: list[str]) -> str:
    loaded = _loaded(artifact, reasons)
    return "" if loaded is None else str(loaded.digest)


def _loaded(artifact: Any, reasons: list[str]) -> Any:
    """The checked value, or None with the reason added."""
    try:
        return load_checked(artifact)
    except (UserInputError, OSError) as error:
        reasons.append(str(error))
        return None


def _mismatches(
    decision: "GateDecision", encoder: str, dataset: str, policy: "GatePolicy", policy_file: Path
) -> list[str]:
    """Where the decision says no, or is about something else than what could be read."""
    found = []
    if not decision.passed:
        found.append(f"The gates said {decision.status}: {decision.reason}")
    if encoder and decision.encoder_digest != encoder:
        found.append(
            f"The decision is about the encoder {decision.encoder_digest[:SHOWN]}, and the version "
            f"holds {encoder[:SHOWN]}: it is evidence for other bytes."
        )
    if dataset and decision.dataset_digest != dataset:
        found.append(
            f"The decision was made on the dataset {decision.dataset_digest[:SHOWN]}, and the "
            f"version holds the manifest of {dataset[:SHOWN]}."
        )
    if decision.policy_digest != policy.digest:
        found.append(
            f"The decision was made under the policy {decision.policy} as "
            f"{decision.policy_digest[:SHOWN]}; {policy_file} is {policy.digest[:SHOWN]} now: it "
            "was edited, or is another one. Judge again with `saga run`, or name the right one "
            "with --policy."
        )
    return found
