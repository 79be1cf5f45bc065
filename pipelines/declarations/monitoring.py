"""`saga monitor`: drift of live queries."""

import typer


def declare(app: typer.Typer) -> None:
    """Add the commands."""
