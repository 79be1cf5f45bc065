"""An arm in which every part of the state matters by the time it is interrupted."""

from typing import Any

from saga.data.manifest import DatasetManifest
from saga.encoders.configuration import EncoderConfig, LoraConfig, PoolerConfig
from saga.mining.pairs import PairSet
from saga.training.arm import ArmConfig
from tests.training.made import EMBEDDED, made_arm, made_pairs

STEPS, EVERY, KILLED_AFTER = 4, 2, 3


def resumable_arm(**changes: Any) -> ArmConfig:
    """Adapters with dropout draw random numbers; proxies have moments; mined pairs come in cycles;
    the number of rounds varies; images are flipped."""
    encoder = EncoderConfig(
        PoolerConfig(normalize_keys=True), "lora", LoraConfig(rank=2, alpha=8, dropout=0.2)
    )
    settings = {"steps": STEPS, "max_rounds": 4, "flip": True, "checkpoint_every": EVERY} | changes
    return made_arm(EMBEDDED, encoder=encoder, **settings)


def resumable_pairs(manifest: DatasetManifest) -> PairSet:
    """Hard and random pairs; more than one step's worth, so that their cycle is under way."""
    return made_pairs(manifest, "stratified", 30)
