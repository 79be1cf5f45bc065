"""Runs the installed `saga` as its users do: a process of its own, in a folder of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TINY = Path(__file__).parent / "tiny.yaml"
SAGA = Path(sys.executable).parent / "saga"


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


def environment(**extra: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ZENML_", "SAGA_"))}
    return kept | {"OMP_NUM_THREADS": "1"} | extra


def saga(*arguments: str | Path, folder: Path, **extra: str) -> Done:
    done = subprocess.run(
        [SAGA, *map(str, arguments)],
        cwd=folder,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=280,
        stdin=subprocess.DEVNULL,
    )
    return Done(done.returncode, done.stdout, done.stderr)
