"""Settings of the procedural dataset."""

from dataclasses import dataclass

from saga.settings.checks import check_seed

MAX_ENTANGLED = 200
"""Entangled training classes; of the 500 tied combinations some 300 are for training."""


@dataclass(frozen=True, slots=True)
class SyntheticConfig:
    """Size and regime of the synthetic birds.

    The default is the "hazy habitat": in training each class has a background colour of its own, in
    test backgrounds are free, and every image of either lies under a haze of random strength that
    the supervisor never saw while it was pretrained.
    """

    train_classes: int = 20
    """Classes to train on, drawn independently."""
    validation_classes: int = 20
    """Further classes for model selection, made like the test classes, from combinations of their
    own."""
    test_classes: int = 60
    """Unseen classes, in families that differ by one or two attributes."""
    images_per_class: int = 20
    """Images of each class."""
    image_size: int = 96
    """Side in pixels."""
    habitat: float = 1.0
    """Share of the training images whose background has their class's colour."""
    haze: float = 0.7
    """Most of the contrast that haze may take: x → a·x + (1 - a)·c, a uniform in [1 - haze, 1]."""
    tint: float = 0.0
    """Strength of a random colour cast per image: each channel is multiplied by exp(N(0, tint²))."""
    shift: float = 0.0
    """Strength, up to 1, of one fixed change of colour and tone that lies over every image of the
    set, and that the supervisor never saw."""
    entangled: bool = False
    """In training, the wing's colour decides the tail's and the crown's decides the bill's, so that
    labels leave open which of the two tells classes apart. Test classes are free."""
    clutter: float = 0.5
    """Strength of pose, clutter, occlusion, exposure and noise, from 0 to 1."""
    seed: int = 0
    """Seed of classes and images."""

    def __post_init__(self) -> None:
        for name, least in (("train_classes", 2), ("validation_classes", 0), ("test_classes", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.images_per_class < 2:
            raise ValueError(f"images_per_class must be at least 2, got {self.images_per_class}")
        if not 32 <= self.image_size <= 512:
            raise ValueError(f"image_size must be in [32, 512] pixels, got {self.image_size}")
        for name in ("habitat", "haze", "tint", "shift", "clutter"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        if not isinstance(self.entangled, bool):
            raise ValueError(f"entangled must be true or false, got {self.entangled!r}")
        if self.entangled and self.train_classes > MAX_ENTANGLED:
            raise ValueError(
                f"train_classes must be at most {MAX_ENTANGLED} if entangled, "
                f"got {self.train_classes}"
            )
        check_seed(self.seed)
