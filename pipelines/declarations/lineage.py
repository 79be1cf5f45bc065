"""`saga lineage`: where an encoder came from and what was made from it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipelines.declarations.options import Debug, Json, do, example


def declare(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=example(
            "saga lineage birds",
            "saga lineage birds:3 --html lineage.html",
            "saga lineage birds:production --verify",
            "saga lineage birds --diff 3 production",
        )
    )(lineage)


def lineage(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[:VERSION|stage]",
            help="Registered model; without a version what is in production, else the newest.",
        ),
    ],
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one page with the graph.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Recompute every digest; exit 3 if one differs.")
    ] = False,
    images: Annotated[
        bool, typer.Option("--images/--skip-images", help="Let --verify read every image too.")
    ] = True,
    diff: Annotated[
        tuple[str, str] | None,
        typer.Option("--diff", metavar="A B", help="What changed from version A to version B."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Which data, code, supervisor and settings made an encoder, and what used it."""
    # Asked here: while the command works, stdout belongs to it.
    terminal = bool(sys.stdout is not None and sys.stdout.isatty())
    do("lineage", as_json, debug, model, html, verify, images, diff, terminal)
