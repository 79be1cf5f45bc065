"""Promotions in processes of their own that start at the same moment, some of them killed.

Reads a list of jobs from stdin ({"command": [...], "kill_at": step or null}) and writes, for each,
the exit status and what it said. Forked after the imports, so that twenty cost little more than
one; each opens connections of its own.
"""

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipelines.home import use_embedded_zenml

use_embedded_zenml()

import materializers.decision  # noqa: E402, F401
import materializers.manifest  # noqa: E402, F401
import materializers.retriever  # noqa: E402, F401
from pipelines.promotion.going_back import rollback  # noqa: E402
from pipelines.promotion.promoting import promote  # noqa: E402
from pipelines.registry import client  # noqa: E402
from saga.errors import SagaError  # noqa: E402
from saga.gates.policy import GatePolicy  # noqa: E402
from tests.pipelines.promotion.made import POLICY  # noqa: E402


def work(command: list[Any], kill_at: str | None) -> dict[str, Any]:
    def at(step: str) -> None:
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    policy = GatePolicy.load(POLICY)
    try:
        if command[0] == "promote":
            _, model, version = command
            done = promote(model, str(version), "production", policy, POLICY, at=at)
        else:
            done = rollback(command[1], at=at)
    except SagaError as error:
        return {"code": error.exit_code, "said": str(error)}
    return {"code": 0, "said": done.record.number}


def main() -> None:
    jobs = json.load(sys.stdin)
    engine = client().zen_store.engine  # type: ignore[attr-defined]
    engine.dispose()
    reader, writer = os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        children = {}
        for i, job in enumerate(jobs):
            child = os.fork()
            if child == 0:
                engine.dispose(close=False)
                os.close(writer)
                os.read(reader, 1)  # until all are there
                said = work(job["command"], job.get("kill_at"))
                (Path(folder) / str(i)).write_text(json.dumps(said))
                os._exit(0)
            children[child] = i
        os.close(reader)
        os.close(writer)
        answers: list[Any] = [None] * len(jobs)
        for child, i in children.items():
            _, status = os.waitpid(child, 0)
            code = os.waitstatus_to_exitcode(status)
            said = Path(folder) / str(i)
            answers[i] = json.loads(said.read_text()) if said.exists() else {"code": code}
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main()
