"""Files that are either whole or absent, and the digests that bind them.

Every write goes to a temporary name beside the target, is flushed to disk and then renamed, so a
reader never sees half a file and a failure leaves nothing behind.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from saga.errors import UserInputError

CHUNK_BYTES = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text. Refuses NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value's canonical text."""
    return sha256_bytes(canonical_json(value).encode())


def file_digests(folder: Path, exclude: tuple[str, ...] = ()) -> dict[str, str]:
    """SHA-256 of every file below a folder, by POSIX path relative to it.

    Raises:
        UserInputError: if the folder holds a symbolic link (a digest would not bind its target) or
            anything else that is neither file nor folder.
    """
    digests = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise UserInputError(f"{path} is a symbolic link; an artifact holds plain files only.")
        if path.is_dir() or relative in exclude:
            continue
        if not path.is_file():
            raise UserInputError(f"{path} is not a file; an artifact holds plain files only.")
        digests[relative] = sha256_file(path)
    return digests


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says "no space left"."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    # safetensors, written in Rust, has an error of its own without a number.
    return os.strerror(errno.ENOSPC) in str(error)


@contextmanager
def explained_disk_errors(target: Path) -> Iterator[None]:
    """Turn "no space left" into a message for the user."""
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise UserInputError(
                f"No space left on the disk while writing {target}. Nothing was left half-written; "
                "free some space or choose another folder, then run the same command again."
            ) from error
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: temporary file, fsync, rename, fsync of the folder."""
    with explained_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _fsync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically. Refuses NaN."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


@contextmanager
def replace_folder(target: Path) -> Iterator[Path]:
    """Build a folder under a temporary name beside `target`; it takes that name only at success.

    Args:
        target: a folder there is replaced; of a symbolic link, what it points to.

    Raises:
        UserInputError: if the target is a file, or the disk is full.
    """
    target = Path(os.path.realpath(target))
    if target.exists() and not target.is_dir():
        raise UserInputError(f"{target} is a file. Give a folder that is new.")
    with explained_disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        try:
            yield building
            os.chmod(building, 0o755)
            _fsync_tree(building)
            _swap(building, target)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        _fsync(target.parent)


def _swap(building: Path, target: Path) -> None:
    """Rename `building` to `target`; an existing folder is set aside first, then deleted."""
    if not target.exists():
        os.replace(building, target)
        return
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
    try:
        os.replace(target, aside / "previous")
        os.replace(building, target)
    finally:
        if not target.exists():
            os.replace(aside / "previous", target)
        shutil.rmtree(aside, ignore_errors=True)


def _fsync_tree(folder: Path) -> None:
    """Flush every file below a folder, whoever wrote it."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            _fsync(path)
    _fsync(folder)


def _fsync(path: Path) -> None:
    """Flush a file, or make the renames in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
