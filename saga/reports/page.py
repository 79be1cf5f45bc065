"""Static HTML pages: one file, no scripts, nothing fetched, everything escaped.

Templates are in saga/reports/templates and extend base.html.jinja. Pictures are embedded as PNG.
"""

import base64
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


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


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["png"] = png
    environment.filters["percent"] = lambda rate: f"{100 * rate:.1f}"
    return environment
