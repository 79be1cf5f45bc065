output "cluster" {
  description = "The cluster, and the command that puts it into a kubeconfig as the context of configs/stacks/kubernetes.yaml."
  value = {
    name     = aws_eks_cluster.main.name
    endpoint = aws_eks_cluster.main.endpoint
    version  = aws_eks_cluster.main.version
    command  = "aws eks update-kubeconfig --region ${var.region} --name ${aws_eks_cluster.main.name} --alias ${var.name}"
  }
}

output "stack" {
  description = "What configs/stacks/kubernetes.yaml wants to know, in its words; the image still wants a tag or a digest."
  value = {
    cluster        = { context = var.name, namespace = try(var.store_users["step"].namespace, null) }
    artifact_store = { uri = "s3://${aws_s3_bucket.store.bucket}" }
    registry       = { uri = split("/", aws_ecr_repository.images.repository_url)[0] }
    image          = aws_ecr_repository.images.repository_url
    service_accounts = {
      for name in ["orchestrator", "step", "training"] : name => try(var.store_users[name].service_account, null)
    }
    pools = {
      for name, pool in var.pools : name => {
        labels = pool.labels
        taints = pool.taints
        spot   = pool.capacity == "spot"
      }
    }
  }
}

output "overlay" {
  description = "A kustomization.yaml for a folder beside infra: the overlay aws, with what is of this account put in."
  value = yamlencode({
    apiVersion = "kustomize.config.k8s.io/v1beta1"
    kind       = "Kustomization"
    resources  = ["../infra/kubernetes/overlays/aws"]
    patches = [
      {
        target = { kind = "PersistentVolume", name = "saga-dataset-cache" }
        patch = yamlencode([{
          op    = "replace"
          path  = "/spec/csi/volumeHandle"
          value = "${aws_efs_file_system.cache.id}::${aws_efs_access_point.cache.id}"
        }])
      },
      {
        target = { kind = "NetworkPolicy", name = "vpc-endpoints" }
        patch = yamlencode([{
          op    = "replace"
          path  = "/spec/egress/0/to"
          value = [for cidr in local.vpc_cidrs : { ipBlock = { cidr = cidr } }]
        }])
      },
    ]
  })
}

output "cache" {
  description = "The file system of the cache, and the access point by which pods mount it."
  value = {
    file_system_id  = aws_efs_file_system.cache.id
    access_point_id = aws_efs_access_point.cache.id
  }
}

output "zenml_server" {
  description = "What the Helm values of the ZenML server want to know. The secret holds the administrator's password, which rotates."
  value = {
    database_host   = aws_db_instance.zenml.address
    database_port   = aws_db_instance.zenml.port
    database_name   = aws_db_instance.zenml.db_name
    administrator   = aws_db_instance.zenml.username
    password_secret = try(aws_db_instance.zenml.master_user_secret[0].secret_arn, null)
  }
}

output "service_accounts" {
  description = "Service accounts with an identity: they must bear these names."
  value       = local.pods
}

output "autoscaler" {
  description = "What the Helm values of the cluster autoscaler want to know."
  value = {
    cloudProvider = "aws"
    awsRegion     = var.region
    autoDiscovery = { clusterName = var.name }
    rbac          = { serviceAccount = { name = var.autoscaler.service_account } }
    # Every pod of a run has an emptyDir: its node is not taken away beneath it to save money.
    extraArgs = { skip-nodes-with-local-storage = true }
  }
}

output "keys" {
  description = "KMS keys: of the cluster's secrets and logs, and of the data."
  value       = { cluster = aws_kms_key.cluster.arn, data = aws_kms_key.data.arn }
}
