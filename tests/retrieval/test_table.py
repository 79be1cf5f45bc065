import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from saga.errors import UserInputError
from saga.files import sha256_bytes
from saga.retrieval.table import DIGEST_KEY, EmbeddingTable, check_suffix, check_target
from tests.retrieval.made import unit


@pytest.fixture
def table() -> EmbeddingTable:
    vectors = unit(np.random.default_rng(0).normal(size=(5, 3)))
    paths = ("a.png", "Zürich/b, c.png", "a\nb.png", "'", "e.png")
    return EmbeddingTable(paths, vectors, "digest")


@pytest.mark.parametrize("name", ["t.parquet", "t.npy"])
def test_a_table_comes_back_as_it_was_written(tmp_path, table, name):
    written = table.save(tmp_path / "new" / name)
    assert all(path.is_file() for path in written)
    loaded = EmbeddingTable.load(tmp_path / "new" / name)
    assert (loaded.paths, loaded.encoder_digest) == (table.paths, "digest")
    np.testing.assert_array_equal(loaded.vectors, table.vectors)
    assert loaded.vectors.dtype == np.float32


def test_the_files_are_readable_without_saga(tmp_path, table):
    table.save(tmp_path / "t.parquet")
    frame = pd.read_parquet(tmp_path / "t.parquet")
    assert list(frame["path"]) == list(table.paths)
    np.testing.assert_array_equal(np.stack(frame["embedding"]), table.vectors)
    files = table.save(tmp_path / "t.npy")
    assert [path.name for path in files] == ["t.npy", "t.json"]
    np.testing.assert_array_equal(np.load(files[0]), table.vectors)
    assert json.loads(files[1].read_text())["paths"] == list(table.paths)


def test_vectors_that_are_no_embeddings_are_not_put_into_a_table(table):
    for vectors in (
        table.vectors[:4],
        table.vectors * 2,
        table.vectors * np.nan,
        table.vectors[0],
        np.zeros((5, 0), np.float32),
    ):
        with pytest.raises(ValueError, match="vectors"):
            EmbeddingTable(table.paths, vectors, "digest")
    with pytest.raises(ValueError, match="text"):
        EmbeddingTable((1, 2, 3, 4, 5), table.vectors, "digest")  # type: ignore[arg-type]


def test_other_endings_are_refused(tmp_path, table):
    for name in ("t.csv", "t", "t.PARQUET", ".npy"):
        with pytest.raises(UserInputError, match=r"ends in \.parquet or \.npy"):
            check_suffix(tmp_path / name)
        with pytest.raises(UserInputError, match=r"ends in \.parquet or \.npy"):
            table.save(tmp_path / name)


def test_nothing_of_someone_elses_is_written_over(tmp_path, table):
    (tmp_path / "photos.json").write_text("precious")
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(UserInputError, match=r"photos\.json, which exists already"):
        check_target(tmp_path / "photos.npy")
    with pytest.raises(UserInputError, match="is a folder"):
        check_target(tmp_path / "folder.parquet")
    check_target(tmp_path / "photos.parquet")
    table.save(tmp_path / "own.npy")
    check_target(tmp_path / "own.npy")


def refused(path: Path, problem: str) -> None:
    with pytest.raises(UserInputError, match=problem) as caught:
        EmbeddingTable.load(path)
    assert str(path) in str(caught.value) and "saga embed" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["t.parquet", "t.npy"])
@pytest.mark.parametrize("content", [b"", b"not a table", b"\x93NUMPY", b"PAR1", b"PK\x03\x04"])
def test_a_file_of_another_kind_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    facts = {"sha256": sha256_bytes(content), "paths": [], "encoder_digest": "d"}
    path.with_suffix(".json").write_text(json.dumps(facts))
    refused(path, "is not a file of embeddings")


def test_a_missing_file_is_refused(tmp_path):
    refused(tmp_path / "t.parquet", "t.parquet is not a file of embeddings")
    refused(tmp_path / "t.npy", "t.npy is not a file of embeddings")


