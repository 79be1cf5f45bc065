import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from saga.data.configuration import DatasetConfig, ImageLimits
from saga.data.decoding import inspect_images
from saga.data.load import load_manifest
from saga.data.manifest import build_manifest
from saga.data.splits import CANONICAL_CLASSES
from saga.data.synthetic.configuration import SyntheticConfig
from saga.errors import RefusedError
from saga.files import sha256_file
from steps.expectations import run
from steps.expectations.run import joined, run_checks, validate_manifest
from steps.expectations.suite import IMAGES, checks
from steps.expectations.thresholds import Thresholds
from tests.steps.made import made_dataset, picture

LIMITS = ImageLimits()
REAL = Path(__file__).parents[3] / "shared/data/CUB_200_2011"
CHECKS = {check.id: check for check in checks("cub200", Thresholds())}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    manifest = made_dataset(tmp_path_factory.mktemp("sound"))
    return joined(manifest, inspect_images(manifest, LIMITS))


def put(column, value, rows=(0,)):
    """A fault: this value in these rows."""

    def plant(frame):
        for row in rows:
            frame.at[row, column] = value
        return frame

    return plant


def same(column, source=0, target=1):
    """A fault: one row takes the value of another."""
    return lambda frame: put(column, frame.at[source, column], (target,))(frame)


def looks(target):
    """A fault: a row looks as the first one does, but is another file."""

    def plant(frame):
        for column in ("thumbnail", "phash", "mirrored_phash"):
            frame.at[target, column] = frame.at[0, column]
        return frame

    return plant


def unbalanced(frame):
    more = pd.concat([frame[frame["class_id"] == 0]] * 11, ignore_index=True)
    return pd.concat([frame, more], ignore_index=True)


REQUIRED = ("image_id", "path", "sha256", "class_id", "class_name", "split")
REQUIRED += ("width", "height", "mode")
FAULTS = {f"{column}_present": put(column, None) for column in REQUIRED} | {
    "has_images": lambda frame: frame.iloc[:0],
    "image_id_unique": same("image_id"),
    "path_unique": same("path"),
    "split_known": put("split", "dev"),
    "sha256_form": put("sha256", "a" * 64 + "\n"),
    "mode_known": put("mode", "XYZ"),
    "files_exist": put("exists", False),
    "files_unchanged": put("unchanged", False),
    "files_decode": put("decodes", False),
    "size_as_recorded": put("width", 97),
    "boxes_inside": put("bbox", [90.0, 2.0, 30.0, 20.0]),
    "side_usable": put("side", 15.0),
    "side_good": put("side", 31.0),
    "aspect": put("aspect", 5.5),
    "not_one_color": put("one_color", True),
    "rarely_one_color": put("one_color", True),
    "classes_disjoint": put("split", "test"),
    "class_names": put("class_name", "class 1"),
    "images_per_class": put("class_name", "class 1", (0, 1)),
    "balance": unbalanced,
    "train_classes": put("split", "test", range(3)),
    "test_classes": put("split", "train", range(6, 9)),
    "no_exact_duplicates_across": same("sha256", 0, 11),
    "no_exact_duplicates_inside": same("sha256", 0, 1),
    "no_near_duplicates_across": looks(11),
    "no_near_duplicates_inside": looks(1),
    "layout_split": put("split", "train", range(6, 9)),
    "layout_classes": lambda frame: frame.iloc[:-1],
    "layout_images": lambda frame: frame.iloc[:-1],
}


def sound(name, table):
    """A table on which this expectation holds."""
    if name == "layout_images":
        return pd.concat([table] * 1000, ignore_index=True).iloc[: IMAGES["cub200"]]
    if name == "layout_classes":
        rows = pd.concat([table.iloc[:1]] * sum(CANONICAL_CLASSES["cub200"]), ignore_index=True)
        return rows.assign(class_id=range(len(rows)))
    return table.copy()


@pytest.mark.parametrize("name", CHECKS)
def test_every_expectation_holds_on_sound_data_and_fails_on_its_fault(name, table):
    frame = sound(name, table)
    (holds,) = run_checks([CHECKS[name]], frame)
    assert holds.success and holds.error is None and holds.examples == ()
    (fails,) = run_checks([CHECKS[name]], FAULTS[name](frame))
    assert not fails.success and fails.severity == CHECKS[name].severity
    # On no rows at all, and with a gap in a class's name, there is nothing to name.
    if name not in ("has_images", "layout_images"):
        assert fails.examples and fails.error is None


def test_sound_data_passes_the_whole_suite_and_progress_is_told(tmp_path):
    told = []
    manifest = made_dataset(tmp_path)
    report = validate_manifest(manifest, LIMITS, lambda done, total: told.append((done, total)))
    assert report.success, report.message()
    assert report.failed == report.warnings == []
    expected = tuple(check.id for check in checks("folders", Thresholds()))
    assert report.expected == tuple(o.id for o in report.outcomes) == expected
    assert report.dataset_digest == manifest.digest and told[-1] == (12, 12)


def edited(name, image):
    width, height = image.size
    return {
        "saved as jpeg": image,
        "scaled": image.resize((round(width * 0.75), round(height * 0.75))),
        "trimmed": image.crop((2, 1, width - 2, height - 1)),
        "lighter": image.point(lambda v: min(255, round(v * 1.1))),
        "mirrored": image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    }[name]


