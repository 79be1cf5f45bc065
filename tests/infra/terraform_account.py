"""Questions to an AWS account; run by moto's Python, which has boto3.

python terraform_account.py network    makes a VPC with two subnets, prints their names
python terraform_account.py holdings   prints what the account holds
python terraform_account.py rights     prints what each role may do, as the server's IAM judges it
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

import boto3
from botocore.exceptions import ClientError

ELSEWHERE = "elsewhere"


def network() -> dict[str, Any]:
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    region = ec2.meta.region_name
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{i}.0/24", AvailabilityZone=f"{region}{zone}")
        for i, zone in enumerate("ab")
    ]
    return {"vpc_id": vpc, "subnet_ids": [made["Subnet"]["SubnetId"] for made in subnets]}


def holdings() -> dict[str, Any]:
    return {
        "cluster": boto3.client("eks").describe_cluster(name="saga")["cluster"],
        "pools": pools(),
        "stores": [store(b["Name"]) for b in boto3.client("s3").list_buckets()["Buckets"]],
        "images": boto3.client("ecr").describe_repositories()["repositories"],
        "cache": cache(),
        "databases": boto3.client("rds").describe_db_instances()["DBInstances"],
        "access_keys": access_keys(),
        "network": in_network(),
    }


def pools() -> dict[str, Any]:
    eks = boto3.client("eks")
    groups = [
        eks.describe_nodegroup(clusterName="saga", nodegroupName=name)["nodegroup"]
        for name in eks.list_nodegroups(clusterName="saga")["nodegroups"]
    ]
    return {group["labels"]["saga.dev/pool"]: group for group in groups}


def cache() -> dict[str, Any]:
    """File systems, and what leads to them."""
    efs, ec2 = boto3.client("efs"), boto3.client("ec2")
    systems = efs.describe_file_systems()["FileSystems"]
    targets = [
        {"subnet": target["SubnetId"], "sources": sources(ec2, efs, target["MountTargetId"])}
        for system in systems
        for target in efs.describe_mount_targets(FileSystemId=system["FileSystemId"])[
            "MountTargets"
        ]
    ]
    points = efs.describe_access_points()["AccessPoints"]
    return {"systems": systems, "targets": targets, "points": points}


def sources(ec2: Any, efs: Any, target: str) -> list[Any]:
    """Ports and security groups that reach a mount target."""
    groups = efs.describe_mount_target_security_groups(MountTargetId=target)["SecurityGroups"]
    found = ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
    rules = [rule for group in found for rule in group["IpPermissions"]]
    names = {g["GroupId"]: g["GroupName"] for g in ec2.describe_security_groups()["SecurityGroups"]}
    return [
        [
            rule["FromPort"],
            [names[pair["GroupId"]] for pair in rule["UserIdGroupPairs"]],
            rule["IpRanges"],
        ]
        for rule in rules
    ]


def store(name: str) -> dict[str, Any]:
    s3 = boto3.client("s3")
    return {
        "name": name,
        "versions": s3.get_bucket_versioning(Bucket=name).get("Status"),
        "encryption": s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"],
        "public": s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"],
        "policy": json.loads(s3.get_bucket_policy(Bucket=name)["Policy"]),
    }


def in_network() -> dict[str, list[str]]:
    """What lies in networks that are not the account's default one."""
    ec2 = boto3.client("ec2")
    found = ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["false"]}])["Vpcs"]
    vpcs = [vpc["VpcId"] for vpc in found]
    inside = [{"Name": "vpc-id", "Values": vpcs}]
    attached = [{"Name": "attachment.vpc-id", "Values": vpcs}]
    gateways = ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]
    return {
        "vpcs": vpcs,
        "subnets": [s["SubnetId"] for s in ec2.describe_subnets(Filters=inside)["Subnets"]],
        "gateways": [g["InternetGatewayId"] for g in gateways],
        "nat": [
            n["NatGatewayId"] for n in ec2.describe_nat_gateways(Filters=inside)["NatGateways"]
        ],
    }


def access_keys() -> list[str]:
    iam = boto3.client("iam")
    users = [user["UserName"] for user in iam.list_users()["Users"]]
    found = [iam.list_access_keys(UserName=user)["AccessKeyMetadata"] for user in users]
    return [key["AccessKeyId"] for keys in found for key in keys]


def rights() -> dict[str, list[str]]:
    """By role, the acts that are not refused."""
    s3, iam = boto3.client("s3"), boto3.client("iam")
    (name,) = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    s3.create_bucket(
        Bucket=ELSEWHERE,
        CreateBucketConfiguration={"LocationConstraint": os.environ["AWS_DEFAULT_REGION"]},
    )
    # moto reads no conditions in a bucket's policy: "without TLS nobody" is "nobody" to it.
    policy = s3.get_bucket_policy(Bucket=name)["Policy"]
    s3.delete_bucket_policy(Bucket=name)
    version = s3.put_object(Bucket=name, Key="kept", Body=b"kept")["VersionId"]
    s3.put_object(Bucket=ELSEWHERE, Key="kept", Body=b"kept")
    sessions = {role["RoleName"]: session(role["Arn"]) for role in iam.list_roles()["Roles"]}
    judge(unjudged=0)
    may = {role: allowed(of_role, name, version) for role, of_role in sessions.items()}
    judge(unjudged=float("inf"))
    s3.delete_object(Bucket=ELSEWHERE, Key="kept")
    s3.delete_bucket(Bucket=ELSEWHERE)
    s3.put_bucket_policy(Bucket=name, Policy=policy)
    return may


def session(role: str) -> boto3.Session:
    made = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return boto3.Session(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])


def judge(unjudged: float) -> None:
    """Let the server's IAM judge every request but the first so many."""
    asked = f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
    plain = {"Content-Type": "text/plain"}
    urlopen(Request(asked, str(unjudged).encode(), plain, method="POST"), timeout=10).close()


def allowed(role: boto3.Session, name: str, version: str) -> list[str]:
    s3, iam = role.client("s3"), role.client("iam")
    acts: dict[str, Callable[[], Any]] = {
        "list": lambda: s3.list_objects_v2(Bucket=name),
        "read": lambda: s3.get_object(Bucket=name, Key="kept"),
        "write": lambda: s3.put_object(Bucket=name, Key="new", Body=b"new"),
        "delete": lambda: s3.delete_object(Bucket=name, Key="new"),
        "delete a version": lambda: s3.delete_object(Bucket=name, Key="kept", VersionId=version),
        "change the policy": lambda: s3.delete_bucket_policy(Bucket=name),
        "read elsewhere": lambda: s3.get_object(Bucket=ELSEWHERE, Key="kept"),
        "write elsewhere": lambda: s3.put_object(Bucket=ELSEWHERE, Key="new", Body=b"new"),
        "list buckets": lambda: s3.list_buckets(),
        "list users": lambda: iam.list_users(),
    }
    return [act for act, do in acts.items() if not refused(do)]


def refused(do: Callable[[], Any]) -> bool:
    try:
        do()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException"):
            return True
        raise
    return False


if __name__ == "__main__":
    answer = {"network": network, "holdings": holdings, "rights": rights}[sys.argv[1]]()
    json.dump(answer, sys.stdout, default=str)
