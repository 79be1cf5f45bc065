variable "name" {
  description = "Name of the cluster, and the beginning of every other name."
  type        = string
  default     = "saga"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 24
    error_message = "name is at most 24 lower-case letters and digits, with single hyphens between, and begins with a letter."
  }
}

variable "region" {
  description = "AWS region of the VPC, for example eu-central-1."
  type        = string
}

variable "tags" {
  description = "Tags put on everything, beside project and managed-by."
  type        = map(string)
  default     = {}
}

# Network: all of it exists already.

variable "vpc_id" {
  description = "The VPC that holds the subnets."
  type        = string

  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "vpc_id names an existing VPC: vpc-..."
  }
}

variable "subnet_ids" {
  description = "Private subnets of that VPC, in two availability zones or more: control plane, nodes, database."
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2
    error_message = "subnet_ids needs two different subnets or more: EKS and RDS want two availability zones."
  }
}

variable "client_cidrs" {
  description = "Private ranges (VPN, bastion, CI runners) that reach the private endpoint of the cluster, beside the nodes."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.client_cidrs : try(cidrnetmask(cidr), "0.0.0.0") != "0.0.0.0"])
    error_message = "client_cidrs are IPv4 ranges such as 10.20.0.0/16, and not the whole internet (0.0.0.0/0)."
  }
}

variable "public_access_cidrs" {
  description = "Ranges that reach a public endpoint. Empty: there is none."
  type        = list(string)
  default     = []

  validation {
    condition = alltrue([
      for cidr in var.public_access_cidrs :
      can(cidrnetmask(cidr)) && try(tonumber(split("/", cidr)[1]), 0) >= 16
    ])
    error_message = "public_access_cidrs are IPv4 ranges of /16 or narrower, for example 203.0.113.0/28. The whole internet (0.0.0.0/0) is refused, in one piece or in several."
  }
}

# Cluster

variable "kubernetes_version" {
  description = "Minor version of EKS. Each is in standard support for 14 months, then costs six times as much."
  type        = string
  default     = "1.35"

  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes_version))
    error_message = "kubernetes_version is a minor version in quotes, for example \"1.35\"."
  }
}

variable "admins" {
  description = "ARNs of the IAM roles or users that administer the cluster. Who creates it is not one by itself."
  type        = list(string)

  validation {
    condition     = length(var.admins) > 0 && alltrue([for arn in var.admins : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/", arn))])
    error_message = "admins needs one ARN or more of a role or user (arn:aws:iam::123456789012:role/...): without, nobody gets in."
  }
}

variable "groups_of" {
  description = "Kubernetes groups of other IAM roles or users: {ARN = [group, ...]}. Role bindings give the groups their rights."
  type        = map(list(string))
  default     = {}

  validation {
    condition     = alltrue([for group in flatten(values(var.groups_of)) : !startswith(group, "system:")])
    error_message = "groups_of names groups of your own role bindings; EKS refuses those that begin with system:. Administrators belong into admins."
  }
}

variable "addon_versions" {
  description = "Versions of EKS add-ons, {name = version}. Those not named get the default of the Kubernetes version."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.addon_versions) : contains(local.addons, name)])
    error_message = "addon_versions knows ${join(", ", local.addons)}."
  }
}

variable "webhook_ports" {
  description = "Ports at which the control plane calls webhooks and API extensions of the cluster (Kueue: 9443)."
  type        = set(number)
  default     = [443, 4443, 6443, 8443, 9443]
}

variable "log_retention_days" {
  description = "How long logs of the control plane and the database are kept, in days."
  type        = number
  default     = 365
}

# Pools

variable "pools" {
  description = <<-TEXT
    Node pools by name, one EKS node group each. Labels and taints are those that a pool has in
    configs/stacks/kubernetes.yaml; effects are written as in Kubernetes.
      instance_types  several, where spot should find capacity
      ami_type        AL2023_x86_64_STANDARD, AL2023_x86_64_NVIDIA, ...
      capacity        on-demand or spot
      min_nodes       0: costs nothing while nothing runs
      max_nodes
      disk_gib        volume for images and pods, in GiB
      labels, taints
      subnet_ids      where the instance type is to be had; default: all of subnet_ids
  TEXT
  type = map(object({
    instance_types = list(string)
    ami_type       = optional(string, "AL2023_x86_64_STANDARD")
    capacity       = optional(string, "on-demand")
    min_nodes      = optional(number, 0)
    max_nodes      = number
    disk_gib       = optional(number, 100)
    labels         = map(string)
    taints = optional(list(object({
      key    = string
      value  = optional(string)
      effect = optional(string, "NoSchedule")
    })), [])
    subnet_ids = optional(list(string))
  }))
  nullable = false
  default = {
    cpu = {
      instance_types = ["m7i.2xlarge"]
      min_nodes      = 1
      max_nodes      = 4
      labels         = { "saga.dev/pool" = "cpu" }
    }
    gpu-train = {
      instance_types = ["g6e.4xlarge", "g6e.8xlarge"]
      ami_type       = "AL2023_x86_64_NVIDIA"
      max_nodes      = 2
      disk_gib       = 200
      labels         = { "saga.dev/pool" = "gpu-train" }
      taints         = [{ key = "nvidia.com/gpu", value = "present" }]
    }
    gpu-eval = {
      instance_types = ["g6.2xlarge", "g5.2xlarge", "g6.4xlarge", "g5.4xlarge"]
      ami_type       = "AL2023_x86_64_NVIDIA"
      capacity       = "spot"
      max_nodes      = 2
      disk_gib       = 200
      labels         = { "saga.dev/pool" = "gpu-eval" }
      taints         = [{ key = "nvidia.com/gpu", value = "present" }]
    }
  }

  validation {
    condition     = alltrue([for name in keys(var.pools) : can(regex("^[a-z][a-z0-9-]{0,30}$", name))])
    error_message = "A name in pools is at most 31 lower-case letters, digits and hyphens."
  }

  validation {
    condition     = alltrue([for pool in var.pools : contains(["on-demand", "spot"], pool.capacity)])
    error_message = "capacity in pools is on-demand or spot."
  }

  validation {
    condition     = alltrue([for pool in var.pools : 0 <= pool.min_nodes && pool.min_nodes <= pool.max_nodes && 1 <= pool.max_nodes])
    error_message = "A pool wants 0 <= min_nodes <= max_nodes and max_nodes >= 1."
  }

  validation {
    condition = alltrue([
      for taint in flatten([for pool in var.pools : pool.taints]) :
      contains(["NoSchedule", "PreferNoSchedule", "NoExecute"], taint.effect)
    ])
    error_message = "effect of a taint in pools is NoSchedule, PreferNoSchedule or NoExecute."
  }

  validation {
    condition = alltrue(flatten([
      for pool in var.pools : [
        for type in pool.instance_types :
        can(regex("^(g|p)[0-9]", type)) == strcontains(pool.ami_type, "NVIDIA")
      ]
    ]))
    error_message = "Instance types with a GPU (g..., p...) need an ami_type with NVIDIA in its name, which has the driver, and others must not have one."
  }

  validation {
    condition     = alltrue([for pool in var.pools : length(pool.taints) > 0 if strcontains(pool.ami_type, "NVIDIA")])
    error_message = "A pool with GPUs needs a taint: without, any pod keeps its nodes from going away."
  }

  validation {
    condition     = anytrue([for pool in var.pools : length(pool.taints) == 0 && pool.min_nodes >= 1])
    error_message = "One pool without taints needs min_nodes >= 1: the name service, the autoscaler and the ZenML server run there."
  }
}