@pytest.mark.parametrize("name", ["saved as jpeg", "scaled", "trimmed", "lighter", "mirrored"])
def test_an_edited_training_image_among_the_test_images_is_refused_by_name(tmp_path, name):
    copy = edited(name, picture(1))
    manifest = made_dataset(tmp_path, {"3/10.png": copy})
    if name == "saved as jpeg":
        copy.save(tmp_path / "3/10.png", "JPEG", quality=50)
        rows = manifest.frame.to_dict("records")
        rows[10]["sha256"] = sha256_file(tmp_path / "3/10.png")
        manifest = build_manifest(rows, name="made", layout="folders", root=tmp_path)
    report = validate_manifest(manifest, LIMITS)
    assert [o.id for o in report.failed] == ["no_near_duplicates_across"]
    with pytest.raises(RefusedError, match=r"0/1\.png.*3/10\.png") as refused:
        report.require()
    assert "What to do: " in str(refused.value)


def test_missing_changed_and_damaged_files_and_paths_out_of_the_root_are_refused(tmp_path):
    root = tmp_path / "root"
    manifest = made_dataset(root)
    (root / "0/0.png").unlink()
    picture(99).save(root / "0/1.png")
    damaged = (root / "0/2.png").read_bytes()
    (root / "0/2.png").write_bytes(damaged[: len(damaged) // 2])
    picture(98).save(tmp_path / "outside.png")
    (root / "1/3.png").unlink()
    (root / "1/3.png").symlink_to(tmp_path / "outside.png")
    report = validate_manifest(manifest, LIMITS)
    failed = {o.id: o.examples for o in report.failed}
    assert set(failed) == {"files_exist", "files_unchanged", "files_decode"}
    assert [e.split(",")[0] for e in failed["files_exist"]] == ["0/0.png", "1/3.png"]
    assert [e.split(",")[0] for e in failed["files_unchanged"]] == ["0/1.png", "0/2.png"]
    assert failed["files_decode"][0].startswith("0/2.png: truncated")
    assert str(tmp_path) not in "".join(map(str, failed.values()))


def test_a_warning_does_not_refuse_the_data(tmp_path):
    report = validate_manifest(
        made_dataset(tmp_path, {"0/0.png": picture(0, (31, 31)), "0/1.png": picture(1, (200, 34))}),
        LIMITS,
    )
    assert [o.id for o in report.warnings] == ["side_good", "aspect"]
    assert report.success


def test_an_expectation_that_great_expectations_leaves_out_is_not_a_success(tmp_path, monkeypatch):
    whole = run._run
    monkeypatch.setattr(run, "_run", lambda suite, frame: whole(suite, frame)[1:])
    report = validate_manifest(made_dataset(tmp_path), LIMITS)
    assert report.failed == [] and len(report.missing) == 1
    assert not report.success and report.missing[0] in report.message()


@pytest.mark.parametrize("name", ["aspect", "images_per_class", "no_near_duplicates_inside"])
def test_an_error_in_any_expectation_is_a_failure_whatever_its_severity(name, table):
    broken = table.drop(
        columns={"aspect": "aspect", "images_per_class": "class_name"}.get(name, "phash")
    )
    (outcome,) = run_checks([CHECKS[name]], broken)
    assert outcome.error and outcome.state == "failed" and "Traceback" not in outcome.error


@pytest.mark.parametrize("name", ["files_unchanged", "side_usable", "not_one_color", "sha256_form"])
def test_a_column_of_nothing_but_gaps_is_no_success(name, table):
    column = {"files_unchanged": "unchanged", "side_usable": "side", "not_one_color": "one_color"}
    column = column.get(name, "sha256")
    frame = table.copy()
    frame[column] = np.nan if column == "side" else None
    (outcome,) = run_checks([CHECKS[name]], frame)
    assert not outcome.success and outcome.error == "0 of 12 images were looked at"


def test_images_that_all_look_alike_to_the_hash_are_an_error_not_a_pass(table, monkeypatch):
    monkeypatch.setattr("saga.data.duplicates.MOST_CANDIDATES", 0)
    frame = looks(11)(table.copy())
    (outcome,) = run_checks([CHECKS["no_near_duplicates_across"]], frame)
    assert not outcome.success and "too many to compare" in outcome.error


def test_importing_the_step_does_not_import_great_expectations():
    code = "import sys, steps.expectations.run; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_drawn_birds_have_no_duplicates(tmp_path):
    drawn = SyntheticConfig(4, 0, 6, images_per_class=8)
    manifest = load_manifest(DatasetConfig(synthetic=drawn), cache=tmp_path)
    report = validate_manifest(manifest, LIMITS)
    assert report.success, report.message()


@pytest.mark.skipif(not REAL.is_dir(), reason="the CUB photos are not beside the repository")
def test_real_photos_pass_and_the_thinned_out_copy_is_told():
    manifest = load_manifest(DatasetConfig(layout="cub200", root=str(REAL), max_images_per_class=2))
    report = validate_manifest(manifest, LIMITS)
    assert report.success, report.message()
    assert "layout_images" in {o.id for o in report.warnings}
    assert len(manifest.frame) == 400
