"""Where a pipeline runs: the stack file, its node pools, and the cluster behind it."""
