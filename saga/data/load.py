"""From a dataset's configuration to its manifest.

manifest = load_manifest(DatasetConfig(layout="cub200", root="data/CUB_200_2011"))
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock

from saga.data.configuration import DatasetConfig
from saga.data.inspection import inspect
from saga.data.layouts import read_layout
from saga.data.manifest import DatasetManifest, build_manifest
from saga.data.rows import first_images, lists_digest
from saga.data.splits import check_class_lists, hold_out
from saga.data.synthetic.dataset import GENERATOR_VERSION, is_whole, materialise
from saga.errors import UserInputError
from saga.files import digest_of

Progress = Callable[[int, int], None]
CACHE = Path(".saga") / "data"
"""Where synthetic datasets are drawn, below where the command runs."""


def load_manifest(
    config: DatasetConfig, cache: Path | None = None, progress: Progress | None = None
) -> DatasetManifest:
    """Read a dataset's lists and every image's header and digest.

    Args:
        config: the dataset.
        cache: folder in which synthetic datasets are drawn, each under a name of its own; None
            takes `.saga/data`. Other layouts write nothing.
        progress: called with (images done, images), for drawing and for reading.

    Raises:
        UserInputError: if the dataset is missing, not of its layout, or wrong in any way that lists
            and headers can tell.
    """
    if config.layout == "synthetic":
        root = drawn_dataset(config, cache or CACHE, progress)
    else:
        root = Path(config.root or "").expanduser().absolute()
    rows = read_layout(config.layout, root)
    check_class_lists(lists_digest(rows), config.class_list_digest)
    rows = first_images(rows, config.max_images_per_class)
    rows = hold_out(rows, config.validation_classes, config.seed)
    return build_manifest(
        inspect(rows, root, config.limits, progress),
        name=config.name or config.layout,
        layout=config.layout,
        root=root,
    )


def drawn_dataset(config: DatasetConfig, cache: Path, progress: Progress | None) -> Path:
    """Folder of the synthetic dataset: `dataset.root`, or one in the cache, drawn if not whole.

    A lock beside it keeps two processes from drawing at once: the second waits, and takes what the
    first one drew.

    Raises:
        UserInputError: if `dataset.root` is given and holds something else; nothing is drawn there.
    """
    synthetic = config.synthetic
    if config.root is not None:
        root = Path(config.root).expanduser().absolute()
        if not is_whole(synthetic, root):
            raise UserInputError(
                f"dataset.root: {config.root} does not hold the synthetic dataset of these "
                "settings, whole and unchanged. Leave dataset.root out, and it is drawn."
            )
        return root
    name = f"synthetic-{digest_of([GENERATOR_VERSION, asdict(synthetic)])[:16]}"
    folder = cache.expanduser().absolute() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{name}.lock")):
        if not is_whole(synthetic, folder):
            materialise(synthetic, folder, progress=progress)
    return folder
