# What the provider computes, where its own checks or ours look at the form.

mock_data "aws_caller_identity" {
  defaults = { account_id = "123456789012" }
}

mock_data "aws_partition" {
  defaults = { partition = "aws" }
}

mock_data "aws_vpc" {
  defaults = {
    enable_dns_support   = true
    enable_dns_hostnames = true
    cidr_block           = "10.7.0.0/16"
    cidr_block_associations = [
      { association_id = "1", cidr_block = "10.7.0.0/16", state = "associated" },
      { association_id = "2", cidr_block = "100.64.0.0/16", state = "associated" },
    ]
  }
}

mock_data "aws_subnet" {
  defaults = { vpc_id = "vpc-1", map_public_ip_on_launch = false }
}

mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::123456789012:role/made" }
}

mock_resource "aws_kms_key" {
  defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/made" }
}

mock_resource "aws_s3_bucket" {
  defaults = { arn = "arn:aws:s3:::made" }
}

mock_resource "aws_launch_template" {
  defaults = { id = "lt-1", latest_version = 1 }
}

mock_resource "aws_eks_cluster" {
  defaults = {
    arn      = "arn:aws:eks:eu-central-1:123456789012:cluster/saga"
    endpoint = "https://made.eks.example"
  }
}

mock_resource "aws_ecr_repository" {
  defaults = { repository_url = "123456789012.dkr.ecr.eu-central-1.example/saga" }
}

mock_resource "aws_db_instance" {
  defaults = { address = "made.rds.example" }
}

mock_resource "aws_efs_file_system" {
  defaults = {
    id  = "fs-1"
    arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-1"
  }
}

mock_resource "aws_efs_access_point" {
  defaults = {
    id  = "fsap-1"
    arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1"
  }
}
