"""Settings of a dataset."""

import math
from dataclasses import dataclass, field

from saga.data.synthetic.configuration import SyntheticConfig
from saga.settings.checks import check_seed

LAYOUTS = ("cub200", "cars196", "aircraft", "inat_aves", "folders", "synthetic")


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What the image loader accepts."""

    max_pixels: int = 50_000_000
    """Most pixels an image may decode to; read from the header."""
    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "MPO")
    """Accepted file formats, by PIL's names."""

    def __post_init__(self) -> None:
        if self.max_pixels < 1:
            raise ValueError(f"max_pixels must be at least 1, got {self.max_pixels}")
        if not self.formats:
            raise ValueError("formats must name at least one format")


@dataclass(frozen=True, slots=True)
class LoadingConfig:
    """How images come from the disk while the accelerator works on earlier ones."""

    workers: int = 4
    """Threads that read, verify, decode and resize; each holds one decoded image at a time."""
    prefetch_batches: int = 2
    """Batches that are read ahead; 0 reads a batch when it is asked for."""
    cache_gib: float = 1.0
    """Most memory that resized images may take between batches, in GiB; 0 keeps none."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")
        if self.prefetch_batches < 0:
            raise ValueError(f"prefetch_batches must be at least 0, got {self.prefetch_batches}")
        if not (self.cache_gib >= 0 and math.isfinite(self.cache_gib)):
            raise ValueError(f"cache_gib must be at least 0 and finite, got {self.cache_gib}")


@dataclass(frozen=True, slots=True)
class DatasetConfig:
    """Where images and labels are, and how classes are split."""

    layout: str = "synthetic"
    """One of cub200, cars196, aircraft, inat_aves, folders, synthetic."""
    root: str | None = None
    """Folder of the dataset, relative to where the command runs; synthetic needs none."""
    name: str | None = None
    """Name in reports; None takes the layout's."""
    validation_classes: int = 0
    """Training classes held out for model selection; the synthetic set has its own."""
    max_images_per_class: int | None = None
    """Keep only the first images of each class (by path)."""
    class_list_digest: str | None = None
    """Expected digest of the train and test class lists; another list is refused."""
    seed: int = 0
    """Seed of the hold-out."""
    limits: ImageLimits = field(default_factory=ImageLimits)
    """What the image loader accepts."""
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    """Used by the layout "synthetic"."""

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {self.layout!r}")
        if self.layout != "synthetic" and not self.root:
            raise ValueError(
                f"root: the layout {self.layout} needs the dataset's folder "
                "(for example --set dataset.root=../data)"
            )
        if self.validation_classes < 0:
            raise ValueError(
                f"validation_classes must be at least 0, got {self.validation_classes}"
            )
        if self.max_images_per_class is not None and self.max_images_per_class < 2:
            raise ValueError("max_images_per_class must be at least 2")
        check_seed(self.seed)
