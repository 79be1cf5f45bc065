"""What lies outside the database: the run's folder, the supervisor, the images, the audit."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from pipelines.lineage.contents import SHOWN, Contents, compared
from pipelines.lineage.facts import provenance
from pipelines.lineage.finding import Finding
from pipelines.lineage.recorded import RUNS, SUMMARY, read_summary
from pipelines.lineage.recording import RUN_FACTS
from pipelines.lineage.trace import Trace
from saga.errors import RefusedError, UserInputError
from saga.files import file_digests, sha256_file

NAMED = 10
"""At most so many images are named."""


def check_run_folder(trace: Trace) -> list[Finding]:
    """runs/<run id>: its files where they were recorded, else what its summary says."""
    folder = RUNS / trace.run.name
    if not folder.is_dir():
        text = f"there is no {folder} in the folder that you are in."
        return [Finding(f"{folder}", "unchecked", text)]
    facts = trace.run.run_metadata.get(RUN_FACTS)
    recorded = facts.get("files") if isinstance(facts, dict) else None
    wrong = []
    if isinstance(recorded, dict) and recorded:
        try:
            found = file_digests(folder)
        except UserInputError as error:
            return [Finding(f"{folder}", "altered", str(error))]
        wrong = [Finding(f"{folder / n}", "altered", why) for n, why in compared(recorded, found)]
    wrong = wrong or [
        Finding(f"{folder / SUMMARY}", "altered", text) for text in _summary_problems(trace)
    ]
    return wrong or [Finding(f"{folder}", "ok", "its files say what the database says")]


def _summary_problems(trace: Trace) -> list[str]:
    summary = read_summary(RUNS / trace.run.name / SUMMARY, trace.run.name)
    if not summary:
        return ["it is not the summary of this run."]
    said = summary.get("artifacts")
    digests = {
        kept.response.name: kept.digest or kept.response.content_hash
        for kept in trace.kept.values()
        if kept.step
    }
    return [
        f"it gives {name} the digest {str(facts.get('digest'))[:SHOWN]}; recorded was "
        f"{str(digests[name])[:SHOWN]}."
        for name, facts in (said.items() if isinstance(said, dict) else ())
        if name in digests and isinstance(facts, dict) and facts.get("digest") != digests[name]
    ]


def check_supervisor(trace: Trace) -> list[Finding]:
    """The supervisor's files, where they are at hand."""
    from saga.supervisors.configuration import SupervisorConfig
    from saga.supervisors.source import supervisor_digest

    section = trace.settings.get("supervisor")
    made = provenance(trace.encoder.facts).get("supervisor_files")
    if not isinstance(section, dict) or made is None:
        return [Finding("supervisor", "unchecked", "the encoder does not say which it was.")]
    name = str(section.get("model"))
    known = {field.name for field in fields(SupervisorConfig)}
    try:
        config = SupervisorConfig(**{k: v for k, v in section.items() if k in known})
        now = supervisor_digest(config)
    except (UserInputError, OSError, ValueError, TypeError) as error:
        return [Finding("supervisor", "unchecked", f"{name} is not at hand: {error}")]
    if now == made:
        return [Finding("supervisor", "ok", f"{name} has the digest that the encoder names")]
    text = f"{name} is {now[:SHOWN]} now; the encoder was made with {made[:SHOWN]}."
    if name == "embedded":
        return [Finding("supervisor", "unchecked", f"{text} It came with another version of saga.")]
    return [Finding("supervisor", "altered", text)]


def check_images(
    trace: Trace,
    contents: Mapping[str, Contents],
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Every image against the manifest that the encoder was made from."""
    kept = trace.source("DatasetManifest")
    manifest = contents[kept.key].value if kept is not None else None
    if manifest is None:
        return [Finding("images", "unchecked", "the manifest cannot be read.")]
    if not manifest.root.is_dir():
        text = f"the dataset's folder {manifest.root} is not at hand."
        return [Finding("images", "unchecked", text)]
    wrong = []
    rows = list(zip(manifest.frame["path"], manifest.frame["sha256"]))
    for done, (path, recorded) in enumerate(rows, 1):
        problem = _image_problem(manifest, path, recorded)
        if problem:
            wrong.append(Finding(f"image {path}", "altered", problem))
        if progress is not None:
            progress(done, len(rows))
    if len(wrong) > NAMED:
        more = f"{len(wrong) - NAMED} more images differ from the manifest."
        return [*wrong[:NAMED], Finding("images", "altered", more)]
    return wrong or [Finding("images", "ok", f"all {len(rows)} are those of the manifest")]


def _image_problem(manifest: Any, path: str, recorded: str) -> str:
    try:
        now = sha256_file(manifest.image_path(path))
    except (UserInputError, OSError) as error:
        return str(error)
    return "" if now == recorded else f"its SHA-256 is {now[:SHOWN]}, not {recorded[:SHOWN]}."


def check_audit(trace: Trace) -> list[Finding]:
    """The chain of promotions, and what it says of this version."""
    from pipelines.promotion.audit import read_audit
    from pipelines.promotion.standing import disagreements

    subject = trace.subject
    name = f"audit of {subject.model.name}"
    try:
        records = read_audit(subject.model.name)
    except RefusedError as error:
        return [Finding(name, "altered", str(error))]
    wrong = list(disagreements(subject.model, records))
    for record in records:
        move = record.move
        ends = ((move.to_version, move.to_digest), (move.from_version, move.from_digest))
        wrong += [
            f"record {record.number} is about the encoder {str(digest)[:SHOWN]} as version "
            f"{version}; recorded is {subject.digest[:SHOWN]}."
            for version, digest in ends
            if version == subject.version.number and digest != subject.digest
        ]
    if wrong:
        return [Finding(name, "altered", text) for text in wrong]
    return [Finding(name, "ok", f"its {len(records)} records are a whole chain")]
