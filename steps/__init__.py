"""ZenML steps: each loads nothing, calls saga, and returns named artifacts."""
