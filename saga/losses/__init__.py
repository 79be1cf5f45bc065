"""Metric, GRPO and attention-alignment losses."""
