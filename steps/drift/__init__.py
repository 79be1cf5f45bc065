"""Drift, measured by Evidently and held against a policy."""
