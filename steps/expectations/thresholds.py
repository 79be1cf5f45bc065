"""Where the expectations draw their lines."""

from dataclasses import dataclass

from saga.data.duplicates import HASH_DISTANCE, RESEMBLANCE


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Limits of the expectations."""

    least_side: int = 16
    """In pixels; a smaller image is critical."""
    small_side: int = 32
    """In pixels; a smaller image is a warning."""
    longest_aspect: float = 5.0
    """Longer to shorter side; a longer image is a warning."""
    images_per_class: int = 2
    """Fewest, one to ask with and one to find; fewer is critical."""
    classes_per_split: int = 2
    """Fewest in train and in test; with one, every answer is right."""
    imbalance: float = 10.0
    """Largest class to smallest class; more is a warning."""
    one_color_share: float = 0.01
    """Share of images of a single colour; more is critical, any is a warning."""
    box_slack: float = 1.0
    """Pixels by which a box may stand out of its image."""
    hash_distance: int = HASH_DISTANCE
    """See saga.data.duplicates."""
    resemblance: float = RESEMBLANCE
    """See saga.data.duplicates."""

    def __post_init__(self) -> None:
        if not 1 <= self.least_side <= self.small_side:
            raise ValueError(
                f"1 <= least_side <= small_side, got {self.least_side}, {self.small_side}"
            )
        for name in ("images_per_class", "classes_per_split", "longest_aspect", "imbalance"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.one_color_share < 1:
            raise ValueError(f"one_color_share must be in [0, 1), got {self.one_color_share}")
        if self.box_slack < 0:
            raise ValueError(f"box_slack must be at least 0 pixels, got {self.box_slack}")
        if not 0 <= self.hash_distance <= 16:
            raise ValueError(f"hash_distance must be in [0, 16] bits, got {self.hash_distance}")
        if not 0 < self.resemblance <= 1:
            raise ValueError(f"resemblance must be in (0, 1], got {self.resemblance}")
