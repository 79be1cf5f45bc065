"""`saga promote`, `saga rollback`, `saga history`."""

import typer


def declare(app: typer.Typer) -> None:
    """Add the commands."""
