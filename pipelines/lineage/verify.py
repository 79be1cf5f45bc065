"""Recomputes every digest of a version's lineage and names what is not what was recorded.

Four rings, each against the next: the files of every artifact and their values; what artifacts say of
each other (an encoder of its manifest and pairs, a decision of what it judged); the run's own record;
and outside the database: the images, the supervisor, the run's folder, the audit of promotions.

Somebody who may write everywhere, and rewrites all of it consistently, is found by the signature alone.
"""

from collections.abc import Callable

from pipelines.lineage.contents import Contents, check_contents
from pipelines.lineage.finding import Finding
from pipelines.lineage.links import check_links
from pipelines.lineage.outside import check_audit, check_images, check_run_folder, check_supervisor
from pipelines.lineage.sealed import check_record
from pipelines.lineage.trace import Trace

Progress = Callable[[int, int], None]


def verify(trace: Trace, images: bool = True, progress: Progress | None = None) -> list[Finding]:
    """Check everything.

    Args:
        trace: of the version.
        images: whether every image of the dataset is read too.
        progress: called with (images read, images).
    """
    contents: dict[str, Contents] = {}
    findings: list[Finding] = []
    for key, kept in trace.kept.items():
        contents[key], found = check_contents(kept)
        findings += found
    findings += check_links(trace, contents)
    findings += check_record(trace)
    findings += check_run_folder(trace)
    findings += check_supervisor(trace)
    findings += check_audit(trace)
    if images:
        findings += check_images(trace, contents, progress)
    return findings
