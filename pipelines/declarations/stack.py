"""`saga stack`: where pipelines run."""

from typing import Annotated

import typer

from pipelines.declarations.options import Debug, Json, do, example

File = Annotated[
    str,
    typer.Argument(metavar="FILE", help="YAML file of a stack, or the name of a bundled one."),
]


def declare(app: typer.Typer) -> None:
    """Add the commands."""
    stack = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Register and check where pipelines run."
    )
    app.add_typer(stack, name="stack")
    stack.command(epilog=example("saga stack apply our-cluster.yaml"))(apply)
    stack.command(epilog=example("saga stack check our-cluster.yaml"))(check)


def apply(file: File, as_json: Json = False, debug: Debug = False) -> None:
    """Register a stack in ZenML, or bring it up to date; a second time nothing changes."""
    do("stack", as_json, debug, "apply", file)


def check(file: File, as_json: Json = False, debug: Debug = False) -> None:
    """Say everything that a run on a stack would lack; exit code 2 if anything blocks it.

    Asks the cluster, the ZenML server and the artifact store (a small object is written, read and
    deleted); changes nothing else and starts no pod.
    """
    do("stack", as_json, debug, "check", file)
