"""Times as the API writes them."""

import datetime


def now() -> str:
    """To the second, as in most objects."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def exactly_now() -> str:
    """To the microsecond, as in leases."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
