"""Keeps tests away from the user's own ZenML and from the folder they run in."""

import atexit
import os
import shutil
import signal
import tempfile

_home = tempfile.mkdtemp(prefix="saga-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["SAGA_HOME"] = _home

# Where the tests run in the background of a shell, Ctrl-C is ignored, and so it would be in the
# processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from pipelines.home import use_embedded_zenml  # noqa: E402 - before anything imports zenml

use_embedded_zenml()
