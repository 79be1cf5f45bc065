"""What the pods of a run say, each line once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelines.stacks.cluster import Cluster
from pipelines.stacks.objects import STEP, run_pods

TAIL_LINES = 200
NEVER = ("Pending", "Unknown")
# ZenML says it in every pod: the image holds no pip. What is installed stands in the image's lock.
NOISE = ("Failed to get list of installed Python packages",)


@dataclass
class Logs:
    """The logs of a run's steps, read again and again."""

    cluster: Cluster
    """Where it runs."""
    run_id: str
    """ZenML's id of the run."""
    _last: dict[str, list[str]] = field(default_factory=dict)
    _over: set[str] = field(default_factory=set)

    def news(self, pods: Iterable[Any]) -> Iterator[tuple[str, str]]:
        """Step and line, for every line since the last call.

        Args:
            pods: the run's, as they are now.
        """
        for pod in pods:
            name = pod.metadata.name
            step = (pod.metadata.labels or {}).get(STEP)
            if step is None or name in self._over or pod.status.phase in NEVER:
                continue
            lines = tail(self.cluster, name)
            for line in new_lines(self._last.get(name, []), lines):
                if line not in NOISE:
                    yield step, line
            self._last[name] = lines
            if pod.status.phase in ("Succeeded", "Failed"):
                self._over.add(name)

    def last_words(self, step: str, lines: int = 20) -> list[str]:
        """The end of the newest pod's log of a step; empty where it cannot be had."""
        from kubernetes.client.rest import ApiException
        from urllib3.exceptions import HTTPError

        try:
            pods = run_pods(self.cluster, self.run_id)
        except (ApiException, HTTPError):
            return []
        own = [p for p in pods if (p.metadata.labels or {}).get(STEP) == step]
        own.sort(key=lambda pod: str(pod.metadata.creation_timestamp))
        return tail(self.cluster, own[-1].metadata.name)[-lines:] if own else []


def tail(cluster: Cluster, pod: str, lines: int = TAIL_LINES) -> list[str]:
    """The end of a pod's log; empty where it cannot be had (any more)."""
    from kubernetes.client.rest import ApiException

    try:
        text = cluster.core.read_namespaced_pod_log(pod, cluster.namespace, tail_lines=lines)
    except ApiException:
        return []
    return str(text or "").splitlines()


def new_lines(before: list[str], now: list[str]) -> list[str]:
    """What a log has more than when it was last read; both are its ends."""
    for shared in range(min(len(before), len(now)), 0, -1):
        if now[:shared] == before[-shared:]:
            return now[shared:]
    return now
