"""Schedules: what runs by itself, when, on which stack."""
