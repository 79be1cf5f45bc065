"""Figures and static HTML."""
