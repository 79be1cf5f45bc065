locals {
  log_groups = {
    control_plane = "/aws/eks/${var.name}/cluster"
    database      = "/aws/rds/instance/${var.name}-zenml/error"
  }
}

# Made first: else EKS and RDS make groups that are kept for ever and not encrypted by the key.
resource "aws_cloudwatch_log_group" "of" {
  for_each = local.log_groups

  name              = each.value
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.cluster.arn
}
