"""The AWS module, applied to an account on loopback, and what is found there afterwards."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.infra.kubernetes_manifests import of_kind, rendered
from tests.infra.terraform_moto import REGION, UNKNOWN_TO_MOTO, Account, account
from tests.infra.terraform_program import MODULE, Copy, copied

STACK = MODULE.parents[2] / "configs" / "stacks" / "kubernetes.yaml"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Copy, Account]]:
    """The module in an account that had nothing but a network; a minute of it is RDS's own waiting."""
    folder = tmp_path_factory.mktemp("applied")
    with account(folder / "moto.log") as found:
        copy = copied(folder / "module", found.environment)
        (copy.folder / "moto_override.tf").write_text(UNKNOWN_TO_MOTO)
        given = {"region": REGION, "admins": ["arn:aws:iam::123456789012:role/platform"]}
        variables = json.dumps(given | found.ask("network"))
        (copy.folder / "terraform.tfvars.json").write_text(variables)
        copy.must("apply", "-auto-approve", "-input=false", "-no-color", timeout=550)
        yield copy, found


@pytest.fixture(scope="module")
def holdings(applied: tuple[Copy, Account]) -> Any:
    return applied[1].ask("holdings")


@pytest.fixture(scope="module")
def outputs(applied: tuple[Copy, Account]) -> dict[str, Any]:
    told = json.loads(applied[0].must("output", "-json"))
    return {name: output["value"] for name, output in told.items()}


def test_the_cluster_answers_inside_its_network_alone(holdings):
    network = holdings["cluster"]["resourcesVpcConfig"]
    assert network["endpointPrivateAccess"] and not network["endpointPublicAccess"]
    (encryption,) = holdings["cluster"]["encryptionConfig"]
    assert encryption["resources"] == ["secrets"]


def test_pools_stand_as_the_stack_expects_them(holdings):
    pools = yaml.safe_load(STACK.read_text())["pools"]
    assert holdings["pools"].keys() == pools.keys()
    for name, pool in pools.items():
        group = holdings["pools"][name]
        assert pool["labels"].items() <= group["labels"].items()
        assert [(t["key"], t.get("value"), t["effect"]) for t in group.get("taints") or []] == [
            (t["key"], t["value"], {"NoSchedule": "NO_SCHEDULE"}[t["effect"]])
            for t in pool.get("taints", [])
        ]
        assert group["capacityType"] == ("SPOT" if pool.get("spot") else "ON_DEMAND")
        assert (group["scalingConfig"]["minSize"] == 0) == pool.get("may_be_empty", False)


def test_the_store_is_encrypted_versioned_and_closed(holdings):
    (store,) = holdings["stores"]
    (rule,) = store["encryption"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert store["versions"] == "Enabled" and all(store["public"].values())
    (statement,) = store["policy"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_images_keep_their_tags(holdings):
    (images,) = holdings["images"]
    assert images["imageTagMutability"] == "IMMUTABLE"
    assert images["imageScanningConfiguration"]["scanOnPush"]


def test_the_cache_is_encrypted_of_the_pods_user_and_reached_by_the_nodes_alone(holdings, applied):
    cache = holdings["cache"]
    (system,), (point,) = cache["systems"], cache["points"]
    assert system["Encrypted"] and system["KmsKeyId"]
    assert point["PosixUser"] == {"Uid": 10001, "Gid": 10001}
    given = json.loads((applied[0].folder / "terraform.tfvars.json").read_text())
    assert sorted(target["subnet"] for target in cache["targets"]) == sorted(given["subnet_ids"])
    for target in cache["targets"]:
        ((port, (group,), ranges),) = target["sources"]
        assert (port, ranges) == (2049, []) and group.startswith("saga-nodes-")


def test_the_overlay_names_the_volume_and_the_network_of_the_account(outputs, holdings, tmp_path):
    (tmp_path / "infra").symlink_to(MODULE.parents[1])
    ours = tmp_path / "our-cluster"
    ours.mkdir()
    (ours / "kustomization.yaml").write_text(outputs["overlay"])
    made = list(yaml.safe_load_all(rendered(ours)))
    (volume,) = of_kind(made, "PersistentVolume").values()
    (point,) = holdings["cache"]["points"]
    handle = f"{point['FileSystemId']}::{point['AccessPointId']}"
    assert volume["spec"]["csi"]["volumeHandle"] == handle
    assert set(outputs["cache"].values()) == set(handle.split("::"))
    policy = of_kind(made, "NetworkPolicy")["vpc-endpoints"]["spec"]["egress"]
    assert policy == [
        {
            "to": [{"ipBlock": {"cidr": "10.0.0.0/16"}}],
            "ports": [{"protocol": "TCP", "port": 443}],
        }
    ]


def test_the_database_is_private_and_no_password_is_written_down(holdings, applied):
    (database,) = holdings["databases"]
    assert not database["PubliclyAccessible"] and database["StorageEncrypted"]
    assert database["DeletionProtection"] and database["BackupRetentionPeriod"] == 14
    state = json.loads(applied[0].must("show", "-json"))
    (kept,) = [
        resource["values"]
        for resource in state["values"]["root_module"]["resources"]
        if resource["type"] == "aws_db_instance"
    ]
    assert kept["password"] is None and kept["manage_master_user_password"]


def test_no_key_and_no_network_was_made(holdings, applied):
    assert holdings["access_keys"] == []
    given = json.loads((applied[0].folder / "terraform.tfvars.json").read_text())
    network = holdings["network"]
    assert network["vpcs"] == [given["vpc_id"]] and network["nat"] == network["gateways"] == []
    assert sorted(network["subnets"]) == sorted(given["subnet_ids"])


def test_a_service_account_may_use_the_store_and_nothing_else(applied):
    """As the server's IAM judges requests with the credentials of each role."""
    rights = applied[1].ask("rights")
    may = {role.removeprefix("saga-").split("-")[0]: set(acts) for role, acts in rights.items()}
    for user in ("step", "training", "orchestrator"):
        assert may[user] == {"list", "read", "write", "delete"}, user
    assert may["server"] == {"list", "read"}
    assert may["nodes"] == may["autoscaler"] == may["volumes"] == may["cache"] == set()


def test_outputs_are_what_the_stack_is_written_from(outputs):
    """Same keys in the same places; what does not depend on an account has the same value."""
    stack, written = outputs["stack"], yaml.safe_load(STACK.read_text())
    assert stack["cluster"]["context"] == written["cluster"]["context"]
    assert stack["cluster"]["namespace"] == written["cluster"]["namespace"]
    assert stack["service_accounts"] == written["service_accounts"]
    assert stack["artifact_store"].keys() == written["artifact_store"].keys()
    assert stack["artifact_store"]["uri"].startswith("s3://saga-store-")
    assert stack["registry"].keys() == written["registry"].keys()
    assert stack["image"].startswith(stack["registry"]["uri"] + "/")
    for name, pool in stack["pools"].items():
        of_stack = written["pools"][name]
        assert pool["labels"] == of_stack["labels"]
        assert pool["taints"] == of_stack.get("taints", [])
        assert pool["spot"] == of_stack.get("spot", False)


def test_a_subnet_of_another_network_is_refused_by_name(applied):
    copy, found = applied
    other = found.ask("network")
    refused = copy.run(
        "plan", "-input=false", "-no-color", "-refresh=false", f"-var=vpc_id={other['vpc_id']}"
    )
    said = " ".join(refused.stderr.split())
    assert refused.returncode == 1 and f"not in vpc_id ({other['vpc_id']})" in said
