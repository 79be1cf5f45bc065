"""Where a benchmark ran, and how much memory a piece of work took at its peak."""

import ctypes
import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from pipelines.environment import environment, hardware

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def where(device: str) -> dict[str, Any]:
    """Versions, machine, code and date, for the JSON file."""
    return environment() | {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@dataclass
class Peak:
    """Filled when its block ends."""

    bytes: int = 0


@contextmanager
def peak_memory(device: str, before: int = 0) -> Iterator[Peak]:
    """Largest memory inside the block.

    On a GPU what torch has allocated there, less `before`; on the CPU by how much the process's
    resident memory grew.
    """
    peak = Peak()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        yield peak
        peak.bytes = torch.cuda.max_memory_allocated() - before
        return
    began = _resident(_forget_peak())
    yield peak
    peak.bytes = max(0, _resident(True) - began)


def allocated(device: str) -> int:
    """Bytes on the GPU now; 0 on the CPU."""
    return torch.cuda.memory_allocated() if device == "cuda" else 0


def synchronise(device: str) -> None:
    """Wait for the GPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def _forget_peak() -> bool:
    """Start the process's peak anew, without what is free; else its whole life counts."""
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)
    try:
        CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _resident(fresh: bool) -> int:
    """Largest resident bytes since the peak was forgotten, or of the whole life so far."""
    if fresh and STATUS.is_file():
        lines = STATUS.read_text().splitlines()
        found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
        if found:
            return 1024 * found[0]
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
