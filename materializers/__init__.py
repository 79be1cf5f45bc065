"""ZenML materializers: one per artifact type."""
