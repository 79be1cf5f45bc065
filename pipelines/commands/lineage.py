"""`saga lineage`: where an encoder came from, what used it, whether it was altered, what changed."""

import json
from pathlib import Path
from typing import Any

from pipelines.answer import REFUSED, Answer
from pipelines.commands import outputs
from pipelines.progress import reporter, shown
from saga.errors import UserInputError
from saga.files import write_text


def main(
    encoder: str,
    html: Path | None,
    check: bool,
    images: bool,
    pair: tuple[str, str] | None,
    terminal: bool,
) -> Answer:
    """Collect the lineage; show it, verify it, or compare two.

    Args:
        encoder: MODEL[:VERSION|stage].
        html: page to write.
        check: recompute every digest; exit 3 where something was altered.
        images: with `check`, read every image of the dataset too.
        pair: two versions or stages of the model to compare.
        terminal: whether the answer is read in one.
    """
    if pair is not None:
        if html is not None or check:
            raise UserInputError(
                "--diff compares two versions; it takes neither --html nor --verify."
            )
        return _compare(encoder, *pair)
    if html is not None:
        outputs.check_parent(html, "--html")
        if html.is_dir():
            raise UserInputError(f"--html {html} is a folder. Give a file, such as lineage.html.")
    from pipelines.lineage.subject import find_subject

    subject = find_subject(encoder)  # before anything imports ZenML: it may have to find nothing
    from pipelines.lineage.facts import collect
    from pipelines.lineage.finding import Finding
    from pipelines.lineage.outline import outline
    from pipelines.lineage.trace import trace
    from pipelines.lineage.tree import tree, verification
    from saga.reports.lineage import lineage_page

    traced = trace(subject)
    facts = collect(traced)
    text = [tree(facts, outline(facts), terminal)]
    findings: list[Finding] | None = None
    if check:
        from pipelines.lineage.verify import verify

        with shown():
            findings = verify(traced, images, reporter("check the images"))
        facts["verification"] = [finding.to_dict() for finding in findings]
        text.append(verification(findings))
    if html is not None:
        page = lineage_page(facts, outline(facts, whole=True), facts.get("verification"))
        write_text(html, page)
        facts["page"] = str(html)
        text.append(str(html))
    altered = any(finding.state == "altered" for finding in findings or ())
    return Answer(_finite(facts), "\n".join(text), REFUSED if altered else 0)


def _compare(encoder: str, before: str, after: str) -> Answer:
    from pipelines.lineage.subject import find_subject

    model, separator, _ = encoder.partition(":")
    if separator:
        raise UserInputError(
            f"With --diff, give the model alone: saga lineage {model} --diff {before} {after}."
        )
    subjects = [find_subject(f"{model}:{version}") for version in (before, after)]
    from pipelines.lineage.diff import diff
    from pipelines.lineage.facts import collect
    from pipelines.lineage.trace import trace
    from pipelines.lineage.tree import changes

    found = diff(*(collect(trace(subject)) for subject in subjects))
    return Answer(_finite(found), changes(found))


def _finite(facts: dict[str, Any]) -> dict[str, Any]:
    """What JSON can say: a figure in the database that is no number becomes null."""
    result: dict[str, Any] = json.loads(json.dumps(facts, default=str), parse_constant=_no_number)
    return result


def _no_number(_: str) -> None:
    return None
