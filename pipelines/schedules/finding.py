"""Names that were probably meant."""

from collections.abc import Iterable

from saga.errors import UserInputError
from saga.settings.describe import closest


def named(name: str, known: Iterable[str], where: str) -> None:
    """Check that a schedule is among those that there are.

    Raises:
        UserInputError: if it is not, with the nearest.
    """
    names = sorted(known)
    if name in names:
        return
    near = closest(name, names)
    raise UserInputError(
        f"There is no schedule {name} on {where}.{f' Nearest: {near}.' if near else ''} "
        f"There are: {', '.join(names) or 'none'}."
    )
