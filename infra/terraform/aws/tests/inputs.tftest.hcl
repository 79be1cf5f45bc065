# What is refused before anything is made, and what may be opened.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  region     = "eu-central-1"
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-1", "subnet-2"]
  admins     = ["arn:aws:iam::123456789012:role/platform"]
}

run "a_public_endpoint_for_named_ranges" {
  variables {
    public_access_cidrs = ["203.0.113.0/28"]
    client_cidrs        = ["10.20.0.0/16"]
  }

  assert {
    condition = (
      aws_eks_cluster.main.vpc_config[0].endpoint_public_access
      && aws_eks_cluster.main.vpc_config[0].endpoint_private_access
      && aws_eks_cluster.main.vpc_config[0].public_access_cidrs == toset(["203.0.113.0/28"])
      && aws_vpc_security_group_ingress_rule.api_from_clients["10.20.0.0/16"].from_port == 443
    )
    error_message = "These ranges, and no others."
  }
}

run "the_whole_internet" {
  command = plan
  variables { public_access_cidrs = ["0.0.0.0/0"] }
  expect_failures = [var.public_access_cidrs]
}

run "the_whole_internet_in_two_halves" {
  command = plan
  variables { public_access_cidrs = ["0.0.0.0/1", "128.0.0.0/1"] }
  expect_failures = [var.public_access_cidrs]
}

run "the_whole_internet_of_version_6" {
  command = plan
  variables { public_access_cidrs = ["::/0"] }
  expect_failures = [var.public_access_cidrs]
}

run "the_whole_internet_as_clients" {
  command = plan
  variables { client_cidrs = ["0.0.0.0/0"] }
  expect_failures = [var.client_cidrs]
}

run "no_administrator" {
  command = plan
  variables { admins = [] }
  expect_failures = [var.admins]
}

run "an_administrator_by_key" {
  command = plan
  variables { admins = ["AKIAIOSFODNN7EXAMPLE"] }
  expect_failures = [var.admins]
}

run "a_group_of_the_system" {
  command = plan
  variables { groups_of = { "arn:aws:iam::123456789012:role/submitter" = ["system:masters"] } }
  expect_failures = [var.groups_of]
}

run "a_name_that_a_database_cannot_have" {
  command = plan
  variables { name = "saga--two" }
  expect_failures = [var.name]
}

run "a_user_of_the_store_by_a_name_that_is_taken" {
  command = plan
  variables { store_users = { volumes = { namespace = "saga", service_account = "any", write = true } } }
  expect_failures = [var.store_users]
}

run "a_user_of_the_store_named_as_the_cache" {
  command = plan
  variables { store_users = { cache = { namespace = "saga", service_account = "any", write = true } } }
  expect_failures = [var.store_users]
}

run "a_cache_that_belongs_to_root" {
  command = plan
  variables { cache_owner = { uid = 0, gid = 10001 } }
  expect_failures = [var.cache_owner]
}

run "one_subnet_twice" {
  command = plan
  variables { subnet_ids = ["subnet-1", "subnet-1"] }
  expect_failures = [var.subnet_ids]
}

run "subnets_in_one_zone" {
  command = plan
  override_data {
    target = data.aws_subnet.given
    values = { vpc_id = "vpc-1", map_public_ip_on_launch = false, availability_zone = "eu-central-1a" }
  }
  expect_failures = [aws_eks_cluster.main]
}

run "a_network_without_names" {
  command = plan
  override_data {
    target = data.aws_vpc.given
    values = { enable_dns_support = true, enable_dns_hostnames = false }
  }
  expect_failures = [data.aws_vpc.given]
}

run "a_subnet_of_another_network" {
  command = plan
  override_data {
    target = data.aws_subnet.given["subnet-2"]
    values = { vpc_id = "vpc-2", map_public_ip_on_launch = false }
  }
  expect_failures = [data.aws_subnet.given["subnet-2"]]
}

run "a_public_subnet" {
  command = plan
  override_data {
    target = data.aws_subnet.given["subnet-1"]
    values = { vpc_id = "vpc-1", map_public_ip_on_launch = true }
  }
  expect_failures = [data.aws_subnet.given["subnet-1"]]
}

run "a_version_as_a_number" {
  command = plan
  variables { kubernetes_version = 1.4 }
  expect_failures = [var.kubernetes_version]
}

run "an_unknown_addon" {
  command = plan
  variables { addon_versions = { cordns = "v1.11.4-eksbuild.2" } }
  expect_failures = [var.addon_versions]
}

run "backups_of_a_day" {
  command = plan
  variables { database_backup_days = 1 }
  expect_failures = [var.database_backup_days]
}

run "a_pool_on_gpus_without_a_taint" {
  command = plan
  variables {
    pools = {
      cpu = { instance_types = ["m7i.large"], min_nodes = 1, max_nodes = 1, labels = {} }
      gpu = { instance_types = ["g6.xlarge"], ami_type = "AL2023_x86_64_NVIDIA", max_nodes = 1, labels = {} }
    }
  }
  expect_failures = [var.pools]
}

run "a_pool_on_gpus_without_their_driver" {
  command = plan
  variables {
    pools = {
      cpu = { instance_types = ["m7i.large"], min_nodes = 1, max_nodes = 1, labels = {} }
      gpu = { instance_types = ["g6.xlarge"], max_nodes = 1, labels = {}, taints = [{ key = "nvidia.com/gpu" }] }
    }
  }
  expect_failures = [var.pools]
}

run "an_effect_in_the_words_of_eks" {
  command = plan
  variables {
    pools = {
      cpu = { instance_types = ["m7i.large"], min_nodes = 1, max_nodes = 1, labels = {} }
      odd = { instance_types = ["m7i.large"], max_nodes = 1, labels = {}, taints = [{ key = "a", effect = "NO_SCHEDULE" }] }
    }
  }
  expect_failures = [var.pools]
}

run "a_capacity_that_is_none" {
  command = plan
  variables {
    pools = { cpu = { instance_types = ["m7i.large"], capacity = "SPOT", min_nodes = 1, max_nodes = 1, labels = {} } }
  }
  expect_failures = [var.pools]
}

run "more_nodes_at_least_than_at_most" {
  command = plan
  variables {
    pools = { cpu = { instance_types = ["m7i.large"], min_nodes = 3, max_nodes = 2, labels = {} } }
  }
  expect_failures = [var.pools]
}

run "nothing_that_stays" {
  command = plan
  variables {
    pools = { cpu = { instance_types = ["m7i.large"], min_nodes = 0, max_nodes = 2, labels = {} } }
  }
  expect_failures = [var.pools]
}
