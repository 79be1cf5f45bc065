"""The cluster of the tests; `make test-cluster` runs them, other runs skip them and say so.

A cluster of yours (SAGA_TEST_KUBECONFIG) is asked, not changed: whether its accounts may do what they
need. The other tests need nodes that run this working tree, and make a cluster of their own.
"""

import os
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.agent.images import images
from tests.cluster.agent.sandbox import ISOLATED
from tests.cluster.cluster import Cluster, cluster
from tests.cluster.controlplane.binaries import UnavailableError
from tests.cluster.naming import OTHERS, OURS
from tests.cluster.processes import TIED

WANTED = "SAGA_TEST_CLUSTER"
GIVEN = "SAGA_TEST_KUBECONFIG"
IMAGE = r"registry\.example\.com/saga:.+"
BARE = r"registry\.example\.com/bare:.+"
POOLS = (*OURS.nodes(), *OTHERS.nodes())


def missing() -> str | None:
    """Why no cluster can be had here; None where one can."""
    if not os.environ.get(WANTED):
        return f"the cluster tests take minutes: make test-cluster, or {WANTED}=1"
    if os.environ.get(GIVEN):
        return f"{GIVEN} is set: only what can be asked of a cluster is tested"
    if os.geteuid() != 0:
        return "the node agent needs root: sudo make test-cluster"
    if any(shutil.which(program) is None for program in ("unshare", "setpriv")):
        return "the node agent needs unshare and setpriv (util-linux)"
    tried = subprocess.run(
        [*TIED, *ISOLATED, "sh", "-c", "mount --make-rprivate /"], capture_output=True, text=True
    )
    if tried.returncode:
        return f"the node agent may not make mounts of its own here: {tried.stderr.strip()}"
    return None


@pytest.fixture(scope="session")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane without nodes."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    try:
        with cluster(
            tmp_path_factory.mktemp("cluster") / "plane", images(IMAGE, bare=BARE)
        ) as ours:
            yield ours
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def pools(own_cluster: Cluster) -> Iterator[Cluster]:
    """The same with a node for every pool."""
    with own_cluster.nodes(*POOLS):
        yield own_cluster


@pytest.fixture
def space(pools: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"test-{zlib.crc32(request.node.name.encode())}"
    with pools.namespace(name) as made:
        yield made


@pytest.fixture(scope="session")
def given() -> Path | None:
    """The kubeconfig of a cluster that is not ours."""
    path = os.environ.get(GIVEN)
    return Path(path) if path else None


@pytest.fixture(scope="session")
def kubeconfig(given: Path | None, request: pytest.FixtureRequest) -> Path:
    """An administrator's, of the given cluster or of our own."""
    if given is not None:
        return given
    ours: Cluster = request.getfixturevalue("own_cluster")
    return ours.plane.admin
