"""The command line: commands are declared here and done in pipelines.commands."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines import answer
from pipelines.declarations import gates, lineage, monitoring, promotion, schedule, stack
from pipelines.declarations.options import (
    Debug,
    Device,
    Encoder,
    Json,
    Settings,
    Split,
    do,
    example,
)
from saga import __version__

app = typer.Typer(
    name="saga",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Trains image-retrieval encoders through a frozen multimodal LLM, and proves them better.",
    epilog="Exit codes: 0 done, 1 our fault, 2 the input is wrong, 3 a gate or the validation said "
    "no, 130 interrupted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"saga {__version__}")
        raise typer.Exit


@app.callback()
def _saga(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(
    epilog=example(
        "saga run configs/embedded.yaml --set training.steps=60",
        "saga run configs/embedded.yaml --stack our-cluster.yaml",
    )
)
def run(
    config: Annotated[
        Path | None,
        typer.Argument(help="YAML file; without one, the embedded example.", show_default=False),
    ] = None,
    stack: Annotated[
        str, typer.Option(help="Where it runs: a stack's YAML file, or the name of a bundled one.")
    ] = "local",
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train, evaluate and judge an encoder: the main job.

    Leaves runs/<run id>/summary.json and report.html. After Ctrl-C or a crash, the same command
    goes on from the last checkpoint.
    """
    from pipelines.commands.run import resume_hint

    changes = settings or []
    resume = resume_hint(config, changes, stack)
    do("run", as_json, debug, config, changes, stack, resume=resume)


@app.command(
    epilog=example(
        "saga validate configs/cub200-photos.yaml --set dataset.root=data/CUB_200_2011",
        "saga validate data/my-photos --layout folders",
    )
)
def validate(
    source: Annotated[
        Path, typer.Argument(metavar="CONFIG|ROOT", help="Configuration file, or dataset folder.")
    ],
    layout: Annotated[
        str | None, typer.Option(help="Layout of a dataset folder; without it, it is recognised.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for the report.", show_default=True)] = Path(
        "validation"
    ),
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check a dataset: files, sizes, classes, splits, duplicates. Writes an HTML page."""
    do("validate", as_json, debug, source, layout, output, settings or [])


@app.command(
    epilog=example("saga evaluate encoders/birds configs/embedded.yaml --output evaluation")
)
def evaluate(
    encoder: Encoder,
    config: Annotated[Path, typer.Argument(help="YAML file whose dataset is used.")],
    split: Split = "test",
    output: Annotated[
        Path | None, typer.Option(help="Folder for the report and every query's outcome.")
    ] = None,
    device: Device = "auto",
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Recall@K, MAP@R and NMI of any saved encoder on any dataset."""
    do("evaluate", as_json, debug, encoder, config, settings or [], split, output, device)


@app.command(epilog=example("saga embed encoders/birds photos/ --output photos.parquet"))
def embed(
    encoder: Encoder,
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of images.")],
    output: Annotated[
        Path, typer.Option(help=".parquet, or .npy with the paths beside it in .json.")
    ] = Path("embeddings.parquet"),
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once.")] = 64,
    device: Device = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Embed images and write the vectors to a file."""
    do("embed", as_json, debug, encoder, images, output, batch_size, device)


@app.command(epilog=example("saga search encoders/birds photos.parquet unknown.jpg -k 5"))
def search(
    encoder: Encoder,
    gallery: Annotated[
        Path, typer.Argument(help="Folder of images, or a file that `saga embed` wrote.")
    ],
    query: Annotated[Path, typer.Argument(help="Image file, or a folder of images.")],
    k: Annotated[int, typer.Option("-k", min=1, help="Neighbours of each query.")] = 8,
    device: Device = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Find the images of a gallery that are nearest to a query image."""
    do("search", as_json, debug, encoder, gallery, query, k, device)


@app.command(epilog=example("saga export birds:production encoders/birds"))
def export(
    encoder: Encoder,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; new or empty.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the deployable folder: weights, preprocessing, model card, no language model."""
    do("export", as_json, debug, encoder, folder)


@app.command(
    "build-supervisor",
    epilog=example("saga build-supervisor configs/supervisor.yaml --output supervisor"),
)
def build_supervisor(
    config: Annotated[Path, typer.Argument(help="YAML file of pretraining settings.")],
    output: Annotated[Path, typer.Option(help="Folder to write; new or empty.")] = Path(
        "supervisor"
    ),
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Pretrain the tiny supervisor of the embedded example from scratch."""
    do("build_supervisor", as_json, debug, config, output, settings or [])


@app.command(
    epilog=example(
        "saga study configs/studies/miniature.yaml --quick",
        "saga study configs/studies/miniature.yaml --set data.seed=7",
        "saga study configs/studies/miniature.yaml --cell hazy_habitat/saga/0",
        "saga study configs/studies/miniature.yaml --tune",
        "saga study configs/studies/miniature.yaml --explain",
    )
)
def study(
    config: Annotated[Path, typer.Argument(help="YAML file of the study.")],
    quick: Annotated[bool, typer.Option("--quick", help="Two seeds.")] = False,
    tune: Annotated[
        bool,
        typer.Option("--tune", help="Choose each arm's settings on validation classes instead."),
    ] = False,
    cell: Annotated[
        str | None,
        typer.Option(metavar="REGIME/ARM/SEED", help="Make one cell again, alone."),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Probe the study's encoders and gradients instead."),
    ] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Cells at once.")] = None,
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train every arm in every regime with every seed; one table with intervals.

    Leaves studies/<id>/summary.json and report.html. What is whole is reused, so that after Ctrl-C
    the same command goes on.
    """
    from pipelines.commands.study import resume_hint

    changes = settings or []
    resume = resume_hint(config, changes, quick, tune)
    do("study", as_json, debug, config, changes, quick, tune, cell, explain, jobs, resume=resume)


for part in (gates, promotion, lineage, monitoring, schedule, stack):
    part.declare(app)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `saga`.

    Raises:
        SystemExit: always, with the exit code.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code: Any = app(arguments, prog_name="saga", standalone_mode=False)
    except OSError as error:
        typer.echo(f"The answer could not be written: {error}.", err=True)
        code = answer.OURS
    except Exception as error:
        # What the parser raises for wrong usage: not public by name, known by what it can do.
        if not hasattr(error, "show") or not hasattr(error, "exit_code"):
            raise
        error.show()
        if "--json" in arguments:
            words = error.format_message() if hasattr(error, "format_message") else str(error)
            typer.echo(answer.usage_problem(words))
        code = error.exit_code
    raise SystemExit(code or 0)


if __name__ == "__main__":
    main()
