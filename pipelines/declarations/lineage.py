"""`saga lineage`: where an encoder came from and what was made from it."""

import typer


def declare(app: typer.Typer) -> None:
    """Add the commands."""
