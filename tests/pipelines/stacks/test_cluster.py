"""The client reads what API servers send, whoever imported what before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[3]
RULES = [
    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2]}},
]
READS = """
import json, logging, sys
from types import SimpleNamespace
from pipelines.stacks.cluster import connect
from pipelines.stacks.configuration import ClusterConfig
api = connect(ClusterConfig(context="here", namespace="saga")).api
job = {"spec": {"podFailurePolicy": {"rules": json.loads(sys.argv[1])}, "template": {}}}
logging.getLogger("urllib3").setLevel(logging.ERROR)
read = api.deserialize(SimpleNamespace(data=json.dumps(job)), "V1Job")
print(len(read.spec.pod_failure_policy.rules), logging.getLogger("urllib3").level)
"""


def test_a_job_with_rules_for_exit_codes_is_read_and_no_loggers_level_is_set(tmp_path):
    config = {
        "clusters": [{"name": "here", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "here", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
        "current-context": "here",
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    done = subprocess.run(  # a process of its own: ZenML, once imported, mends it for all
        [sys.executable, "-c", READS, json.dumps(RULES)],
        env=os.environ | {"KUBECONFIG": str(tmp_path / "config"), "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "2 40\n", done.stderr
