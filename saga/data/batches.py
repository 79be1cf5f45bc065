"""Images of a manifest's rows as pixels, decoded once and kept small.

Shapes: B images, S side in pixels.
"""

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from torch import Tensor

from saga.data.configuration import ImageLimits
from saga.data.images import load_image
from saga.data.manifest import DatasetManifest
from saga.encoders.preprocess import ImagePreprocessor
from saga.errors import UserInputError
from saga.files import sha256_file

THREADS = 4


class ImageStore:
    """Batches of pixels by row number.

    Resized images stay in memory as bytes, the least recently used going first when the budget is
    spent. Whenever a file is read, it is compared with the digest that the manifest recorded.
    """

    def __init__(
        self,
        manifest: DatasetManifest,
        frame: pd.DataFrame,
        limits: ImageLimits,
        preprocessor: ImagePreprocessor,
        budget_bytes: int = 1 << 30,
    ) -> None:
        """Keep the rows; nothing is read yet.

        Args:
            manifest: says where the images are.
            frame: rows of the manifest (path, sha256); batches name them by position.
            limits: what the image loader accepts.
            preprocessor: size and normalisation.
            budget_bytes: most memory that resized images may take between batches.
        """
        self._manifest, self._limits, self._preprocessor = manifest, limits, preprocessor
        self._paths, self._sha256 = frame["path"].tolist(), frame["sha256"].tolist()
        self._budget = budget_bytes
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._kept_bytes = 0

    def pixels(self, indices: Sequence[int]) -> Tensor:
        """Float32 (B, 3, S, S), in the order asked for.

        Raises:
            ImageError: if a file is missing or no acceptable image.
            UserInputError: if a file is not the one that the manifest lists.
        """
        missing = [i for i in dict.fromkeys(indices) if i not in self._kept]
        read = dict(zip(missing, self._read_all(missing)))
        images = [read[i] if i in read else self._kept[i] for i in indices]
        for i, image in zip(indices, images):
            self._keep(i, image)
        return self._preprocessor.normalise(np.stack(images))

    def _read_all(self, indices: list[int]) -> list[np.ndarray]:
        if not indices:
            return []
        with ThreadPoolExecutor(min(THREADS, len(indices))) as pool:
            return list(pool.map(self._read, indices))

    def _read(self, index: int) -> np.ndarray:
        """Uint8 (S, S, 3) of one row."""
        path = self._manifest.image_path(self._paths[index])
        if sha256_file(path) != self._sha256[index]:
            raise UserInputError(
                f"{path} has changed since the manifest was made: its sha256 differs. "
                "Load the dataset again, or restore the file."
            )
        return self._preprocessor.resize(load_image(path, self._limits))

    def _keep(self, index: int, image: np.ndarray) -> None:
        """Keep an image as the most recently used one, within the budget."""
        if index not in self._kept:
            self._kept[index] = image
            self._kept_bytes += image.nbytes
        self._kept.move_to_end(index)
        while self._kept_bytes > self._budget:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= dropped.nbytes
