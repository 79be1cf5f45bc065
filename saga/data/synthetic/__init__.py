"""Procedural fine-grained birds: attributes in distinct places, strong nuisance, shortcuts."""
