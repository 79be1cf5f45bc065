"""saga's own folder: `.saga` where the command runs, or wherever SAGA_HOME says.

It holds the embedded ZenML (SQLite and artifacts), rendered datasets and checkpoints. A user's own
ZenML settings are neither read nor changed: every ZENML_ variable is set aside for this process.

With SAGA_ZENML_SERVER (a URL) the commands speak to that server instead, with the API key that
SAGA_ZENML_API_KEY holds, if any; the key is written nowhere.
"""

import hashlib
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
    # A cluster or server that does not answer is told in words of ours.
    "urllib3.connectionpool": logging.ERROR,
}
PROJECT = Path(__file__).parents[1]
SERVER, API_KEY = "SAGA_ZENML_SERVER", "SAGA_ZENML_API_KEY"
IN_POD = "SAGA_IN_POD"
"""Environment variable of a cluster's pods, which have the settings of their run."""


def home() -> Path:
    """The folder, whether or not it exists."""
    return Path(os.environ.get("SAGA_HOME") or ".saga").expanduser().absolute()


def use_embedded_zenml() -> None:
    """Point ZenML to our folder, or to the chosen server; to be called before anything imports it.

    Raises:
        RuntimeError: if ZenML was imported already, with whatever settings it found.
    """
    if os.environ.get(IN_POD):
        embedded_folder().mkdir(parents=True, exist_ok=True)
        quiet()
        return
    own = _settings_folder()
    if "zenml" in sys.modules and os.environ.get("ZENML_CONFIG_PATH") != own:
        raise RuntimeError("zenml was imported before its settings were set aside")
    stack = os.environ.get("ZENML_ACTIVE_STACK_ID") if "zenml" in sys.modules else None
    for name in [n for n in os.environ if n.startswith("ZENML_")]:
        del os.environ[name]
    for folder in (embedded_folder(), Path(own)):
        folder.mkdir(parents=True, exist_ok=True)
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
    } | _server()
    if stack is not None:
        os.environ["ZENML_ACTIVE_STACK_ID"] = stack  # pipelines.stacks.components: for this run
    quiet()


def use_server(url: str, api_key_variable: str | None) -> None:
    """Choose a ZenML server for this process and its children.

    Args:
        url: its address.
        api_key_variable: environment variable with its API key; None where it asks for none.
    """
    os.environ[SERVER] = url
    key = os.environ.get(api_key_variable) if api_key_variable else None
    os.environ.pop(API_KEY, None)
    if key:
        os.environ[API_KEY] = key


def embedded_folder() -> Path:
    """The embedded ZenML's own folder."""
    return home() / "zenml"


def _settings_folder() -> str:
    """Where ZenML keeps what it remembers of the embedded database, or of a server."""
    url = os.environ.get(SERVER)
    if not url:
        return str(embedded_folder())
    return str(home() / "zenml-servers" / hashlib.sha256(url.encode()).hexdigest()[:16])


def _server() -> dict[str, str]:
    url, key = os.environ.get(SERVER), os.environ.get(API_KEY)
    if not url:
        return {}
    given = {"ZENML_STORE_URL": url, "ZENML_DISABLE_CREDENTIALS_DISK_CACHING": "true"}
    return given | ({"ZENML_STORE_API_KEY": key} if key else {})


def quiet() -> None:
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
