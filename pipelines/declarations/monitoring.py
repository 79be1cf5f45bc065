"""`saga monitor`: drift of live queries."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines.declarations.options import Debug, Device, Json, do, example


def declare(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=example(
            "saga monitor birds queries/",
            "saga monitor birds:3 queries/ --labels labels.csv --output monitoring/week-12",
        )
    )(monitor)


def monitor(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[:VERSION]", help="Registered model; without a version, production."
        ),
    ],
    queries: Annotated[Path, typer.Argument(help="Folder of live images.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with the columns image and class; without it, folders named as classes "
            "of the gallery are labels."
        ),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="YAML file of limits.", show_default="configs/monitoring/default.yaml"),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for drift.html and drift.json.")] = Path(
        "monitoring"
    ),
    gallery: Annotated[
        Literal["test", "train"],
        typer.Option(help="Split of the version's dataset that queries are searched in."),
    ] = "test",
    device: Device = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare live queries with the gallery and the training images of an encoder.

    Exit code 3 if the policy asks for a retraining, with the report. It proposes a command; it
    trains nothing and promotes nothing.
    """
    arguments = (model, queries, labels, policy, output, gallery, device)
    do("monitor", as_json, debug, *arguments)
