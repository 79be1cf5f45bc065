"""Photos to pretrain on: CUB-200-2011's training classes with the dataset's class attributes.

Nothing of a test class is read, neither photo nor attribute row. Validation classes (those that
DatasetConfig.validation_classes holds out, in a study of the same settings as well) are read in
`unseen` alone, to measure. Use of the photos is limited to non-commercial research.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from saga.data.augment import augment
from saga.data.configuration import DatasetConfig
from saga.data.images import load_image
from saga.data.load import load_manifest
from saga.data.manifest import DatasetManifest
from saga.errors import UserInputError
from saga.supervisors.pretraining.class_attributes import class_values
from saga.supervisors.pretraining.pool import GROUP, Pool
from saga.supervisors.pretraining.vocabulary import PHOTOGRAPHED_BIRDS, Combination, Vocabulary

STORED = 128
"""Side in pixels of the photos in memory, squeezed into a square as the encoder sees them."""
NEAR_CLASSES, NEAR_SHARE = 8, 0.6
"""How many of the most similar classes are near, and how often a group's other class is one."""
CROP_SCALE, JITTER = 0.55, 0.2
"""Least share of the area that a crop keeps; most change of contrast and brightness."""
FEWEST_CLASSES = 2


@dataclass(frozen=True, slots=True)
class ClassPhotos:
    """Photos of one class, uint8 (n, 128, 128, 3), and what is true of it."""

    images: np.ndarray
    combination: Combination


class BirdPhotos:
    """The training classes' photos; a few of each are held out."""

    vocabulary: Vocabulary = PHOTOGRAPHED_BIRDS

    def __init__(self, config: DatasetConfig, held_out: int, seed: int) -> None:
        """Read the photos and the attributes of the training classes.

        Raises:
            UserInputError: if dataset or attributes are wrong, or too few photos or classes stay.
        """
        self.config = config
        self.manifest = load_manifest(config)
        rng = np.random.default_rng([seed, 6])
        self.training: list[ClassPhotos] = []
        self.held_out: list[ClassPhotos] = []
        for photos in read_classes(self.manifest, "train", config):
            n = len(photos.images)
            if n < held_out + 2:
                raise UserInputError(
                    f"held_out_photos is {held_out}, but a training class has {n} photos, of which "
                    f"2 must stay to learn from. Allowed there: 1 to {max(1, n - 2)}."
                )
            order = rng.permutation(n)
            for part, chosen in (
                (self.held_out, order[:held_out]),
                (self.training, order[held_out:]),
            ):
                part.append(ClassPhotos(photos.images[np.sort(chosen)], photos.combination))
        _check_distinct(self.training)

    def pool(self, groups: int, image_size: int, seed: list[int], held_out: bool) -> Pool:
        """Groups of two classes that differ; photos to learn from are cropped, flipped, jittered."""
        classes = self.held_out if held_out else self.training
        return draw_groups(classes, groups, image_size, seed, augmented=not held_out)

    def unseen(self, groups: int, image_size: int, seed: list[int]) -> Pool | None:
        """Groups of the validation classes, if there are at least two that differ."""
        classes = read_classes(self.manifest, "validation", self.config)
        if len({photos.combination for photos in classes}) < FEWEST_CLASSES:
            return None
        return draw_groups(classes, groups, image_size, seed, augmented=False)


def read_classes(manifest: DatasetManifest, split: str, config: DatasetConfig) -> list[ClassPhotos]:
    """Photos and attributes of the classes of one split."""
    rows = manifest.subset(split)
    values = class_values(Path(manifest.root), sorted({int(c) for c in rows["class_id"]}))
    found = []
    for class_id, combination in values.items():
        paths = rows["path"][rows["class_id"] == class_id]
        images = [load_image(manifest.image_path(path), config.limits) for path in paths]
        squares = [image.resize((STORED, STORED), Image.Resampling.BICUBIC) for image in images]
        found.append(ClassPhotos(np.stack([np.asarray(s) for s in squares]), combination))
    return found


def draw_groups(
    classes: list[ClassPhotos], groups: int, image_size: int, seed: list[int], augmented: bool
) -> Pool:
    """Two photos of a class and two of another, whose values differ, `groups` times.

    Args:
        classes: to draw from, each as often as any other.
        groups: number of groups.
        image_size: side of the pool's images in pixels.
        seed: of all draws.
        augmented: whether photos are cropped, flipped and jittered.
    """
    rng = np.random.default_rng(seed)
    values = np.array([photos.combination for photos in classes])
    distance = (values[:, None] != values[None]).sum(-1)
    images, combinations = [], []
    for _ in range(groups):
        first = int(rng.integers(len(classes)))
        others = np.flatnonzero(distance[first])
        while not len(others):  # a class that no other differs from
            first = int(rng.integers(len(classes)))
            others = np.flatnonzero(distance[first])
        if rng.random() < NEAR_SHARE:
            others = others[np.argsort(distance[first][others], kind="stable")[:NEAR_CLASSES]]
        second = int(rng.choice(others))
        for number in (first, second):
            photos = classes[number]
            replace = len(photos.images) < GROUP // 2
            chosen = rng.choice(len(photos.images), GROUP // 2, replace=replace)
            images += [photos.images[i] for i in chosen]
            combinations += [photos.combination] * (GROUP // 2)
    resized = np.concatenate(
        [
            _cut(images[start : start + 256], image_size, [*seed, start], augmented)
            for start in range(0, len(images), 256)
        ]
    )
    return Pool(resized, combinations)


def _cut(images: list[np.ndarray], side: int, seed: list[int], augmented: bool) -> np.ndarray:
    """The photos at the pool's size, uint8 (n, side, side, 3)."""
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    if augmented:
        pixels = augment(pixels, seed, flip=True, crop_scale=CROP_SCALE, jitter=JITTER)
    small = torch.nn.functional.interpolate(
        pixels, (side, side), mode="bicubic", antialias=True, align_corners=False
    )
    whole = ((small + 1) * 127.5).round().clamp(0, 255)
    return whole.permute(0, 2, 3, 1).to(torch.uint8).numpy()


def _check_distinct(classes: list[ClassPhotos]) -> None:
    if len({photos.combination for photos in classes}) < FEWEST_CLASSES:
        raise UserInputError(
            "All training classes have the same attribute values, so there is nothing to tell "
            "apart. Is attributes/class_attribute_labels_continuous.txt that of CUB-200-2011?"
        )
