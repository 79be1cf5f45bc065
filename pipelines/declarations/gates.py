"""`saga gates`: how often the gates err."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines.declarations.options import Debug, Json, Settings, do, example


def declare(app: typer.Typer) -> None:
    """Add the commands."""
    gates = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Look at the gates themselves."
    )
    app.add_typer(gates, name="gates")
    gates.command(
        epilog=example(
            "saga gates calibrate --set dataset.synthetic.test_classes=400",
            "saga gates calibrate configs/embedded.yaml --policy configs/gates/default.yaml --seeds 3",
        )
    )(calibrate)


def calibrate(
    config: Annotated[
        Path | None,
        typer.Argument(
            help="A run's YAML file; without one, the embedded example.", show_default=False
        ),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="Policy file; without one, the configuration's.", show_default=False),
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Trainings that are compared.")] = 5,
    arm: Annotated[
        Literal["dml", "saga"], typer.Option(help="What is trained: the baseline or the candidate.")
    ] = "dml",
    output: Annotated[Path, typer.Option(help="Folder for calibration.md and .json.")] = Path(
        "calibration"
    ),
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """How often a policy blocks equals and passes broken encoders.

    Trains one encoder with several seeds, judges every pair of them (none is better), and judges
    encoders that are broken on purpose (each must be blocked). Trained encoders are kept and reused.
    """
    do("calibrate", as_json, debug, config, settings or [], policy, seeds, arm, output)
