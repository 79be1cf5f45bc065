"""Errors that reach the user, each with the exit code the command line returns for it."""


class SagaError(Exception):
    """Base of saga's own errors; exit code 1 means the fault is ours."""

    exit_code = 1


class UserInputError(SagaError):
    """The user's input is wrong: the message says what was given, what is allowed, what to do."""

    exit_code = 2


class RefusedError(SagaError):
    """A gate or the dataset validation said no."""

    exit_code = 3
