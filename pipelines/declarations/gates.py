"""`saga gates`: how often the gates err."""

import typer


def declare(app: typer.Typer) -> None:
    """Add the commands."""