# Store and images

variable "store_name" {
  description = "Name of the bucket of the artifact store. Default: NAME-store-ACCOUNT-REGION."
  type        = string
  default     = null
}

variable "noncurrent_days" {
  description = "How long overwritten and deleted artifacts can be had back, in days."
  type        = number
  default     = 90

  validation {
    condition     = var.noncurrent_days >= 7
    error_message = "noncurrent_days is 7 or more: versions are what undoes a mistake."
  }
}

variable "untagged_image_days" {
  description = "How long images without a tag are kept, in days."
  type        = number
  default     = 14
}

variable "store_users" {
  description = "Service accounts that get temporary credentials for the store and for nothing else; write false: read alone."
  type = map(object({
    namespace       = string
    service_account = string
    write           = bool
  }))
  default = {
    orchestrator = { namespace = "saga", service_account = "saga-orchestrator", write = true }
    step         = { namespace = "saga", service_account = "saga-step", write = true }
    training     = { namespace = "saga", service_account = "saga-training", write = true }
    server       = { namespace = "zenml", service_account = "zenml-server", write = false }
  }

  validation {
    condition = alltrue([
      for name in keys(var.store_users) :
      can(regex("^[a-z][a-z-]{0,11}$", name)) && !contains(["autoscaler", "cache", "volumes"], name)
    ])
    error_message = "A name in store_users is at most 12 lower-case letters and hyphens, and not autoscaler, cache or volumes, which are taken."
  }
}

variable "autoscaler" {
  description = "Service account of the cluster autoscaler, which wakes the pools."
  type = object({
    namespace       = string
    service_account = string
  })
  default = { namespace = "kube-system", service_account = "cluster-autoscaler" }
}

# Cache

variable "cache_owner" {
  description = "User and group of the pods, who own the cache: run_as_user and group in the security of the stack's pools."
  type = object({
    uid = number
    gid = number
  })
  default = { uid = 10001, gid = 10001 }

  validation {
    condition     = var.cache_owner.uid >= 1 && var.cache_owner.gid >= 1
    error_message = "cache_owner has a uid and gid of 1 or more: no pod runs as root."
  }
}

variable "cache_backup" {
  description = "Whether AWS Backup keeps a copy of each day. Off: datasets can be fetched again, and encoders are in the store."
  type        = bool
  default     = false
}

# Database

variable "database_instance_class" {
  description = "Size of the database."
  type        = string
  default     = "db.t4g.small"
}

variable "database_version" {
  description = "Version of MySQL, major and minor; patches come by themselves."
  type        = string
  default     = "8.4"

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+$", var.database_version))
    error_message = "database_version is major and minor, for example \"8.4\"."
  }
}

variable "database_storage_gib" {
  description = "Storage at the beginning, in GiB."
  type        = number
  default     = 20

  validation {
    condition     = var.database_storage_gib >= 20
    error_message = "database_storage_gib is 20 or more."
  }
}

variable "database_max_storage_gib" {
  description = "How far the storage grows by itself, in GiB."
  type        = number
  default     = 200

  validation {
    condition     = var.database_max_storage_gib > var.database_storage_gib
    error_message = "database_max_storage_gib is more than database_storage_gib."
  }
}

variable "database_multi_az" {
  description = "A standby in another zone; doubles the price of the database."
  type        = bool
  default     = true
}

variable "database_backup_days" {
  description = "Any second of so many days can be had back."
  type        = number
  default     = 14

  validation {
    condition     = var.database_backup_days >= 7 && var.database_backup_days <= 35
    error_message = "database_backup_days is 7 to 35: the database is the memory of every promotion."
  }
}

variable "database_deletion_protection" {
  description = "Set to false, and apply, before `terraform destroy`."
  type        = bool
  default     = true
}
