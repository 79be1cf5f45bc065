"""Keeps tests away from the user's own ZenML and from the folder they run in."""

import atexit
import os
import shutil
import tempfile

_home = tempfile.mkdtemp(prefix="saga-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["SAGA_HOME"] = _home

from pipelines.home import use_embedded_zenml  # noqa: E402 - before anything imports zenml

use_embedded_zenml()
