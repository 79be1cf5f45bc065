"""ZenML steps: thin adapters around the library."""