LISTS = pa.array([[1.0, 0.0], [0.0, 1.0]], pa.list_(pa.float32()))
FIXED = pa.array([[1.0, 0.0], [0.0, 1.0]], pa.list_(pa.float32(), 2))
PATHS = pa.array(["a", "b"])


@pytest.mark.parametrize(
    ("columns", "metadata", "problem"),
    [
        ({"path": PATHS, "embedding": FIXED}, {}, "another kind of Parquet file"),
        ({"embedding": FIXED}, {DIGEST_KEY: "d"}, "another kind of Parquet file"),
        ({"path": PATHS, "embedding": PATHS}, {DIGEST_KEY: "d"}, "lists of one length"),
        ({"path": PATHS, "embedding": LISTS}, {DIGEST_KEY: "d"}, "lists of one length"),
        (
            {"path": PATHS, "embedding": pa.array([[1.0, 0.0], None], FIXED.type)},
            {DIGEST_KEY: "d"},
            "lists of one length",
        ),
        (
            {"path": PATHS, "embedding": pa.array([[1.0, 0.0], [0.0, None]], FIXED.type)},
            {DIGEST_KEY: "d"},
            "NaN",
        ),
        (
            {"path": PATHS, "embedding": pa.array([[1.0, 0.0], [0.0, 3.0]], FIXED.type)},
            {DIGEST_KEY: "d"},
            "unit length",
        ),
        (
            {"path": pa.array(["a", None]), "embedding": FIXED},
            {DIGEST_KEY: "d"},
            "paths must be text",
        ),
        ({"path": pa.array([1, 2]), "embedding": FIXED}, {DIGEST_KEY: "d"}, "paths must be text"),
        ({"path": PATHS[:0], "embedding": FIXED[:0]}, {DIGEST_KEY: "d"}, "non-empty"),
        ({"path": PATHS, "embedding": FIXED}, {DIGEST_KEY: b"\xff"}, "utf-8"),
    ],
)
def test_a_parquet_file_that_is_no_table_is_refused_with_the_reason(
    tmp_path, columns, metadata, problem
):
    file = tmp_path / "t.parquet"
    parquet.write_table(pa.table(columns).replace_schema_metadata(metadata), file)
    refused(file, problem)


def npy(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


EYE = np.eye(2, dtype=np.float32)


@pytest.mark.parametrize(
    ("data", "facts", "problem"),
    [
        (npy(EYE), {"sha256": "0" * 64}, "does not belong to t.json"),
        (npy(EYE)[:-1], {}, "is not a file of embeddings"),
        (npy(np.array([{"a": 1}, {}])), {}, "Object arrays cannot be loaded"),
        (npy(EYE), {"paths": ["a"]}, "1 paths"),
        (npy(EYE), {"paths": 5}, "is not a file of embeddings"),
        (npy(EYE), {"paths": [1, 2]}, "paths must be text"),
        (npy(np.zeros(3)), {}, "vectors"),
        (npy(np.array(["a", "b"])), {}, "is not a file of embeddings"),
    ],
)
def test_an_npy_file_that_is_no_table_is_refused_with_the_reason(tmp_path, data, facts, problem):
    (tmp_path / "t.npy").write_bytes(data)
    good = {"sha256": sha256_bytes(data), "paths": ["a", "b"], "encoder_digest": "d"}
    (tmp_path / "t.json").write_text(json.dumps(good | facts))
    refused(tmp_path / "t.npy", problem)


@pytest.mark.parametrize("beside", ["[]", "{}", "nonsense", "[" * 100_000])
def test_an_npy_file_whose_paths_cannot_be_read_is_refused(tmp_path, beside):
    (tmp_path / "t.npy").write_bytes(npy(EYE))
    (tmp_path / "t.json").write_text(beside)
    refused(tmp_path / "t.npy", "is not a file of embeddings")


def test_vectors_that_were_altered_are_refused(tmp_path, table):
    file, _ = table.save(tmp_path / "t.npy")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    refused(file, "does not belong to")
