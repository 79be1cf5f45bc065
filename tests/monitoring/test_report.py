import json
from pathlib import Path

import pandas as pd
import pytest

from saga.errors import UserInputError
from saga.monitoring.measured import MeasuredImages
from saga.monitoring.report import DriftReport
from tests.monitoring.made import made_images, made_report


def test_a_report_comes_back_as_it_was_saved(tmp_path: Path):
    report = made_report()
    report.save(tmp_path)
    again = DriftReport.load(tmp_path)
    assert again.digest == report.digest
    assert again.to_summary() == report.to_summary()
    pd.testing.assert_frame_equal(again.images, report.images)
    assert again.rows == {"queries": 2, "training": 2}
    assert again.images["top1"].isna().tolist() == [False, False, True, True]


@pytest.mark.parametrize("field", ["figures", "thresholds", "digests", "facts", "not_judged"])
def test_the_digest_binds_every_part(field):
    changed = {
        "figures": {"domain_auc_gallery": 0.91, "brightness_gallery": 0.1},
        "thresholds": {"domain_auc_gallery": 0.71},
        "digests": {"encoder": "f"},
        "facts": {},
        "not_judged": ("something",),
    }
    assert made_report(**{field: changed[field]}).digest != made_report().digest


def test_an_altered_figure_or_row_is_found(tmp_path: Path):
    made_report().save(tmp_path)
    facts = json.loads((tmp_path / "drift.json").read_text())
    facts["figures"]["domain_auc_gallery"] = 0.99
    (tmp_path / "drift.json").write_text(json.dumps(facts))
    with pytest.raises(UserInputError, match="was altered"):
        DriftReport.load(tmp_path)
    report = made_report()
    report.save(tmp_path)
    other = made_report(images=report.images.assign(image="x.png"))
    other.save(tmp_path / "other")
    (tmp_path / "other" / "drift.parquet").replace(tmp_path / "drift.parquet")
    with pytest.raises(UserInputError, match="was altered"):
        DriftReport.load(tmp_path)


def test_a_warning_that_was_taken_out_is_found_even_with_a_new_digest(tmp_path: Path):
    made_report().save(tmp_path)
    facts = json.loads((tmp_path / "drift.json").read_text())
    (tmp_path / "drift.json").write_text(json.dumps(facts | {"warnings": []}))
    with pytest.raises(UserInputError, match="0 warnings for 1 figures above threshold"):
        DriftReport.load(tmp_path)


def test_a_folder_whose_writing_was_interrupted_does_not_load(tmp_path: Path):
    made_report().save(tmp_path)
    (tmp_path / "drift.json").unlink()
    with pytest.raises(UserInputError, match="cannot be read"):
        DriftReport.load(tmp_path)


def test_thresholds_belong_to_figures():
    with pytest.raises(ValueError, match="there are no figures sharpness_gallery"):
        made_report(thresholds={"sharpness_gallery": 1.0}, warnings=())


def test_measured_images_come_back_and_tampering_is_found(tmp_path: Path):
    images = made_images("gallery", 3, 4)
    images.frame.loc[0, "class_name"] = None
    images.save(tmp_path)
    again = MeasuredImages.load(tmp_path)
    assert again.digest == images.digest and again.data_digest == images.data_digest
    assert again.frame["class_name"].tolist() == images.frame["class_name"].tolist()
    vectors = (tmp_path / "vectors.safetensors").read_bytes()
    (tmp_path / "vectors.safetensors").write_bytes(vectors[:-1] + bytes([vectors[-1] ^ 1]))
    with pytest.raises(UserInputError, match="was altered"):
        MeasuredImages.load(tmp_path)
    (tmp_path / "vectors.safetensors").write_bytes(vectors[:-9])
    with pytest.raises(UserInputError, match="was altered"):
        MeasuredImages.load(tmp_path)
