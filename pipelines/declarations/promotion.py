"""`saga promote`, `saga rollback`, `saga history`, `saga sign`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines.declarations.options import Debug, Json, do, example

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Name under which runs register.")]
Reason = Annotated[str, typer.Option(help="Why, for the audit.")]


def declare(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command(epilog=example("saga promote birds 7 --to production"))
    def promote(
        model: Model,
        version: Annotated[
            str, typer.Argument(metavar="VERSION", help="Number, or staging or latest.")
        ],
        to: Annotated[
            Literal["staging", "production"], typer.Option(help="Stage that the version takes.")
        ],
        policy: Annotated[
            str, typer.Option(help="Gate policy: a file, or the name of a bundled one.")
        ] = "default",
        reason: Reason = "",
        as_json: Json = False,
        debug: Debug = False,
    ) -> None:
        """Put a version into a stage, if its evidence says so; exit code 3 if it does not.

        The version needs a gate decision that passed, about this very encoder, dataset and policy,
        against the version that is in production now.
        """
        do("promote", as_json, debug, model, version, to, policy, reason, resume=SETTLED)

    @app.command(epilog=example("saga rollback birds", "saga rollback birds --to 5"))
    def rollback(
        model: Model,
        to: Annotated[
            int | None,
            typer.Option(
                metavar="VERSION",
                help="A version that was in production; without it, the one before.",
            ),
        ] = None,
        reason: Reason = "",
        as_json: Json = False,
        debug: Debug = False,
    ) -> None:
        """Put production back to a version that the audit says was there before."""
        do("rollback", as_json, debug, model, to, reason, resume=SETTLED)

    @app.command(epilog=example("saga history birds"))
    def history(model: Model, as_json: Json = False, debug: Debug = False) -> None:
        """Who promoted what, when, on which evidence; exit code 3 if the audit was altered."""
        do("history", as_json, debug, model)

    @app.command(epilog=example("saga sign birds 7 --key signing.pem"))
    def sign(
        model: Model,
        version: Annotated[
            str, typer.Argument(metavar="VERSION", help="Number, staging, production or latest.")
        ],
        key: Annotated[Path, typer.Option(help="Private key of an elliptic curve, PEM.")],
        as_json: Json = False,
        debug: Debug = False,
    ) -> None:
        """Sign the encoder of a version; a policy may require it."""
        do("sign", as_json, debug, model, version, key)


SETTLED = "`saga history` finishes or takes back what had begun; then run the same command again."
