resource "aws_db_subnet_group" "zenml" {
  name       = "${var.name}-zenml"
  subnet_ids = var.subnet_ids
}

resource "aws_db_parameter_group" "zenml" {
  name_prefix = "${var.name}-zenml-"
  family      = "mysql${var.database_version}"

  parameter {
    name  = "require_secure_transport"
    value = "1"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "zenml" {
  #checkov:skip=CKV_AWS_118:Its log and CloudWatch's minutes suffice for a database of a few queries a second
  #checkov:skip=CKV_AWS_161:ZenML logs in by a password
  identifier     = "${var.name}-zenml"
  engine         = "mysql"
  engine_version = var.database_version
  instance_class = var.database_instance_class
  db_name        = "zenml"
  port           = 3306

  # RDS makes the password and keeps it in Secrets Manager: neither files nor the state hold it.
  username                      = "administrator"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = aws_kms_key.data.key_id

  storage_type          = "gp3"
  allocated_storage     = var.database_storage_gib
  max_allocated_storage = var.database_max_storage_gib
  storage_encrypted     = true
  kms_key_id            = aws_kms_key.data.arn

  db_subnet_group_name   = aws_db_subnet_group.zenml.name
  vpc_security_group_ids = [aws_security_group.database.id]
  parameter_group_name   = aws_db_parameter_group.zenml.name
  publicly_accessible    = false
  multi_az               = var.database_multi_az

  backup_retention_period    = var.database_backup_days
  copy_tags_to_snapshot      = true
  delete_automated_backups   = false
  deletion_protection        = var.database_deletion_protection
  skip_final_snapshot        = false
  final_snapshot_identifier  = "${var.name}-zenml-final"
  auto_minor_version_upgrade = true

  enabled_cloudwatch_logs_exports = ["error"]

  depends_on = [aws_cloudwatch_log_group.of]
}
