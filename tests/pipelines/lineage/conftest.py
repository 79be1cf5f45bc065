"""Three versions of one model: made, made anew with other pairs, and with its training reused."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.home import home
from tests.pipelines.commands.conftest import saga  # noqa: F401 - a fixture
from tests.pipelines.lineage.made import Made, run

Altered = Callable[..., AbstractContextManager[None]]


@pytest.fixture(scope="package")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workplace")


@pytest.fixture(scope="package")
def first(workplace: Path) -> Made:
    return run("lineage-birds", workplace, 1)


@pytest.fixture(scope="package")
def second(workplace: Path, first: Made) -> Made:
    """Other pairs, hence another encoder; its run recorded nothing."""
    return run("lineage-birds", workplace, 2, "mining.pairs=3", record=False)


@pytest.fixture(scope="package")
def third(workplace: Path, second: Made, first: Made) -> Made:
    """The first's encoder judged again beside another, in "production"."""
    other = second.artifact("encoder_saga")
    return run("lineage-birds", workplace, 3, "evaluation.nmi_seed=1", production=other)


@pytest.fixture
def here(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workplace)
    return workplace


@contextmanager
def flipped(path: Path, at: int = -20) -> Iterator[None]:
    """One bit of a file is another one."""
    before = path.read_bytes()
    data = bytearray(before)
    data[at] ^= 1
    path.write_bytes(bytes(data))
    try:
        yield
    finally:
        path.write_bytes(before)


@contextmanager
def cut(path: Path) -> Iterator[None]:
    """The last third of a file is gone."""
    before = path.read_bytes()
    path.write_bytes(before[: len(before) * 2 // 3])
    try:
        yield
    finally:
        path.write_bytes(before)


@contextmanager
def updated(table: str, column: str, value: Any, where: str, *values: Any) -> Iterator[None]:
    """A column of the database says something else; what is there must be exactly one row."""
    path = home() / "zenml" / "local_stores" / "default_zen_store" / "zenml.db"
    with sqlite3.connect(path) as database:
        rows = database.execute(
            f"SELECT id, {column} FROM {table} WHERE {where}", values
        ).fetchall()
        ((row, before),) = rows
        database.execute(f"UPDATE {table} SET {column} = ? WHERE id = ?", (value, row))
        database.commit()
        try:
            yield
        finally:
            database.execute(f"UPDATE {table} SET {column} = ? WHERE id = ?", (before, row))
            database.commit()


def metadata(resource: Any, key: str, value: Any) -> AbstractContextManager[None]:
    """One metadata of an artifact, step or run, as JSON."""
    of = "id = (SELECT m.id FROM run_metadata m JOIN run_metadata_resource r "
    of += "ON r.run_metadata_id = m.id WHERE r.resource_id = ? AND m.key = ?)"
    return updated("run_metadata", "value", value, of, resource.id.hex, key)
