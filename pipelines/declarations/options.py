"""Options and arguments that several commands share."""

from importlib import import_module
from typing import Annotated, Any, Literal

import typer

from pipelines import answer

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, logs on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of faults of ours.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change one setting; may be repeated."),
]
Encoder = Annotated[
    str, typer.Argument(metavar="ENCODER", help="A folder, or model:version or model:stage.")
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="auto takes the GPU when there is one.")
]
Split = Annotated[
    Literal["test", "validation", "train"], typer.Option(help="Which images are judged.")
]


def example(*lines: str) -> str:
    """Lines at the end of a command's help, kept as they are."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


def do(
    command: str, as_json: bool, debug: bool, *arguments: Any, resume: str | None = None
) -> None:
    """Import a command, heavy libraries and all, and answer what it says."""

    def work() -> answer.Answer:
        result: answer.Answer = import_module(f"pipelines.commands.{command}").main(*arguments)
        return result

    answer.perform(work, as_json=as_json, debug=debug, resume=resume or answer.AGAIN)
