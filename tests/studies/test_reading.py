import pytest

from saga.errors import UserInputError
from saga.studies.reading import read_study


def test_a_study_that_extends_another_keeps_what_it_does_not_change(tmp_path):
    (tmp_path / "base.yaml").write_text(
        "name: base\nplan: {a: [x]}\ntraining: {steps: 3, flip: true}\n"
    )
    (tmp_path / "more.yaml").write_text(
        "extends: base.yaml\nname: more\nplan: {b: [y]}\ntraining: {steps: 4}\n"
    )
    assert read_study(tmp_path / "more.yaml") == {
        "name": "more",
        "plan": {"a": ["x"], "b": ["y"]},
        "training": {"steps": 4, "flip": True},
    }


def test_studies_that_extend_each_other_are_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(UserInputError, match="extends more than"):
        read_study(tmp_path / "a.yaml")
