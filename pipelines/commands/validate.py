"""`saga validate`: the dataset's expectations alone."""

from pathlib import Path

from pipelines.answer import REFUSED, Answer
from pipelines.configuration import load_run_config
from pipelines.preflight import check_dataset
from pipelines.progress import reporter, shown
from saga.data.configuration import LAYOUTS, DatasetConfig
from saga.errors import UserInputError
from saga.files import write_json, write_text


def main(source: Path, layout: str | None, output: Path, settings: list[str]) -> Answer:
    """Load the manifest, check every expectation, write the page."""
    dataset = dataset_of(source, layout, settings)
    check_dataset(dataset)
    from pipelines.home import home
    from saga.data.load import load_manifest
    from steps.expectations.run import validate_manifest

    with shown():
        manifest = load_manifest(dataset, home() / "data", reporter("load the dataset"))
        report = validate_manifest(manifest, dataset.limits, reporter("validate the dataset"))
    page, facts = output / "validation.html", output / "validation.json"
    summary = report.to_summary()
    write_text(page, report.page())
    counts = manifest.counts()
    described = {"name": manifest.name, "digest": manifest.digest, "layout": manifest.layout}
    answer = {"dataset": described | counts, "validation": summary, "report": str(page)}
    write_json(facts, answer)
    head = f"{manifest.name}: {counts['images']} images, digest {manifest.digest[:12]}"
    verdict = report.message() if not report.success else "Every critical expectation holds."
    warned = [f"warning: {o.title}: {o.observed}" for o in report.warnings]
    text = "\n".join([head, verdict, *warned, str(page)])
    return Answer(answer, text, 0 if report.success else REFUSED)


def dataset_of(source: Path, layout: str | None, settings: list[str]) -> DatasetConfig:
    """The dataset of a configuration file, or of a folder.

    Raises:
        UserInputError: if it is neither, or the layout is unknown or cannot be recognised.
    """
    if source.is_file():
        if layout is not None:
            raise UserInputError(
                f"--layout is for a dataset folder; {source} is a file, whose layout is "
                "dataset.layout (change it with --set dataset.layout=...)."
            )
        return load_run_config(source, settings).dataset
    if not source.is_dir():
        raise UserInputError(
            f"{source} does not exist. Give a configuration file (configs/ holds examples) or the "
            "folder of a dataset."
        )
    if settings:
        raise UserInputError("--set changes a configuration file; a folder has --layout alone.")
    from saga.data.layouts import recognise

    chosen = layout or recognise(source)
    if chosen not in LAYOUTS or chosen == "synthetic":
        allowed = ", ".join(name for name in LAYOUTS if name != "synthetic")
        raise UserInputError(f"--layout must be one of {allowed}, got {chosen!r}.")
    return DatasetConfig(layout=chosen, root=str(source), name=source.name)
