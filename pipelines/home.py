"""saga's own folder: `.saga` where the command runs, or wherever SAGA_HOME says.

It holds the embedded ZenML (SQLite and artifacts), rendered datasets and checkpoints. A user's own
ZenML settings are neither read nor changed: every ZENML_ variable is set aside for this process.
"""

import logging
import os
import sys
from pathlib import Path

QUIET = {
    "great_expectations": logging.WARNING,
    "evidently": logging.WARNING,
    "faiss": logging.WARNING,
    "faiss.loader": logging.WARNING,
    "alembic": logging.WARNING,
    "matplotlib": logging.WARNING,
}
PROJECT = Path(__file__).parents[1]


def home() -> Path:
    """The folder, whether or not it exists."""
    return Path(os.environ.get("SAGA_HOME") or ".saga").expanduser().absolute()


def use_embedded_zenml() -> None:
    """Point ZenML to our folder; to be called before anything imports it.

    Raises:
        RuntimeError: if ZenML was imported already, with whatever settings it found.
    """
    own = str(home() / "zenml")
    if "zenml" in sys.modules and os.environ.get("ZENML_CONFIG_PATH") != own:
        raise RuntimeError("zenml was imported before its settings were set aside")
    for name in [n for n in os.environ if n.startswith("ZENML_")]:
        del os.environ[name]
    Path(own).mkdir(parents=True, exist_ok=True)
    os.environ |= {
        "ZENML_CONFIG_PATH": own,
        "ZENML_REPOSITORY_PATH": own,  # no search for a .zen in the folders above
        "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_AUTO_OPEN_DASHBOARD": "false",
        "ZENML_LOGGING_VERBOSITY": "CRITICAL",  # our own lines say what goes wrong
        "ZENML_LOGGING_COLORS_DISABLED": "true",
        "ZENML_ENABLE_RICH_TRACEBACK": "false",
        "ZENML_DISABLE_STEP_LOGS_STORAGE": "true",
        "ZENML_DISABLE_PIPELINE_LOGS_STORAGE": "true",
        "ZENML_CUSTOM_SOURCE_ROOT": str(PROJECT),
    }
    _quiet()


def _quiet() -> None:
    """Libraries speak up from warnings on; ours do whatever ZenML does to the root logger."""
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)
    ours = logging.getLogger("saga")
    ours.setLevel(logging.WARNING)
    if not ours.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        ours.addHandler(handler)
        ours.propagate = False
