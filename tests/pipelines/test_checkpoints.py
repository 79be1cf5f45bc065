from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.checkpoints import checkpoint_folder, discard, locked_folder
from saga.encoders.configuration import EncoderConfig
from saga.errors import UserInputError
from saga.supervisors.configuration import SupervisorConfig
from saga.training.arm import ArmConfig
from saga.training.configuration import TrainingConfig

ARM = ArmConfig("saga", SupervisorConfig(), EncoderConfig(), TrainingConfig(steps=3))


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_HOME", str(tmp_path))


def test_anything_that_changes_the_result_gives_another_folder() -> None:
    here = checkpoint_folder(ARM, "manifest", "pairs", {"code": "1"})
    assert here == checkpoint_folder(ARM, "manifest", "pairs", {"code": "1"})
    other_arm = replace(ARM, training=TrainingConfig(steps=4))
    others = {
        checkpoint_folder(other_arm, "manifest", "pairs", {"code": "1"}),
        checkpoint_folder(ARM, "another", "pairs", {"code": "1"}),
        checkpoint_folder(ARM, "manifest", "another", {"code": "1"}),
        checkpoint_folder(ARM, "manifest", "pairs", {"code": "2"}),
    }
    assert len(others) == 4 and here not in others


def test_two_trainings_of_the_same_arm_do_not_share_a_folder_at_once() -> None:
    with locked_folder(ARM, "m", "p", {}) as folder:
        folder.mkdir()
        refused = pytest.raises(UserInputError, match="Another process is training the arm saga")
        with refused, locked_folder(ARM, "m", "p", {}):
            pass
    with locked_folder(ARM, "m", "p", {}) as again:
        assert again == folder
    discard(folder)
    assert list(folder.parent.iterdir()) == []
