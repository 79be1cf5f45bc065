"""Settings of the tiny supervisor's pretraining."""

from dataclasses import dataclass


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
    """Groups of four related images that are rendered for this stage."""
    probe_weight: float
    """Weight of the auxiliary attribute probe at the start of the stage."""
    probe_decays: bool = False
    """Whether that weight falls linearly to 0 over the stage."""

    def __post_init__(self) -> None:
        if self.image_size % 16 or self.image_size < 32:
            raise ValueError(f"image_size must be a multiple of 16, at least 32: {self.image_size}")
        if self.steps < 1 or self.groups < 1:
            raise ValueError("steps and groups must be at least 1")


@dataclass(frozen=True, slots=True)
class PretrainingConfig:
    """Supervised pretraining on birds of the combinations that no test class uses."""

    seed: int = 0
    """Seed of weights, pool and order."""
    stages: tuple[Stage, ...] = (
        Stage(64, 2400, 1.5e-3, 6400, probe_weight=0.5, probe_decays=True),
        Stage(96, 650, 1.0e-3, 3200, probe_weight=0.3),
    )
    """The curriculum."""
    groups_per_step: int = 12
    """Groups in a batch: 48 images, 36 pairs."""
    held_out_groups: int = 100
    """Groups of the last stage that are only measured."""
    clutter: float = 0.7
    """Most clutter; each image draws its own up to this. No haze, free backgrounds."""
    weight_decay: float = 0.03
    """Decoupled weight decay of AdamW (betas 0.9, 0.98)."""
    workers: int = 2
    """Processes that render."""

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("stages: at least one is needed")
        if self.groups_per_step < 1 or self.held_out_groups < 1:
            raise ValueError("groups_per_step and held_out_groups must be at least 1")
