"""`saga evaluate`: metrics of a saved encoder on a configured dataset."""

from pathlib import Path

from pipelines.answer import Answer
from pipelines.commands import outputs
from pipelines.configuration import load_run_config
from pipelines.preflight import check_dataset
from pipelines.progress import reporter, shown
from saga.errors import UserInputError


def main(
    encoder: str, config: Path, settings: list[str], split: str, output: Path | None, device: str
) -> Answer:
    """Embed one split's images, search, and report."""
    run = load_run_config(config, settings)
    check_dataset(run.dataset)
    if output is not None:
        outputs.check_new(output, "--output")
    from pipelines.encoders import open_encoder
    from pipelines.home import home
    from saga.data.load import load_manifest
    from saga.files import replace_folder
    from saga.retrieval.evaluate import evaluate_encoder

    retriever = open_encoder(encoder, device)
    manifest = load_manifest(run.dataset, home() / "data")
    frame = manifest.subset(split)
    if frame.empty:
        raise UserInputError(f"The dataset {manifest.name} has no images in the split {split}.")
    with shown():
        report = evaluate_encoder(
            retriever,
            manifest,
            frame,
            run.evaluation,
            encoder,
            run.dataset.limits,
            reporter("embed"),
        )
    if output is not None:
        with replace_folder(output) as building:
            report.save(building)
    facts = {
        "encoder": {"name": encoder, "digest": retriever.digest},
        "dataset": {
            "name": manifest.name,
            "digest": manifest.digest,
            "split": split,
            "images": len(frame),
            "classes": int(frame["class_id"].nunique()),
        },
        "metrics": report.metrics,
        "report": None if output is None else str(output),
    }
    lines = [f"{name:<14}{value:8.4f}" for name, value in report.metrics.items()]
    head = f"{encoder} on {manifest.name}, {split}: {len(frame)} images"
    tail = [] if output is None else [f"Report and every query's outcome: {output}"]
    return Answer(facts, "\n".join([head, *lines, *tail]))
