# The cache: one file system for pods of all zones, which the nodes alone reach, by one access point.

mock_provider "aws" {
  source = "./tests/mocks"

  override_data {
    target = data.aws_subnet.given["subnet-1"]
    values = { vpc_id = "vpc-1", map_public_ip_on_launch = false, availability_zone = "eu-central-1a" }
  }
  override_data {
    target = data.aws_subnet.given["subnet-2"]
    values = { vpc_id = "vpc-1", map_public_ip_on_launch = false, availability_zone = "eu-central-1b" }
  }
  override_data {
    target = data.aws_subnet.given["subnet-3"]
    values = { vpc_id = "vpc-1", map_public_ip_on_launch = false, availability_zone = "eu-central-1b" }
  }
  override_data {
    target = data.aws_subnet.given["subnet-4"]
    values = { vpc_id = "vpc-1", map_public_ip_on_launch = false, availability_zone = "eu-central-1c" }
  }
}

variables {
  region     = "eu-central-1"
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-1", "subnet-2"]
  admins     = ["arn:aws:iam::123456789012:role/platform"]
}

run "defaults" {
  command = apply

  assert {
    condition     = aws_efs_file_system.cache.encrypted && aws_efs_file_system.cache.kms_key_id == aws_kms_key.data.arn
    error_message = "Encrypted by the data key."
  }

  assert {
    condition     = { for zone, target in aws_efs_mount_target.cache : zone => target.subnet_id } == { eu-central-1a = "subnet-1", eu-central-1b = "subnet-2" }
    error_message = "A mount target in each zone of the nodes."
  }

  assert {
    condition     = alltrue([for target in aws_efs_mount_target.cache : target.security_groups == toset([aws_security_group.cache.id])])
    error_message = "Behind the cache's own security group."
  }

  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.cache_from_nodes.security_group_id == aws_security_group.cache.id
      && aws_vpc_security_group_ingress_rule.cache_from_nodes.referenced_security_group_id == aws_security_group.nodes.id
      && aws_vpc_security_group_ingress_rule.cache_from_nodes.from_port == 2049
      && aws_vpc_security_group_egress_rule.nodes_to_cache.security_group_id == aws_security_group.nodes.id
      && aws_vpc_security_group_egress_rule.nodes_to_cache.referenced_security_group_id == aws_security_group.cache.id
    )
    error_message = "The nodes reach it, and nobody else."
  }

  assert {
    condition = (
      one(aws_efs_access_point.cache.posix_user).uid == 10001
      && one(one(aws_efs_access_point.cache.root_directory).creation_info).owner_uid == 10001
      && one(one(aws_efs_access_point.cache.root_directory).creation_info).permissions == "0700"
      && one(aws_efs_access_point.cache.root_directory).path != "/"
    )
    error_message = "One folder, of the pods' user."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_efs_file_system_policy.cache.policy).Statement :
      statement.Condition.StringEquals["elasticfilesystem:AccessPointArn"] == aws_efs_access_point.cache.arn
      && !contains(statement.Action, "elasticfilesystem:ClientRootAccess")
      if statement.Effect == "Allow"
    ])
    error_message = "By the access point alone, and never as root."
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(aws_efs_file_system_policy.cache.policy).Statement :
      statement.Effect == "Deny" && try(statement.Condition.Bool["aws:SecureTransport"], "") == "false"
    ])
    error_message = "Without TLS nobody mounts."
  }

  assert {
    condition     = one(aws_efs_backup_policy.cache.backup_policy).status == "DISABLED"
    error_message = "No copies unless asked for."
  }

  assert {
    condition     = length(aws_efs_file_system.cache.lifecycle_policy) == 3
    error_message = "What nobody reads becomes cheap, and comes back when it is read."
  }

  assert {
    condition     = contains(keys(aws_eks_addon.after_nodes), "aws-efs-csi-driver")
    error_message = "The driver that mounts it."
  }

  assert {
    condition = (
      aws_eks_pod_identity_association.cache.service_account == "efs-csi-controller-sa"
      && aws_eks_pod_identity_association.cache.role_arn == aws_iam_role.cache.arn
      && alltrue([
        for action in flatten([for statement in jsondecode(aws_iam_role_policy.cache.policy).Statement : statement.Action]) :
        can(regex(":Describe", action))
      ])
    )
    error_message = "The driver looks, and changes nothing."
  }

  assert {
    condition     = output.cache == { file_system_id = "fs-1", access_point_id = "fsap-1" }
    error_message = "What a volume is named by."
  }

  assert {
    condition = (
      yamldecode(yamldecode(output.overlay).patches[0].patch)[0].value == "fs-1::fsap-1"
      && yamldecode(yamldecode(output.overlay).patches[1].patch)[0].value == [
        { ipBlock = { cidr = "10.7.0.0/16" } }, { ipBlock = { cidr = "100.64.0.0/16" } },
      ]
    )
    error_message = "The overlay gets the volume, and every range of the VPC."
  }
}

run "zones_of_the_pools" {
  command = apply

  variables {
    cache_backup = true
    cache_owner  = { uid = 1000, gid = 1000 }
    pools = {
      cpu = { instance_types = ["m7i.large"], min_nodes = 1, max_nodes = 1, labels = {} }
      gpu = {
        instance_types = ["p5.4xlarge"]
        ami_type       = "AL2023_x86_64_NVIDIA"
        max_nodes      = 1
        labels         = {}
        taints         = [{ key = "nvidia.com/gpu" }]
        subnet_ids     = ["subnet-3", "subnet-4"]
      }
    }
  }

  assert {
    condition = { for zone, target in aws_efs_mount_target.cache : zone => target.subnet_id } == {
      eu-central-1a = "subnet-1", eu-central-1b = "subnet-2", eu-central-1c = "subnet-4"
    }
    error_message = "Zones of the pools' own subnets too, and each zone once: a second target is refused by EFS."
  }

  assert {
    condition     = one(aws_efs_backup_policy.cache.backup_policy).status == "ENABLED" && one(aws_efs_access_point.cache.posix_user).uid == 1000
    error_message = "Copies and owner as asked for."
  }
}
