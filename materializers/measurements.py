"""Measurements."""

from html import escape
from typing import Any, ClassVar

from zenml.enums import VisualizationType

from materializers.folder import FolderMaterializer
from saga.files import canonical_json
from saga.reports.page import visible
from saga.retrieval.measurements import UNITS, Measurements


class MeasurementsMaterializer(FolderMaterializer):
    """JSON; the figures as a table, and as JSON for machines."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Measurements,)

    def facts(self, data: Measurements) -> dict[str, Any]:
        """The figures, and whose they are."""
        return dict(data.figures) | {"name": data.name, "encoder_digest": data.encoder_digest}

    def pictures(self, data: Measurements) -> dict[str, Any]:
        """See the class."""
        return {
            "measurements.html": (lambda: figures_table(data), VisualizationType.HTML),
            "figures.json": (lambda: canonical_json(data.figures), VisualizationType.JSON),
        }


def figures_table(data: Measurements) -> str:
    """A part of a page: what was measured, then under which conditions."""
    figures = [(n, f"{v:.6g} {UNITS.get(n, '')}".strip()) for n, v in data.figures.items()]
    facts = [(n, str(v)) for n, v in data.facts.items()]
    rows = "".join(
        f"<tr><th>{escape(visible(name))}</th><td>{escape(visible(value))}</td></tr>\n"
        for name, value in [*figures, ("encoder", data.encoder_digest), *facts]
    )
    return f"<h3>Measurements of {escape(visible(data.name))}</h3>\n<table>\n{rows}</table>\n"
