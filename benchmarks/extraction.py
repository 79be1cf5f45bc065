"""Embedding extraction from JPEG files, against the bare tower with the same pixels ready in memory.

    python -m benchmarks.extraction --json extraction.json
    python -m benchmarks.extraction --device cuda --towers vit-s qwen3-vl-8b --images 512

Three do the same images in the same batches, in turns: the bare tower (no pooler, pixels normalised
and on the device), extraction as it is (read, hash, decode, resize, tower, pooler), and extraction
without threads or batches ahead. `ratios` has extraction's throughput over the bare tower's, each
from its fastest round, since whatever else the machine does only slows it down;
`ratios_without_overlap` that of the one without threads. Pictures are generated: JPEG of 500×375
pixels, CUB's size. The embedded tower has its trained weights, the others random ones; the stand-in
computes nothing and waits 20 ms an image, as an accelerator would keep the process waiting.

On a GPU the ratio is near 1 while the threads prepare images faster than the tower takes them. On a CPU
tower and threads share the cores, so it is near 1 only where the tower's cost per image is far
above that of decoding. `prepare_ms` (one thread) and `bare_ms` say which; `bare_cpu_ms` over
`ours_cpu_ms` is what the ratio comes to where all cores are busy, and hardly depends on what else runs.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from benchmarks.machine import where
from saga.data.configuration import DatasetConfig, LoadingConfig
from saga.data.load import load_manifest
from saga.data.manifest import DatasetManifest
from saga.encoders.configuration import PoolerConfig
from saga.encoders.poolers import build_pooler
from saga.encoders.preprocess import ImagePreprocessor
from saga.encoders.retriever import Retriever
from saga.encoders.tower import VisionTokens, VisionTower
from saga.encoders.towers import build_tower
from saga.files import write_json
from saga.retrieval.extract import extract_embeddings
from saga.supervisors.checkpoint import choose_device, load_checkpoint
from saga.supervisors.configuration import SupervisorConfig

EMBEDDED, STAND_IN, EMBEDDED_SIDE, SIDE = "embedded", "stand-in", 96, 224
SHAPES: dict[str, dict[str, Any]] = {
    "vit-s": {"depth": 12, "hidden_size": 384, "intermediate_size": 1536, "num_heads": 6}
    | {"out_hidden_size": 384, "deepstack_visual_indexes": [2, 5, 8]},
    "qwen3-vl-8b": {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16}
    | {"out_hidden_size": 4096, "deepstack_visual_indexes": [8, 16, 24]},
}
"""Vision towers of the Qwen3-VL family with random weights: a ViT-S, and that of Qwen3-VL-8B."""
WAIT_SECONDS = 0.02
"""Of the stand-in, an image."""
CLASSES = 4
QUALITY = 90
ALONE = LoadingConfig(workers=1, prefetch_batches=0)


class Spent(NamedTuple):
    """Seconds of one run."""

    wall: float
    cpu: float
    """Of all threads of this process."""


class StandIn(VisionTower):
    """Keeps its caller waiting without using the CPU."""

    family, width, pixels_per_token = STAND_IN, 8, SIDE

    def forward(self, pixels_BCHW: torch.Tensor) -> VisionTokens:
        """One token of zeros (B, 1, D)."""
        time.sleep(WAIT_SECONDS * len(pixels_BCHW))
        return VisionTokens(pixels_BCHW.new_zeros(len(pixels_BCHW), 1, self.width))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    options = _options(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    loading = LoadingConfig(options.workers, options.ahead)
    with tempfile.TemporaryDirectory() as folder:
        manifest = made_photos(Path(folder), options.images, (options.width, options.height))
        found = {
            name: measure(
                made_retriever(name, options.device),
                manifest,
                batch_size=options.batch_size,
                rounds=options.rounds,
                loading=loading,
            )
            for name in options.towers
        }
    report = {
        "environment": where(options.device),
        "device": _device_name(options.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "images": options.images,
        "pixels": [options.width, options.height],
        "batch_size": options.batch_size,
        "rounds": options.rounds,
        "workers": options.workers,
        "batches_ahead": options.ahead,
        "towers": found,
        "ratios": {name: figures["ratio"] for name, figures in found.items()},
        "ratios_without_overlap": {n: f["ratio_without_overlap"] for n, f in found.items()},
    }
    print(json.dumps(report, indent=2))  # noqa: T201 - what the benchmark is for
    if options.json is not None:
        write_json(options.json, report)


def made_photos(folder: Path, images: int, size: tuple[int, int]) -> DatasetManifest:
    """JPEG files of noise at three scales, in a folder a class.

    Args:
        folder: where they go.
        images: in all, over four classes.
        size: width and height in pixels.
    """
    rng = np.random.default_rng(0)
    for number in range(images):
        pixels = np.sum([_noise(rng, size, grain) for grain in (size[0] // 8, 16, 2)], axis=0)
        path = folder / f"class {number % CLASSES}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray((pixels / 3).astype(np.uint8)).save(path, quality=QUALITY)
    return load_manifest(DatasetConfig(layout="folders", root=str(folder)))


def _noise(rng: np.random.Generator, size: tuple[int, int], grain: int) -> np.ndarray:
    """Float (height, width, 3) in 0 to 255, smooth over `grain` pixels."""
    width, height = (max(1, side // max(1, grain)) for side in size)
    small = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return np.asarray(small.resize(size, Image.Resampling.BICUBIC), float)


def made_retriever(name: str, device: str) -> Retriever:
    """A tower by name, with the paper's pooler."""
    torch.manual_seed(0)
    preprocessor = ImagePreprocessor(SIDE, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    tower: VisionTower
    if name == EMBEDDED:
        loaded = load_checkpoint(SupervisorConfig(EMBEDDED, image_size=EMBEDDED_SIDE, device="cpu"))
        tower, preprocessor = loaded.tower, loaded.preprocessor
    elif name == STAND_IN:
        tower = StandIn()
    else:
        tower = build_tower("qwen3_vl", SHAPES[name])
    pooler = build_pooler(PoolerConfig(), tower.width)
    return Retriever(tower, pooler, preprocessor).to(choose_device(device))  # type: ignore[arg-type]


def measure(
    retriever: Retriever,
    manifest: DatasetManifest,
    *,
    batch_size: int,
    rounds: int,
    loading: LoadingConfig,
) -> dict[str, Any]:
    """Milliseconds an image of the bare tower and of extraction, and the ratios of throughput.

    Args:
        retriever: on the device where it is to be measured.
        manifest: of the images.
        batch_size: of all three.
        rounds: that count; one more goes before them.
        loading: of extraction as it is.
    """
    frame = manifest.frame
    batches = list(_ready(retriever, manifest, batch_size))

    def bare() -> None:
        for pixels in batches:
            retriever.tower(pixels)

    def extraction(loading: LoadingConfig) -> Callable[[], Any]:
        return lambda: extract_embeddings(retriever, manifest, frame, batch_size, loading=loading)

    runs = {"bare": bare, "ours": extraction(loading), "alone": extraction(ALONE)}
    runs["prepare"] = lambda: list(_resized(retriever, manifest))
    spent = _in_turns(runs, rounds, retriever)
    wall = {name: min(s.wall for s in found) for name, found in spent.items()}
    cpu = {name: min(s.cpu for s in found) for name, found in spent.items()}
    return {
        "ratio": round(wall["bare"] / wall["ours"], 4),
        "ratio_without_overlap": round(wall["bare"] / wall["alone"], 4),
        **{f"{name}_ms": round(1e3 * s / len(frame), 3) for name, s in wall.items()},
        **{f"{name}_cpu_ms": round(1e3 * s / len(frame), 3) for name, s in cpu.items()},
        "seconds": {name: [round(s.wall, 6) for s in found] for name, found in spent.items()},
    }


def _resized(retriever: Retriever, manifest: DatasetManifest) -> Any:
    """Each image read, verified, decoded and resized, one after the other."""
    from saga.data.reading import ImageReader

    reader = ImageReader.of(manifest, manifest.frame)
    for row in range(len(manifest.frame)):
        yield retriever.preprocessor.resize(reader.read(row))


def _ready(retriever: Retriever, manifest: DatasetManifest, batch_size: int) -> Any:
    """Batches of normalised pixels on the encoder's device."""
    images = np.stack(list(_resized(retriever, manifest)))
    device = next(retriever.parameters()).device
    for start in range(0, len(images), batch_size):
        yield retriever.preprocessor.normalise(images[start : start + batch_size]).to(device)


@torch.inference_mode()
def _in_turns(
    runs: dict[str, Callable[[], Any]], rounds: int, retriever: Retriever
) -> dict[str, list[Spent]]:
    """What each run took in each round; in changing order, so that disturbances hit all alike."""
    spent: dict[str, list[Spent]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name in list(runs)[:: 1 if number % 2 else -1]:
            took = _spent(runs[name], retriever)
            if number > 0:
                spent[name].append(took)
    return spent


def _spent(run: Callable[[], Any], retriever: Retriever) -> Spent:
    _synchronize(retriever)
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    _synchronize(retriever)
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def _synchronize(retriever: Retriever) -> None:
    """Wait for a GPU: it works on while the clock would already be read."""
    device = next(retriever.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _device_name(device: str) -> str:
    chosen = choose_device(device)  # type: ignore[arg-type]
    return torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else "cpu"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    loading = LoadingConfig()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the report here")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    names = (EMBEDDED, STAND_IN, *SHAPES)
    parser.add_argument("--towers", nargs="+", choices=names, default=names[:3])
    parser.add_argument("--images", type=int, default=64, help="at least 8")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--threads", type=int, help="of torch on the CPU; its own choice if left out"
    )
    parser.add_argument("--workers", type=int, default=loading.workers)
    parser.add_argument("--ahead", type=int, default=loading.prefetch_batches, help="batches")
    parser.add_argument("--width", type=int, default=500, help="of the pictures, in pixels")
    parser.add_argument("--height", type=int, default=375)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
