"""Settings of the tiny supervisor's pretraining."""

from dataclasses import dataclass
from typing import Literal

from saga.data.configuration import DatasetConfig
from saga.settings.checks import check_seed

EMBEDDED_DEPTH = 8
"""Layers of the tower that ships."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the curriculum: image size, length, learning rate."""

    image_size: int
    """Side in pixels; the bird itself is as large at every size."""
    steps: int
    """Optimizer steps."""
    learning_rate: float
    """Peak rate; 100 steps of warm-up, then cosine down to 3 %."""
    groups: int
    """Groups of four related images that are drawn, or cut out of photos, for this stage."""
    probe_weight: float
    """Weight of the auxiliary attribute probe at the start of the stage."""
    probe_decays: bool = False
    """Whether that weight falls linearly to 0 over the stage."""

    def __post_init__(self) -> None:
        if self.image_size % 16 or self.image_size < 32:
            raise ValueError(
                f"image_size must be a multiple of 16, at least 32, got {self.image_size}"
            )
        for name in ("steps", "groups"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")
        if not self.probe_weight >= 0:
            raise ValueError(f"probe_weight must be at least 0, got {self.probe_weight}")


@dataclass(frozen=True, slots=True)
class PretrainingConfig:
    """Supervised pretraining on birds of the combinations that no test class uses, or on photos."""

    seed: int = 0
    """Seed of weights, pool and order."""
    stages: tuple[Stage, ...] = (
        Stage(64, 2400, 1.5e-3, 6400, probe_weight=0.5, probe_decays=True),
        Stage(96, 850, 1.0e-3, 3200, probe_weight=0.3),
        Stage(96, 2000, 1.0e-3, 4000, probe_weight=0.0),
    )
    """The curriculum."""
    groups_per_step: int = 12
    """Groups in a batch: 48 images, 36 pairs."""
    held_out_groups: int = 100
    """Groups of the last stage that are only measured."""
    clutter: float = 0.7
    """Most clutter; each image draws its own up to this. No haze, free backgrounds."""
    generic_share: float = 0.25
    """Share of the steps that ask the generic prompt, which names no attribute and has the pair's
    differences and the verdict for its answer."""
    dataset: DatasetConfig | None = None
    """CUB-200-2011 with its class attributes, to learn from the photos of its training classes;
    None draws birds."""
    held_out_photos: int = 2
    """Photos of each training class that are only measured."""
    start: Literal["random", "embedded"] = "random"
    """Weights at the start; "embedded" takes those of the supervisor that ships, but for its words
    and their embeddings."""
    tower_depth: int = EMBEDDED_DEPTH
    """Layers of the vision tower."""
    weight_decay: float = 0.03
    """Decoupled weight decay of AdamW (betas 0.9, 0.98)."""
    workers: int = 2
    """Processes that render."""

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("stages: at least one is needed")
        for name in ("groups_per_step", "held_out_groups", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        fewest = min(stage.groups for stage in self.stages)
        if self.groups_per_step > fewest:
            raise ValueError(
                f"groups_per_step is {self.groups_per_step}, but a stage has {fewest} groups in all"
            )
        if self.tower_depth < 2:
            raise ValueError(f"tower_depth must be at least 2, got {self.tower_depth}")
        if self.start == "embedded" and self.tower_depth != EMBEDDED_DEPTH:
            raise ValueError(
                f"start is embedded, whose tower has {EMBEDDED_DEPTH} layers; tower_depth is "
                f"{self.tower_depth}. Set start: random, or leave tower_depth out"
            )
        for name in ("clutter", "generic_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        if self.dataset is not None and self.dataset.layout != "cub200":
            raise ValueError(
                "dataset.layout must be cub200, whose classes have attributes, "
                f"got {self.dataset.layout!r}"
            )
        if self.held_out_photos < 1:
            raise ValueError(f"held_out_photos must be at least 1, got {self.held_out_photos}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be at least 0, got {self.weight_decay}")
        check_seed(self.seed)
