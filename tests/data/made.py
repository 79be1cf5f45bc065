"""Small trees in each dataset's own layout, with images of a few pixels."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

REAL = Path(__file__).parents[3] / "shared/data/CUB_200_2011"


def tiny_image(path: Path, number: int = 0, size: tuple[int, int] = (8, 8)) -> Path:
    """A plain image whose bytes differ by number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    color = (number % 256, number // 256 % 256, 90)
    Image.new("RGB", size, color).save(path, "PNG" if path.suffix == ".png" else "JPEG")
    return path


def write_lines(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def made_cub(root: Path, classes: int = 4, images: int = 2, boxes: bool = True) -> Path:
    listed, labels, boxed = [], [], []
    for c in range(1, classes + 1):
        for i in range(images):
            number = (c - 1) * images + i + 1
            path = f"{c:03d}.Bird_{c}/Bird_{c}_{i:04d}.jpg"
            tiny_image(root / "images" / path, number)
            listed.append(f"{number} {path}")
            labels.append(f"{number} {c}")
            boxed.append(f"{number} 1.0 2.0 3.0 4.5")
    write_lines(root / "images.txt", *listed)
    write_lines(root / "image_class_labels.txt", *labels)
    write_lines(root / "classes.txt", *(f"{c} {c:03d}.Bird_{c}" for c in range(1, classes + 1)))
    # Says the opposite of the zero-shot split, and must not matter.
    write_lines(root / "train_test_split.txt", *(f"{n + 1} 0" for n in range(len(listed))))
    if boxes:
        write_lines(root / "bounding_boxes.txt", *boxed)
    return root


def structs(fields: list[str], records: list[tuple]) -> np.ndarray:
    """A MATLAB structure array."""
    array = np.empty((1, len(records)), dtype=[(field, object) for field in fields])
    array[0, :] = records
    return array


def cells(texts: list[str]) -> np.ndarray:
    """A MATLAB cell array."""
    return np.array(texts, dtype=object).reshape(1, -1)


CORNERS = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"]


def made_cars(root: Path, classes: int = 4, images: int = 2, single: bool = False) -> Path:
    """Half of each class's images under the official training flag, half under test."""
    names = cells([f"Make {c}/Model 20{c % 90 + 10}" for c in range(classes)])
    if single:
        records = []
        for n in range(classes * images):
            path = f"car_ims/{n + 1:06d}.jpg"
            tiny_image(root / path, n)
            records.append((path, 1, 2, 5, 7, n // images + 1, n % 2))
        fields = ["relative_im_path", *CORNERS, "class", "test"]
        savemat(
            root / "cars_annos.mat",
            {"annotations": structs(fields, records), "class_names": names},
        )
        return root
    (root / "devkit").mkdir(parents=True)
    savemat(root / "devkit/cars_meta.mat", {"class_names": names})
    for folder, path, flag in (
        ("cars_train", "devkit/cars_train_annos.mat", 0),
        ("cars_test", "cars_test_annos_withlabels.mat", 1),
    ):
        records = []
        for n in range(flag, classes * images, 2):
            name = f"{n // 2 + 1:05d}.jpg"
            tiny_image(root / folder / name, n)
            records.append((1, 2, 5, 7, n // images + 1, name))
        savemat(root / path, {"annotations": structs([*CORNERS, "class", "fname"], records)})
    return root


def made_aircraft(data: Path, classes: int = 4, images: int = 2, boxes: bool = True) -> Path:
    """Variants are listed in an order that is not the alphabetical one."""
    names = [f"Variant {c:03d}" for c in range(classes)]
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    boxed = []
    for n in range(classes * images):
        tiny_image(data / f"images/{n:07d}.jpg", n)
        lists["test" if n % 2 else "trainval"].append(f"{n:07d} {names[n // images]}")
        boxed.append(f"{n:07d} 1 1 6 7")
    write_lines(data / "variants.txt", *reversed(names))
    for name, lines in lists.items():
        write_lines(data / f"images_variant_{name}.txt", *lines)
    if boxes:
        write_lines(data / "images_box.txt", *boxed)
    return data


def made_inat(root: Path, species: int = 4, images: int = 2) -> Path:
    for s in range(species):
        name = f"{s + 3000:05d}_Animalia_Chordata_Aves_Order_Family_Genus_species{s}"
        for i in range(images):
            tiny_image(root / "train_mini" / name / f"{s:04d}-{i}.jpg", s * images + i)
    tiny_image(root / "train_mini/00001_Animalia_Chordata_Mammalia_O_F_G_s/a.jpg")
    tiny_image(root / "train_mini/00002_Plantae_Tracheophyta_Aves_O_F_G_s/a.jpg")
    return root


def made_folders(root: Path, names: list[str], images: int = 2, ending: str = ".jpg") -> Path:
    for c, name in enumerate(names):
        for i in range(images):
            tiny_image(root / name / f"{i}{ending}", c * images + i)
    return root
