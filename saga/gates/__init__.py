"""Gates that a candidate encoder must pass."""
