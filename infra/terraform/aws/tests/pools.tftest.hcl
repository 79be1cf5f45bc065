# Pools: from a map to node groups; other names, labels and taints by configuration alone.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  region     = "eu-central-1"
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-1", "subnet-2"]
  admins     = ["arn:aws:iam::123456789012:role/platform"]
}

run "default_pools" {
  assert {
    condition     = keys(aws_eks_node_group.pool) == ["cpu", "gpu-eval", "gpu-train"]
    error_message = "Three pools."
  }

  assert {
    condition     = output.autoscaler.extraArgs["skip-nodes-with-local-storage"]
    error_message = "No node is taken away beneath a pod of a run."
  }

  assert {
    condition     = alltrue([for name, group in aws_eks_node_group.pool : group.labels["saga.dev/pool"] == name])
    error_message = "The label names the pool."
  }

  assert {
    condition = alltrue([
      for name in ["gpu-train", "gpu-eval"] :
      aws_eks_node_group.pool[name].scaling_config[0].min_size == 0
      && aws_eks_node_group.pool[name].scaling_config[0].desired_size == 0
      && aws_eks_node_group.pool[name].ami_type == "AL2023_x86_64_NVIDIA"
      && aws_eks_node_group.pool[name].labels["k8s.amazonaws.com/accelerator"] == "nvidia"
      && [for taint in aws_eks_node_group.pool[name].taint : [taint.key, taint.effect]] == [["nvidia.com/gpu", "NO_SCHEDULE"]]
    ])
    error_message = "GPU pools: none while idle, the NVIDIA AMI, tainted."
  }

  assert {
    condition = (
      aws_eks_node_group.pool["gpu-train"].capacity_type == "ON_DEMAND"
      && aws_eks_node_group.pool["gpu-eval"].capacity_type == "SPOT"
      && length(aws_eks_node_group.pool["gpu-eval"].instance_types) > 1
    )
    error_message = "Training on demand, evaluation on spot with a choice of types."
  }

  assert {
    condition = (
      length(aws_eks_node_group.pool["cpu"].taint) == 0
      && aws_eks_node_group.pool["cpu"].ami_type == "AL2023_x86_64_STANDARD"
      && aws_eks_node_group.pool["cpu"].scaling_config[0].min_size == 1
      && !contains(keys(aws_eks_node_group.pool["cpu"].labels), "k8s.amazonaws.com/accelerator")
    )
    error_message = "The CPU pool takes everybody and never goes."
  }

  assert {
    condition = alltrue([
      for template in aws_launch_template.pool :
      template.metadata_options[0].http_tokens == "required"
      && template.metadata_options[0].http_put_response_hop_limit == 1
      && template.block_device_mappings[0].ebs[0].encrypted == "true"
    ])
    error_message = "Pods do not reach the credentials of their node, and disks are encrypted."
  }
}

run "other_names_labels_and_taints" {
  command = apply

  variables {
    pools = {
      general = {
        instance_types = ["c7i.4xlarge"]
        min_nodes      = 2
        max_nodes      = 3
        labels         = { "example.org/tier" = "general" }
      }
      hopper = {
        instance_types = ["p5.4xlarge"]
        ami_type       = "BOTTLEROCKET_x86_64_NVIDIA"
        max_nodes      = 1
        disk_gib       = 500
        labels         = { "example.org/tier" = "training", "example.org/team" = "vision" }
        taints = [
          { key = "example.org/expensive", value = "yes", effect = "NoExecute" },
          { key = "example.org/gpu", effect = "PreferNoSchedule" },
        ]
        subnet_ids = ["subnet-2"]
      }
      hopper-spot = {
        instance_types = ["p5.4xlarge", "p5en.48xlarge"]
        ami_type       = "AL2023_x86_64_NVIDIA"
        capacity       = "spot"
        max_nodes      = 4
        labels         = { "example.org/tier" = "training" }
        taints         = [{ key = "example.org/expensive", value = "yes" }]
      }
    }
  }

  assert {
    condition     = keys(aws_eks_node_group.pool) == ["general", "hopper", "hopper-spot"]
    error_message = "Names as given."
  }

  assert {
    condition = (
      aws_eks_node_group.pool["hopper"].labels == tomap({
        "example.org/tier"              = "training"
        "example.org/team"              = "vision"
        "k8s.amazonaws.com/accelerator" = "nvidia"
      })
      && aws_eks_node_group.pool["general"].labels == tomap({ "example.org/tier" = "general" })
    )
    error_message = "Labels as given; none of ours beside them but the autoscaler's."
  }

  assert {
    condition = toset([for taint in aws_eks_node_group.pool["hopper"].taint : "${taint.key}=${taint.value == null ? "" : taint.value}:${taint.effect}"]) == toset([
      "example.org/expensive=yes:NO_EXECUTE", "example.org/gpu=:PREFER_NO_SCHEDULE",
    ])
    error_message = "Taints as given, in the words of EKS."
  }

  assert {
    condition = (
      aws_eks_node_group.pool["hopper"].subnet_ids == toset(["subnet-2"])
      && aws_launch_template.pool["hopper"].block_device_mappings[0].ebs[0].volume_size == 500
      && aws_launch_template.pool["hopper"].block_device_mappings[0].device_name == "/dev/xvdb"
      && aws_launch_template.pool["general"].block_device_mappings[0].device_name == "/dev/xvda"
    )
    error_message = "Subnets and disk of the pool's own, the disk where the system keeps images."
  }

  assert {
    condition = (
      aws_eks_node_group.pool["hopper-spot"].capacity_type == "SPOT"
      && output.stack.pools["hopper-spot"].spot
      && !output.stack.pools["hopper"].spot
      && output.stack.pools["hopper"].taints[1].effect == "PreferNoSchedule"
      && !contains([for pool in output.stack.pools : contains(keys(pool.labels), "k8s.amazonaws.com/accelerator")], true)
    )
    error_message = "The output says what the stack says: labels as given, effects as in Kubernetes."
  }
}
