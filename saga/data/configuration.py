"""Settings of a dataset."""

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
