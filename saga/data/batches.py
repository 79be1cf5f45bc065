"""Images of a manifest's rows as pixels, read ahead of their use, decoded once and kept small.

Shapes: B images, S side in pixels.
"""

import time
import weakref
from collections import OrderedDict
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from threading import Lock

import numpy as np
import pandas as pd
from torch import Tensor

from saga.data.configuration import ImageLimits, LoadingConfig
from saga.data.manifest import DatasetManifest
from saga.data.reading import ImageReader
from saga.encoders.preprocess import ImagePreprocessor

DEFAULT_LOADING = LoadingConfig()
GIB = 1 << 30
Read = Future[np.ndarray]
"""Gives uint8 (S, S, 3)."""


class ImageStore:
    """Batches of pixels by row number.

    Resized images stay in memory as bytes. In flight are those that were prefetched and not yet
    asked for, and those of the batch that is asked for; they are never dropped. The others are kept
    for a next time, the least recently used going first, as long as all together fit the budget.
    Hence resized images take at most the budget or the images in flight, whichever is more; and each
    worker holds one file and what it decodes to.

    Whenever a file is read, it is compared with the digest that the manifest recorded. Safe to call
    from several threads.
    """

    def __init__(
        self,
        manifest: DatasetManifest,
        frame: pd.DataFrame,
        limits: ImageLimits,
        preprocessor: ImagePreprocessor,
        loading: LoadingConfig = DEFAULT_LOADING,
    ) -> None:
        """Keep the rows; nothing is read yet.

        Args:
            manifest: says where the images are.
            frame: rows of the manifest (path, sha256); batches name them by position.
            limits: what the image loader accepts.
            preprocessor: size and normalisation.
            loading: threads and budget; how far ahead to read is up to who calls `prefetch`.
        """
        self.waited_seconds = 0.0
        """Time for which `pixels` waited for images, since the store was made."""
        self._preprocessor = preprocessor
        # Not a method: reads that are still queued must not keep the store alive.
        self._read = partial(_resized, ImageReader.of(manifest, frame, limits), preprocessor)
        self._room = int(loading.cache_gib * GIB) // (3 * preprocessor.size**2)
        self._lock = Lock()
        self._in_flight: dict[int, Read] = {}
        self._kept: OrderedDict[int, Read] = OrderedDict()
        self._pool = ThreadPoolExecutor(loading.workers, thread_name_prefix="saga-images")
        weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)

    def prefetch(self, indices: Sequence[int]) -> None:
        """Begin to read what is not in memory, and hold all of it until it is asked for."""
        self._hold(indices)

    def pixels(self, indices: Sequence[int]) -> Tensor:
        """Float32 (B, 3, S, S), in the order asked for.

        Raises:
            ImageError: if a file is missing or no acceptable image.
            UserInputError: if a file is not the one that the manifest lists.
        """
        reads = self._hold(indices)
        self._wait(reads.values())
        self._let_go(reads)
        return self._preprocessor.normalise(np.stack([reads[i].result() for i in indices]))

    def forget(self) -> None:
        """Nobody will ask for what was prefetched: its memory may be used again."""
        with self._lock:
            self._in_flight.clear()

    def _hold(self, indices: Sequence[int]) -> dict[int, Read]:
        """Put images in flight: those kept, those under way already, and the others as new reads."""
        with self._lock:
            for i in indices:
                if i not in self._in_flight:
                    kept = self._kept.pop(i, None)
                    self._in_flight[i] = kept or self._pool.submit(self._read, i)
            self._evict()
            return {i: self._in_flight[i] for i in indices}

    def _wait(self, reads: Collection[Read]) -> None:
        if all(read.done() for read in reads):
            return
        began = time.perf_counter()
        wait(reads)
        waited = time.perf_counter() - began
        with self._lock:
            self.waited_seconds += waited

    def _let_go(self, reads: dict[int, Read]) -> None:
        """Take images out of flight; those that could be read are kept as most recently used."""
        with self._lock:
            for i, read in reads.items():
                self._in_flight.pop(i, None)
                if read.exception() is None:
                    self._kept[i] = read
                    self._kept.move_to_end(i)
            self._evict()

    def _evict(self) -> None:
        while self._kept and len(self._kept) + len(self._in_flight) > self._room:
            self._kept.popitem(last=False)


def _resized(reader: ImageReader, preprocessor: ImagePreprocessor, row: int) -> np.ndarray:
    return preprocessor.resize(reader.read(row))
