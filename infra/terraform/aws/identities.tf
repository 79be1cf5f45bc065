# Temporary credentials by EKS Pod Identity: a role for one service account of this cluster each.
locals {
  pods = merge(
    { for name, user in var.store_users : name => { namespace = user.namespace, service_account = user.service_account } },
    {
      autoscaler = var.autoscaler
      volumes    = { namespace = "kube-system", service_account = "ebs-csi-controller-sa" }
      cache      = { namespace = "kube-system", service_account = "efs-csi-controller-sa" }
    },
  )
  may_be_assumed_by = {
    for name, pod in local.pods : name => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Principal = { Service = "pods.eks.amazonaws.com" }
        Action    = ["sts:AssumeRole", "sts:TagSession"]
        Condition = {
          StringEquals = {
            "aws:RequestTag/eks-cluster-arn"            = aws_eks_cluster.main.arn
            "aws:RequestTag/kubernetes-namespace"       = pod.namespace
            "aws:RequestTag/kubernetes-service-account" = pod.service_account
          }
        }
      }]
    })
  }
  # Never DeleteObjectVersion: what a run deletes can be had back.
  reads_objects  = ["s3:GetObject"]
  writes_objects = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
}

# Artifact store

resource "aws_iam_role" "store_user" {
  for_each = var.store_users

  name_prefix        = "${var.name}-${each.key}-"
  assume_role_policy = local.may_be_assumed_by[each.key]
}

resource "aws_iam_role_policy" "store_user" {
  for_each = var.store_users

  name = "store"
  role = aws_iam_role.store_user[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "List"
        Effect   = "Allow"
        Action   = ["s3:ListBucket", "s3:GetBucketLocation"]
        Resource = aws_s3_bucket.store.arn
      },
      {
        Sid      = "Objects"
        Effect   = "Allow"
        Action   = concat(local.reads_objects, each.value.write ? local.writes_objects : [])
        Resource = "${aws_s3_bucket.store.arn}/*"
      },
      {
        Sid       = "KeyOfTheStore"
        Effect    = "Allow"
        Action    = concat(["kms:Decrypt"], each.value.write ? ["kms:GenerateDataKey"] : [])
        Resource  = aws_kms_key.data.arn
        Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
      },
    ]
  })
}

resource "aws_eks_pod_identity_association" "store_user" {
  for_each = var.store_users

  cluster_name    = aws_eks_cluster.main.name
  namespace       = each.value.namespace
  service_account = each.value.service_account
  role_arn        = aws_iam_role.store_user[each.key].arn
}

# Autoscaler: sees every group, changes those of this cluster. Labels and taints of an empty pool it
# reads from EKS (DescribeNodegroup).

resource "aws_iam_role" "autoscaler" {
  name_prefix        = "${var.name}-autoscaler-"
  assume_role_policy = local.may_be_assumed_by["autoscaler"]
}

resource "aws_iam_role_policy" "autoscaler" {
  name = "scale"
  role = aws_iam_role.autoscaler.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "See"
        Effect = "Allow"
        Action = [
          "autoscaling:DescribeAutoScalingGroups",
          "autoscaling:DescribeAutoScalingInstances",
          "autoscaling:DescribeLaunchConfigurations",
          "autoscaling:DescribeScalingActivities",
          "autoscaling:DescribeTags",
          "ec2:DescribeImages",
          "ec2:DescribeInstanceTypes",
          "ec2:DescribeLaunchTemplateVersions",
          "ec2:GetInstanceTypesFromInstanceRequirements",
        ]
        Resource = "*"
      },
      {
        Sid      = "SeePools"
        Effect   = "Allow"
        Action   = "eks:DescribeNodegroup"
        Resource = "arn:${local.partition}:eks:${var.region}:${local.account}:nodegroup/${var.name}/*"
      },
      {
        Sid       = "ScaleThisCluster"
        Effect    = "Allow"
        Action    = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:ResourceTag/k8s.io/cluster-autoscaler/${var.name}" = "owned" } }
      },
    ]
  })
}

resource "aws_eks_pod_identity_association" "autoscaler" {
  cluster_name    = aws_eks_cluster.main.name
  namespace       = var.autoscaler.namespace
  service_account = var.autoscaler.service_account
  role_arn        = aws_iam_role.autoscaler.arn
}

# Volumes

resource "aws_iam_role" "volumes" {
  name_prefix        = "${var.name}-volumes-"
  assume_role_policy = local.may_be_assumed_by["volumes"]
}

resource "aws_iam_role_policy_attachment" "volumes" {
  role       = aws_iam_role.volumes.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"
}

resource "aws_eks_pod_identity_association" "volumes" {
  cluster_name    = aws_eks_cluster.main.name
  namespace       = local.pods.volumes.namespace
  service_account = local.pods.volumes.service_account
  role_arn        = aws_iam_role.volumes.arn
}

# Cache: the volume names its access point, so the driver makes and deletes none.

resource "aws_iam_role" "cache" {
  name_prefix        = "${var.name}-cache-"
  assume_role_policy = local.may_be_assumed_by["cache"]
}

resource "aws_iam_role_policy" "cache" {
  name = "see"
  role = aws_iam_role.cache.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "SeeTheCache"
        Effect = "Allow"
        Action = [
          "elasticfilesystem:DescribeAccessPoints",
          "elasticfilesystem:DescribeFileSystems",
          "elasticfilesystem:DescribeMountTargets",
        ]
        Resource = [aws_efs_file_system.cache.arn, aws_efs_access_point.cache.arn]
      },
      {
        Sid      = "SeeZones"
        Effect   = "Allow"
        Action   = "ec2:DescribeAvailabilityZones"
        Resource = "*"
      },
    ]
  })
}

resource "aws_eks_pod_identity_association" "cache" {
  cluster_name    = aws_eks_cluster.main.name
  namespace       = local.pods.cache.namespace
  service_account = local.pods.cache.service_account
  role_arn        = aws_iam_role.cache.arn
}
