locals {
  effects = {
    NoSchedule       = "NO_SCHEDULE"
    PreferNoSchedule = "PREFER_NO_SCHEDULE"
    NoExecute        = "NO_EXECUTE"
  }
  # By this label the autoscaler waits for the device plugin of a new node instead of adding another.
  accelerator_label = { "k8s.amazonaws.com/accelerator" = "nvidia" }
  labels_of = {
    for name, pool in var.pools :
    name => merge(strcontains(pool.ami_type, "NVIDIA") ? local.accelerator_label : {}, pool.labels)
  }
}

resource "aws_iam_role" "nodes" {
  name_prefix = "${var.name}-nodes-"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "nodes" {
  for_each = toset(["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"])

  role       = aws_iam_role.nodes.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/${each.value}"
}

resource "aws_launch_template" "pool" {
  for_each = var.pools

  name_prefix            = "${var.name}-${each.key}-"
  update_default_version = true
  vpc_security_group_ids = [aws_security_group.nodes.id]

  # One hop: pods do not reach the credentials of their node.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  # Bottlerocket keeps images on its second volume.
  block_device_mappings {
    device_name = startswith(each.value.ami_type, "BOTTLEROCKET") ? "/dev/xvdb" : "/dev/xvda"
    ebs {
      volume_size           = each.value.disk_gib
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    for_each = ["instance", "volume"]
    content {
      resource_type = tag_specifications.value
      tags          = merge(var.tags, { Name = "${var.name}-${each.key}", project = var.name })
    }
  }
}

resource "aws_eks_node_group" "pool" {
  for_each = var.pools

  cluster_name           = aws_eks_cluster.main.name
  node_group_name_prefix = "${each.key}-"
  version                = aws_eks_cluster.main.version
  node_role_arn          = aws_iam_role.nodes.arn
  subnet_ids             = coalesce(each.value.subnet_ids, var.subnet_ids)
  ami_type               = each.value.ami_type
  capacity_type          = each.value.capacity == "spot" ? "SPOT" : "ON_DEMAND"
  instance_types         = each.value.instance_types
  labels                 = local.labels_of[each.key]

  launch_template {
    id      = aws_launch_template.pool[each.key].id
    version = aws_launch_template.pool[each.key].latest_version
  }

  scaling_config {
    min_size     = each.value.min_nodes
    max_size     = each.value.max_nodes
    desired_size = each.value.min_nodes
  }

  update_config {
    max_unavailable = 1
  }

  dynamic "taint" {
    for_each = each.value.taints
    content {
      key    = taint.value.key
      value  = taint.value.value
      effect = local.effects[taint.value.effect]
    }
  }

  # How many nodes there are is the autoscaler's business.
  lifecycle {
    create_before_destroy = true
    ignore_changes        = [scaling_config[0].desired_size]
  }

  depends_on = [
    aws_eks_addon.before_nodes,
    aws_iam_role_policy_attachment.nodes,
    aws_vpc_security_group_egress_rule.nodes_to_https,
    aws_vpc_security_group_ingress_rule.api_from_nodes,
  ]
}
