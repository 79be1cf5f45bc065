# What one gets by naming a network and an administrator: private, encrypted, nothing that a key opens for ever.

mock_provider "aws" {
  source = "./tests/mocks"
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
    condition = (
      aws_eks_cluster.main.vpc_config[0].endpoint_private_access
      && !aws_eks_cluster.main.vpc_config[0].endpoint_public_access
    )
    error_message = "The endpoint is private."
  }

  assert {
    condition = (
      aws_eks_cluster.main.encryption_config[0].resources == toset(["secrets"])
      && aws_eks_cluster.main.encryption_config[0].provider[0].key_arn == aws_kms_key.cluster.arn
    )
    error_message = "Secrets are encrypted by the cluster's key."
  }

  assert {
    condition = (
      length(aws_eks_cluster.main.enabled_cluster_log_types) == 5
      && toset([for group in aws_cloudwatch_log_group.of : group.name]) == toset(["/aws/eks/saga/cluster", "/aws/rds/instance/saga-zenml/error"])
      && alltrue([for group in aws_cloudwatch_log_group.of : group.kms_key_id == aws_kms_key.cluster.arn && group.retention_in_days == 365])
    )
    error_message = "Five logs of the control plane and the database's: encrypted, and not kept for ever."
  }

  assert {
    condition = toset(flatten([
      for statement in jsondecode(aws_kms_key.cluster.policy).Statement : values(try(statement.Condition.ArnEquals, {}))
      ])) == toset([
      "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/eks/saga/cluster",
      "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/rds/instance/saga-zenml/error",
    ])
    error_message = "The log service uses the key for these groups alone."
  }

  assert {
    condition = (
      aws_eks_cluster.main.access_config[0].authentication_mode == "API"
      && !aws_eks_cluster.main.access_config[0].bootstrap_cluster_creator_admin_permissions
      && keys(aws_eks_access_policy_association.admin) == ["arn:aws:iam::123456789012:role/platform"]
    )
    error_message = "Who administers is who was named, not who ran terraform."
  }

  assert {
    condition     = aws_kms_key.cluster.enable_key_rotation && aws_kms_key.data.enable_key_rotation
    error_message = "Keys rotate."
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.api_from_clients) == 0
    error_message = "No range of clients unless named."
  }

  assert {
    condition = (
      toset([for rule in aws_vpc_security_group_ingress_rule.nodes_from_control_plane : "${rule.from_port}-${rule.to_port}"])
      == toset(["443-443", "4443-4443", "6443-6443", "8443-8443", "9443-9443", "10250-10250"])
    )
    error_message = "The control plane reaches kubelets and webhooks of the nodes, and nothing else there."
  }

  assert {
    condition     = alltrue([for group in aws_eks_node_group.pool : group.version == aws_eks_cluster.main.version])
    error_message = "Nodes follow the version of the cluster."
  }

  assert {
    condition     = jsondecode(aws_eks_addon.before_nodes["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "Network policies are enforced: without this setting EKS ignores them."
  }

  assert {
    condition     = aws_s3_bucket.store.bucket == "saga-store-123456789012-eu-central-1"
    error_message = "The bucket's name is of this account and region."
  }

  assert {
    condition     = aws_s3_bucket_versioning.store.versioning_configuration[0].status == "Enabled"
    error_message = "Objects have versions."
  }

  assert {
    condition = one([
      for rule in aws_s3_bucket_server_side_encryption_configuration.store.rule :
      one(rule.apply_server_side_encryption_by_default).kms_master_key_id
    ]) == aws_kms_key.data.arn
    error_message = "Objects are encrypted by the data key."
  }

  assert {
    condition = (
      aws_s3_bucket_public_access_block.store.block_public_acls
      && aws_s3_bucket_public_access_block.store.block_public_policy
      && aws_s3_bucket_public_access_block.store.ignore_public_acls
      && aws_s3_bucket_public_access_block.store.restrict_public_buckets
    )
    error_message = "Public access is blocked, in all four ways."
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(aws_s3_bucket_policy.store.policy).Statement :
      statement.Effect == "Deny" && statement.Principal == "*" && statement.Action == "s3:*"
      && statement.Condition.Bool["aws:SecureTransport"] == "false"
      && contains(statement.Resource, "${aws_s3_bucket.store.arn}/*")
    ])
    error_message = "Without TLS nobody does anything."
  }

  assert {
    condition = anytrue([
      for rule in aws_s3_bucket_lifecycle_configuration.store.rule :
      rule.status == "Enabled" && try(rule.noncurrent_version_expiration[0].noncurrent_days, 0) == 90
    ])
    error_message = "Noncurrent versions go after 90 days."
  }

  assert {
    condition = (
      aws_ecr_repository.images.image_tag_mutability == "IMMUTABLE"
      && aws_ecr_repository.images.image_scanning_configuration[0].scan_on_push
      && aws_ecr_repository.images.encryption_configuration[0].kms_key == aws_kms_key.data.arn
    )
    error_message = "Images: immutable, scanned, encrypted by the data key."
  }

  assert {
    condition = alltrue([
      for name in ["step", "training", "orchestrator"] : toset(flatten([
        for statement in jsondecode(aws_iam_role_policy.store_user[name].policy).Statement : statement.Action
        ])) == toset([
        "s3:ListBucket", "s3:GetBucketLocation", "s3:GetObject", "s3:PutObject", "s3:DeleteObject",
        "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "kms:Decrypt", "kms:GenerateDataKey",
      ])
    ])
    error_message = "Steps and orchestrator read and write objects; versions they cannot delete."
  }

  assert {
    condition = toset(flatten([
      for statement in jsondecode(aws_iam_role_policy.store_user["server"].policy).Statement : statement.Action
    ])) == toset(["s3:ListBucket", "s3:GetBucketLocation", "s3:GetObject", "kms:Decrypt"])
    error_message = "The server reads."
  }

  assert {
    condition = alltrue(flatten([
      for policy in aws_iam_role_policy.store_user : [
        for statement in jsondecode(policy.policy).Statement :
        contains([aws_s3_bucket.store.arn, "${aws_s3_bucket.store.arn}/*", aws_kms_key.data.arn], statement.Resource)
      ]
    ]))
    error_message = "The store and its key, and no other resource."
  }

  assert {
    condition = alltrue([
      for name, role in aws_iam_role.store_user : alltrue([
        for statement in jsondecode(role.assume_role_policy).Statement :
        statement.Principal == { Service = "pods.eks.amazonaws.com" }
        && statement.Condition.StringEquals["aws:RequestTag/eks-cluster-arn"] == aws_eks_cluster.main.arn
        && statement.Condition.StringEquals["aws:RequestTag/kubernetes-namespace"] == var.store_users[name].namespace
        && statement.Condition.StringEquals["aws:RequestTag/kubernetes-service-account"] == var.store_users[name].service_account
      ])
    ])
    error_message = "A role is for its own service account of this cluster."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.autoscaler.policy).Statement :
      try(statement.Condition.StringEquals["aws:ResourceTag/k8s.io/cluster-autoscaler/saga"], "") == "owned"
      if anytrue([for action in flatten([statement.Action]) : !can(regex(":(Describe|Get)", action))])
    ])
    error_message = "The autoscaler changes groups of this cluster alone."
  }

  assert {
    condition = toset([for user in aws_eks_pod_identity_association.store_user : "${user.namespace}/${user.service_account}"]) == toset([
      for user in output.service_accounts : "${user.namespace}/${user.service_account}" if !contains(["kube-system"], user.namespace)
    ])
    error_message = "The output names the service accounts that have an identity."
  }

  assert {
    condition = (
      aws_db_instance.zenml.engine == "mysql"
      && aws_db_instance.zenml.storage_encrypted
      && aws_db_instance.zenml.kms_key_id == aws_kms_key.data.arn
      && !aws_db_instance.zenml.publicly_accessible
      && aws_db_instance.zenml.multi_az
    )
    error_message = "MySQL, encrypted, private, in two zones."
  }

  assert {
    condition     = aws_db_instance.zenml.manage_master_user_password && aws_db_instance.zenml.password == null
    error_message = "RDS keeps the password; no file does."
  }

  assert {
    condition = (
      aws_db_instance.zenml.backup_retention_period == 14
      && aws_db_instance.zenml.deletion_protection
      && !aws_db_instance.zenml.skip_final_snapshot
      && !aws_db_instance.zenml.delete_automated_backups
    )
    error_message = "Backups, and no way to lose them by mistake."
  }

  assert {
    condition = one([
      for parameter in aws_db_parameter_group.zenml.parameter :
      parameter.value if parameter.name == "require_secure_transport"
    ]) == "1" && aws_db_parameter_group.zenml.family == "mysql8.4"
    error_message = "TLS alone."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.database_from_nodes.referenced_security_group_id == aws_security_group.nodes.id
    error_message = "The nodes reach it."
  }

  assert {
    condition = (
      output.stack.cluster == { context = "saga", namespace = "saga" }
      && output.stack.artifact_store.uri == "s3://saga-store-123456789012-eu-central-1"
      && output.stack.registry.uri == "123456789012.dkr.ecr.eu-central-1.example"
      && output.stack.image == "123456789012.dkr.ecr.eu-central-1.example/saga"
      && output.stack.service_accounts == {
        orchestrator = "saga-orchestrator", step = "saga-step", training = "saga-training"
      }
    )
    error_message = "Context, store, registry and image."
  }

  assert {
    condition     = output.zenml_server.database_host == "made.rds.example" && output.zenml_server.database_name == "zenml" && output.zenml_server.database_port == 3306
    error_message = "Where the server's database is."
  }
}
