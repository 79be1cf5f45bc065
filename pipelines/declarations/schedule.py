"""`saga schedule apply`, `list` and `delete`."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.declarations.options import Debug, Json, do, example

AGAIN = "What was begun is taken back or finished by the same command."


def declare(app: typer.Typer) -> None:
    """Add the commands."""
    schedule = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="What runs by itself: retraining and monitoring.",
    )
    app.add_typer(schedule, name="schedule")

    @schedule.command(epilog=example("saga schedule apply configs/schedules/*.yaml"))
    def apply(
        files: Annotated[list[Path], typer.Argument(help="YAML files, one schedule each.")],
        as_json: Json = False,
        debug: Debug = False,
    ) -> None:
        """Make each schedule what its file says; again, and nothing changes.

        On a Kubernetes stack a CronJob is made, changed or replaced. On the local stack nothing is
        written: the lines for cron and the units for systemd are printed.
        """
        do("schedule", as_json, debug, "apply", files, resume=AGAIN)

    @schedule.command(
        "list", epilog=example("saga schedule list", "saga schedule list --stack kubernetes")
    )
    def show(
        files: Annotated[
            list[Path] | None,
            typer.Argument(
                help="Files whose stacks are looked at.", show_default="configs/schedules/*.yaml"
            ),
        ] = None,
        stack: Annotated[
            list[str] | None,
            typer.Option(help="A further stack: name or file; may be repeated."),
        ] = None,
        as_json: Json = False,
        debug: Debug = False,
    ) -> None:
        """Each schedule: when it fires, when next, how it ended last, whether it is enabled."""
        do("schedule", as_json, debug, "list", files or [], stack or [])

    @schedule.command(
        epilog=example("saga schedule delete retrain", "saga schedule delete retrain --stack local")
    )
    def delete(
        name: Annotated[str, typer.Argument(metavar="NAME", help="As `saga schedule list` shows.")],
        stack: Annotated[
            str | None,
            typer.Option(help="Its stack; without it, whichever has it of those in the files."),
        ] = None,
        as_json: Json = False,
        debug: Debug = False,
    ) -> None:
        """Remove a schedule with all that belongs to it; a run that has begun finishes."""
        do("schedule", as_json, debug, "delete", name, stack, resume=AGAIN)
