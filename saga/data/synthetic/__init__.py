"""Procedural fine-grained birds: attributes in distinct places, strong nuisance, stated shortcuts."""

from saga.data.synthetic.configuration import SyntheticConfig
from saga.data.synthetic.dataset import materialise

__all__ = ["SyntheticConfig", "materialise"]
