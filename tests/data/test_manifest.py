import json

import pandas as pd
import pyarrow.parquet as pq
import pytest

from saga.data.manifest import SCHEMA, DatasetManifest, build_manifest, inside
from saga.errors import UserInputError
from tests.data.made import tiny_image


def made_rows() -> list[dict]:
    """Two training classes, one held out, two of the test; three images each."""
    sides = {1: "train", 2: "validation", 3: "train", 4: "test", 5: "test"}
    rows = []
    for class_id, split in sides.items():
        for i in range(3):
            row = {
                "image_id": f"{class_id}-{i}",
                "path": f"{class_id}/{i}.png",
                "sha256": f"{class_id}{i}" * 32,
                "class_id": class_id,
                "class_name": f"class {class_id}",
                "split": split,
                "width": 8 + i,
                "height": 9,
                "mode": "RGB",
            }
            if class_id > 1:
                row["bbox"] = [1.0, 2.0, 3.0, 4.0 + i]
            if class_id == 5:
                row["attributes"] = json.dumps({"bill color": "red"})
            rows.append(row)
    return rows


def made_manifest(root="/data", rows=None) -> DatasetManifest:
    return build_manifest(rows or made_rows(), name="made", layout="folders", root=root)


def test_a_saved_manifest_comes_back_the_same(tmp_path):
    manifest = made_manifest()
    manifest.save(tmp_path)
    again = DatasetManifest.load(tmp_path)
    assert again.digest == manifest.digest
    assert (again.name, again.layout, again.root) == ("made", "folders", manifest.root)
    pd.testing.assert_frame_equal(again.frame, manifest.frame)
    assert again.frame["bbox"][0] is None and again.frame["bbox"][3] == [1.0, 2.0, 3.0, 4.0]


def test_the_order_of_listing_and_the_root_do_not_change_the_digest(tmp_path):
    manifest = made_manifest()
    assert made_manifest(rows=made_rows()[::-1]).digest == manifest.digest
    assert made_manifest(root="/elsewhere").digest == manifest.digest
    assert manifest.with_root(tmp_path).digest == manifest.digest


@pytest.mark.parametrize("column", SCHEMA.names)
def test_every_column_is_bound_by_the_digest(column):
    other = {
        "image_id": "1-x",
        "path": "1/x.png",
        "sha256": "f" * 64,
        "class_id": 9,
        "class_name": "other",
        "split": "test",
        "width": 99,
        "height": 99,
        "mode": "L",
        "bbox": [0.0, 0.0, 1.0, 1.0],
        "attributes": '{"a": "b"}',
    }
    rows = made_rows()
    # Class columns are changed for the whole class, so that the table stays a manifest.
    for row in rows[:3] if column in ("class_id", "class_name", "split") else rows[:1]:
        row[column] = other[column]
    assert made_manifest(rows=rows).digest != made_manifest().digest


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("image_id", "1-1", "image_id '1-1' is given twice"),
        ("path", "1/1.png", "path '1/1.png' is given twice"),
        ("path", None, "path is missing"),
        ("sha256", "ab", "sha256 must be 64"),
        ("class_id", 2, "class_id 2 has more than one name"),
        ("class_name", "class 2", "class_id 1 has more than one name"),
        ("split", "test", "class_id 1 is in more than one split"),
        ("split", "dev", "split must be one of train, validation, test, got 'dev'"),
        ("width", 0, "at least 1 pixel"),
        ("mode", None, "mode is missing"),
        ("bbox", [1.0, 2.0, 3.0], r"a bbox is \[x, y, width, height\]"),
        ("bbox", [1.0, 2.0, 3.0, float("nan")], "a bbox is"),
        ("attributes", "[]", "attributes must be a JSON object of texts"),
        ("attributes", '{"a": 1}', "attributes must be a JSON object of texts"),
    ],
)
def test_a_table_that_is_no_manifest_is_refused_with_the_rule(column, value, problem):
    rows = made_rows()
    rows[0][column] = value
    with pytest.raises(ValueError, match=problem):
        made_manifest(rows=rows)


def test_two_classes_of_one_name_are_refused():
    rows = made_rows()
    for row in rows[:3]:
        row["class_name"] = "class 5"
    with pytest.raises(ValueError, match="class_name 'class 5' has more than one id"):
        made_manifest(rows=rows)


def test_counts_and_classes_of_each_side():
    manifest = made_manifest()
    assert manifest.counts() == {
        "images": 15,
        "train": {"images": 6, "classes": 2},
        "validation": {"images": 3, "classes": 1},
        "test": {"images": 6, "classes": 2},
    }
    assert manifest.classes("train") == ["class 1", "class 3"]
    assert manifest.classes("train", "validation") == ["class 1", "class 2", "class 3"]
    training = manifest.training()
    assert set(training["class_id"]) == {1, 3} and training.index.tolist() == list(range(6))


@pytest.mark.parametrize("column", SCHEMA.names)
def test_a_manifest_whose_rows_were_altered_does_not_load(tmp_path, column):
    made_manifest().save(tmp_path)
    table = pd.read_parquet(tmp_path / "manifest.parquet")
    changed = {"class_id": 77, "width": 77, "height": 77, "bbox": None, "attributes": "[[" * 50_000}
    table.at[14, column] = changed.get(column, "x")
    from saga.retrieval.storage import write_table

    write_table(tmp_path / "manifest.parquet", table, SCHEMA)
    with pytest.raises(UserInputError, match="manifest.*was altered"):
        DatasetManifest.load(tmp_path)


def test_a_manifest_with_another_digest_or_other_facts_does_not_load(tmp_path):
    made_manifest().save(tmp_path)
    facts = json.loads((tmp_path / "manifest.json").read_text())
    for changed, problem in (
        ({"digest": "0" * 64}, "was altered"),
        ({"root": 3}, "was altered"),
        ({"extra": 1}, "must hold"),
    ):
        (tmp_path / "manifest.json").write_text(json.dumps(facts | changed))
        with pytest.raises(UserInputError, match=problem):
            DatasetManifest.load(tmp_path)


@pytest.mark.parametrize("name", ["manifest.parquet", "manifest.json"])
def test_a_missing_or_foreign_file_is_told_by_name(tmp_path, name):
    made_manifest().save(tmp_path)
    (tmp_path / name).write_bytes(b"PAR1")
    with pytest.raises(UserInputError, match=name.replace(".", r"\.")):
        DatasetManifest.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(UserInputError, match=name.replace(".", r"\.")):
        DatasetManifest.load(tmp_path)


def test_nothing_in_the_file_is_pickled_or_hidden(tmp_path):
    made_manifest().save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["manifest.json", "manifest.parquet"]
    assert pq.read_schema(tmp_path / "manifest.parquet") == SCHEMA


@pytest.mark.parametrize(
    "relative", ["../secret.png", "/etc/hostname", "link.png", "folder/../../secret.png", "a\0b"]
)
def test_no_path_leads_out_of_the_root(tmp_path, relative):
    root = tmp_path / "root"
    tiny_image(tmp_path / "secret.png")
    tiny_image(root / "folder/a.png")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    assert inside(root, "folder/a.png") == root / "folder/a.png"
    for path in (relative, "loop.png"):
        with pytest.raises(UserInputError, match="leads outside|there is no file"):
            made_manifest(root).image_path(path)
