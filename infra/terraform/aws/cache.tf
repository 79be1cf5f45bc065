# The cache: datasets, weights and checkpoints of training, mounted by pods of every zone at once.

locals {
  nfs_port = 2049
  # A zone takes one mount target: in the first subnet that is named there.
  subnets_by_zone = {
    for id in distinct(concat(var.subnet_ids, flatten([for pool in var.pools : coalesce(pool.subnet_ids, [])]))) :
    data.aws_subnet.given[id].availability_zone => id...
  }
}

resource "aws_efs_file_system" "cache" {
  encrypted        = true
  kms_key_id       = aws_kms_key.data.arn
  performance_mode = "generalPurpose"
  throughput_mode  = "elastic"
  tags             = { Name = "${var.name}-cache" }

  # What no run has read for a month costs a tenth, and comes back at the first reading.
  lifecycle_policy {
    transition_to_ia = "AFTER_30_DAYS"
  }
  lifecycle_policy {
    transition_to_archive = "AFTER_90_DAYS"
  }
  lifecycle_policy {
    transition_to_primary_storage_class = "AFTER_1_ACCESS"
  }
}

resource "aws_efs_backup_policy" "cache" {
  file_system_id = aws_efs_file_system.cache.id

  backup_policy {
    status = var.cache_backup ? "ENABLED" : "DISABLED"
  }
}

resource "aws_efs_mount_target" "cache" {
  for_each = local.subnets_by_zone

  file_system_id  = aws_efs_file_system.cache.id
  subnet_id       = each.value[0]
  security_groups = [aws_security_group.cache.id]
}

# Whoever mounts by it is this user, and sees this folder alone.
resource "aws_efs_access_point" "cache" {
  file_system_id = aws_efs_file_system.cache.id
  tags           = { Name = "${var.name}-cache" }

  posix_user {
    uid = var.cache_owner.uid
    gid = var.cache_owner.gid
  }

  root_directory {
    path = "/saga"
    creation_info {
      owner_uid   = var.cache_owner.uid
      owner_gid   = var.cache_owner.gid
      permissions = "0700"
    }
  }
}

# Who may mount is decided by the security group, as NFS clients have no identity.
resource "aws_efs_file_system_policy" "cache" {
  file_system_id = aws_efs_file_system.cache.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "ByTheAccessPointAlone"
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
        Resource  = aws_efs_file_system.cache.arn
        Condition = {
          Bool         = { "elasticfilesystem:AccessedViaMountTarget" = "true" }
          StringEquals = { "elasticfilesystem:AccessPointArn" = aws_efs_access_point.cache.arn }
        }
      },
      {
        Sid       = "TlsAlone"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "*"
        Resource  = aws_efs_file_system.cache.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}
