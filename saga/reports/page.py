"""Static HTML pages: one file, no scripts, nothing fetched, everything escaped.

Letters that would not show, or would turn the text around them, are shown as �.

Templates are in saga/reports/templates and extend base.html.jinja. Pictures are embedded as PNG.
"""

import base64
import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Control letters but tab and newline, and those that turn the direction of text."""


def render(template: str, **values: Any) -> str:
    """A page from a template; text is escaped, a name that the template lacks is an error.

    Args:
        template: file name in the folder of templates.
        values: what the template uses.
    """
    return _environment().get_template(template).render(**values)


def png(data: bytes) -> Markup:
    """A PNG's bytes as the `src` of an image."""
    return Markup("data:image/png;base64," + base64.b64encode(data).decode())


def percent(rate: float | None) -> str:
    """A rate in per cent, without the sign: 0.4312 -> "43.1"; "–" for a figure that is missing."""
    return "–" if rate is None or not math.isfinite(rate) else f"{100 * rate:.1f}"


def rates(interval: Sequence[float] | None, between: str = " to ") -> str:
    """An interval of a rate in per cent, or "". Where it passes 0 or 100, it ends there."""
    if interval is None:
        return ""
    return between.join(percent(min(max(end, 0.0), 1.0)) for end in interval)


def points(rate: float | None) -> str:
    """A difference of rates in points, with its sign: -0.0123 -> "−1.2"."""
    if rate is None or not math.isfinite(rate):
        return "–"
    return f"{100 * rate:+.1f}".replace("-", "−")


def duration(seconds: float | None) -> str:
    """A time for readers: 3.21 -> "3.2 s", 320.9 -> "5 min 21 s", 7260 -> "2 h 1 min"."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"


def visible(value: Any) -> Any:
    """Text from outside with its unseen letters shown; anything else as it is."""
    return UNSEEN.sub("�", value) if type(value) is str else value


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["png"] = png
    for text in (percent, points, duration):
        environment.filters[text.__name__] = text
    return environment
