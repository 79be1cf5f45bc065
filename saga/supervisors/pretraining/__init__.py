"""Pretrains the tiny supervisor that ships with the project (`saga build-supervisor`)."""
