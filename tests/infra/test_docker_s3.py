"""The extra s3: with it, ZenML takes an S3 artifact store, and writes to it and reads from it.

The store is moto's, on loopback.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from zenml.stack import StackComponent

from pipelines.registry import client
from pipelines.stacks.checks import outside
from pipelines.stacks.components import apply_stack
from pipelines.stacks.configuration import KubernetesStack
from tests.infra.terraform_moto import account
from tests.pipelines.stacks import stacks

pytest.importorskip("s3fs", reason="the extra [s3] is not installed")
boto3 = pytest.importorskip("boto3", reason="the extra [s3] is not installed")

pytestmark = pytest.mark.timeout(300)

BUCKET = "saga-artifacts"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty bucket; clients find it by their variables, as those of pods do."""
    with (
        account(tmp_path_factory.mktemp("moto") / "log") as reached,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in (reached.environment | {"NO_PROXY": "127.0.0.1"}).items():
            patch.setenv(name, value)
        place = {"LocationConstraint": reached.environment["AWS_DEFAULT_REGION"]}
        _s3().create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
        yield BUCKET


def _s3():
    return boto3.client("s3")


@pytest.fixture
def stack(bucket: str, tmp_path: Path) -> KubernetesStack:
    """A stack whose file names the bucket."""
    return stacks.stack(tmp_path, {"name": "bucket", "artifact_store.uri": f"s3://{bucket}/runs"})


@pytest.fixture
def store(stack: KubernetesStack):
    """Its artifact store."""
    applied = apply_stack(stack)
    (found,) = client().list_stack_components(name="equals:bucket", type="artifact_store").items
    assert applied.components["artifact_store"] in ("created", "unchanged")
    return StackComponent.from_model(found)


def test_a_stack_with_a_bucket_is_registered_and_its_store_is_zenmls_own(store):
    assert (type(store).__name__, store.path) == ("S3ArtifactStore", f"s3://{BUCKET}/runs")


def test_the_check_of_a_stack_finds_nothing_wrong_and_leaves_nothing_behind(stack):
    assert list(outside.store(stack)) == []
    assert "Contents" not in _s3().list_objects_v2(Bucket=BUCKET, Prefix="runs/saga-probe")


def test_the_check_of_a_stack_finds_that_a_bucket_is_missing(bucket, tmp_path):
    wrong = stacks.stack(tmp_path, {"artifact_store.uri": "s3://no-such-bucket"})
    (finding,) = outside.store(wrong)
    assert finding.key == "artifact_store.uri" and "s3://no-such-bucket" in finding.message


def test_what_the_store_writes_lies_in_the_bucket_and_comes_back(store):
    path = f"{store.path}/encoder/weights.bin"
    with store.open(path, "wb") as file:
        file.write(b"weights")
    with store.open(path, "rb") as file:
        assert file.read() == b"weights"
    assert _s3().get_object(Bucket=BUCKET, Key="runs/encoder/weights.bin")["Body"].read() == (
        b"weights"
    )
    assert store.listdir(f"{store.path}/encoder") == ["weights.bin"]


def test_what_the_store_removes_is_gone(store):
    path = f"{store.path}/gone/weights.bin"
    with store.open(path, "wb") as file:
        file.write(b"weights")
    store.rmtree(f"{store.path}/gone")
    assert not store.exists(path)
