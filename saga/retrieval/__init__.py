"""Exact search and retrieval metrics."""
