# What is given must fit together, and nothing here may stand in a public subnet.

data "aws_vpc" "given" {
  id = var.vpc_id

  lifecycle {
    postcondition {
      condition     = self.enable_dns_support && self.enable_dns_hostnames
      error_message = "${var.vpc_id} needs DNS support and DNS hostnames: without, nobody finds the private endpoint."
    }
  }
}

data "aws_subnet" "given" {
  for_each = toset(concat(var.subnet_ids, flatten([for pool in var.pools : coalesce(pool.subnet_ids, [])])))
  id       = each.value

  lifecycle {
    postcondition {
      condition     = self.vpc_id == var.vpc_id
      error_message = "${each.value} lies in ${self.vpc_id}, not in vpc_id (${var.vpc_id})."
    }
    postcondition {
      condition     = !self.map_public_ip_on_launch
      error_message = "${each.value} gives public addresses to what starts in it. Name private subnets."
    }
  }
}

locals {
  vpc_cidrs = distinct(concat(
    [data.aws_vpc.given.cidr_block],
    data.aws_vpc.given.cidr_block_associations[*].cidr_block,
  ))
}

# Control plane <-> nodes

locals {
  kubelet_port  = 10250
  ports_on_node = setunion(var.webhook_ports, [local.kubelet_port])
}

resource "aws_security_group" "control_plane" {
  name_prefix = "${var.name}-control-plane-"
  description = "Who reaches the Kubernetes API of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-control-plane" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "api_from_nodes" {
  description                  = "Nodes and pods to the Kubernetes API"
  security_group_id            = aws_security_group.control_plane.id
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_ingress_rule" "api_from_clients" {
  for_each = toset(var.client_cidrs)

  description       = "Clients to the private endpoint"
  security_group_id = aws_security_group.control_plane.id
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "control_plane_to_nodes" {
  for_each = toset([for port in local.ports_on_node : tostring(port)])

  description                  = "Control plane to kubelets and webhooks"
  security_group_id            = aws_security_group.control_plane.id
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

resource "aws_security_group" "nodes" {
  name_prefix = "${var.name}-nodes-"
  description = "Nodes and pods of ${var.name}"
  vpc_id      = var.vpc_id
  tags = {
    Name                                = "${var.name}-nodes"
    "kubernetes.io/cluster/${var.name}" = "owned"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "nodes_from_control_plane" {
  for_each = toset([for port in local.ports_on_node : tostring(port)])

  description                  = "Control plane to kubelets and webhooks"
  security_group_id            = aws_security_group.nodes.id
  referenced_security_group_id = aws_security_group.control_plane.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

# Between pods it is the network policies that decide.
resource "aws_vpc_security_group_ingress_rule" "nodes_from_nodes" {
  description                  = "Pods to pods"
  security_group_id            = aws_security_group.nodes.id
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "-1"
}

resource "aws_vpc_security_group_egress_rule" "nodes_to_nodes" {
  description                  = "Pods to pods"
  security_group_id            = aws_security_group.nodes.id
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "-1"
}

resource "aws_vpc_security_group_egress_rule" "nodes_to_https" {
  description       = "Kubernetes API, AWS, registries: by HTTPS alone"
  security_group_id = aws_security_group.nodes.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "nodes_to_database" {
  description                  = "ZenML server to its database"
  security_group_id            = aws_security_group.nodes.id
  referenced_security_group_id = aws_security_group.database.id
  ip_protocol                  = "tcp"
  from_port                    = 3306
  to_port                      = 3306
}

resource "aws_vpc_security_group_egress_rule" "nodes_to_cache" {
  description                  = "Nodes to the cache"
  security_group_id            = aws_security_group.nodes.id
  referenced_security_group_id = aws_security_group.cache.id
  ip_protocol                  = "tcp"
  from_port                    = local.nfs_port
  to_port                      = local.nfs_port
}

# Cache

resource "aws_security_group" "cache" {
  name_prefix = "${var.name}-cache-"
  description = "File system of the cache of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-cache" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "cache_from_nodes" {
  description                  = "Nodes to the cache"
  security_group_id            = aws_security_group.cache.id
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "tcp"
  from_port                    = local.nfs_port
  to_port                      = local.nfs_port
}

# Database

resource "aws_security_group" "database" {
  name_prefix = "${var.name}-database-"
  description = "Database of the ZenML server of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-database" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "database_from_nodes" {
  description                  = "ZenML server to its database"
  security_group_id            = aws_security_group.database.id
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "tcp"
  from_port                    = 3306
  to_port                      = 3306
}
