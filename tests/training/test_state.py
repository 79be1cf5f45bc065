"""Checkpoints as files: whole or absent, bound by digests, swept."""

import json

import pytest
import torch
from torch import nn

from saga.errors import UserInputError
from saga.training import state as state_module
from saga.training.state import (
    TrainingState,
    load_state,
    optimizer_tensors,
    random_tensors,
    restore_optimizer,
    restore_random,
    save_state,
    sweep,
)

KEY = "k" * 64


def made_state(step=2):
    generator = torch.Generator().manual_seed(step)
    return TrainingState(
        step,
        {
            "parameter.0": torch.randn(3, 4, generator=generator).T,
            "optimizer.0.step": torch.tensor(float(step)),
            "half": torch.randn(5, generator=generator).bfloat16(),
            "random.cpu": torch.get_rng_state(),
        },
        {"rows": [{"loss": 0.1 + 0.2, "absent": None}], "sampler": {"rng": {"state": 1 << 100}}},
    )


@pytest.fixture
def saved(tmp_path):
    save_state(tmp_path, made_state(), KEY)
    return tmp_path


def assert_equal(a, b):
    assert a.step == b.step and a.values == b.values and a.tensors.keys() == b.tensors.keys()
    for name, value in a.tensors.items():
        assert value.dtype == b.tensors[name].dtype and torch.equal(value, b.tensors[name]), name


def test_a_state_is_read_back_bit_for_bit(saved):
    assert_equal(load_state(saved, KEY), made_state())


def test_a_checkpoint_is_safetensors_and_json(saved):
    files = {p.relative_to(saved).as_posix() for p in saved.rglob("*") if p.is_file()}
    assert files == {
        "latest.json",
        "step-000002/tensors.safetensors",
        "step-000002/values.json",
    }


def test_the_newest_checkpoint_replaces_the_older_ones(saved):
    save_state(saved, made_state(4), KEY)
    assert [p.name for p in saved.glob("step-*")] == ["step-000004"]
    assert_equal(load_state(saved, KEY), made_state(4))


def test_a_run_of_another_key_starts_afresh_and_then_takes_the_folder_over(saved):
    assert load_state(saved, "other") is None
    save_state(saved, made_state(1), "other")
    assert load_state(saved, KEY) is None
    assert_equal(load_state(saved, "other"), made_state(1))


def test_an_empty_or_absent_folder_holds_nothing(tmp_path):
    assert load_state(tmp_path, KEY) is None
    assert load_state(tmp_path / "absent", KEY) is None
    sweep(tmp_path / "absent")


# A crash at any moment ---------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["save_file", "write_text", "file_digests", "write_json"])
def test_a_crash_while_saving_leaves_the_previous_checkpoint(saved, monkeypatch, moment):
    def crash(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(state_module, moment, crash)
        with pytest.raises(KeyboardInterrupt):
            save_state(saved, made_state(4), KEY)
    assert_equal(load_state(saved, KEY), made_state(2))
    sweep(saved)
    assert sorted(p.name for p in saved.iterdir()) == ["latest.json", "step-000002"]
    save_state(saved, made_state(4), KEY)
    assert_equal(load_state(saved, KEY), made_state(4))


def test_what_a_kill_left_is_swept_and_what_is_not_ours_stays(saved):
    for orphan in ("step-000004", ".step-000006.x8f", ".step-000002.old.ab"):
        (saved / orphan).mkdir()
        (saved / orphan / "tensors.safetensors").write_bytes(b"half")
    (saved / ".latest.json.q2w").write_text("{")
    (saved / "notes").mkdir()
    (saved / "notes" / "step-1.txt").write_text("the user's own")
    sweep(saved)
    assert sorted(p.name for p in saved.iterdir()) == ["latest.json", "notes", "step-000002"]
    assert_equal(load_state(saved, KEY), made_state())


# Altered checkpoints -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tensors.safetensors", "values.json"])
def test_one_flipped_bit_is_refused(saved, name):
    path = saved / "step-000002" / name
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserInputError, match="cannot be resumed.*delete that folder"):
        load_state(saved, KEY)


@pytest.mark.parametrize("name", ["tensors.safetensors", "values.json"])
def test_a_missing_file_is_refused(saved, name):
    (saved / "step-000002" / name).unlink()
    with pytest.raises(UserInputError, match="do not match their digests"):
        load_state(saved, KEY)


def test_an_added_file_is_refused(saved):
    (saved / "step-000002" / "code.py").write_text("")
    with pytest.raises(UserInputError, match="do not match their digests"):
        load_state(saved, KEY)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"folder": 3, "key": "x"}'])
def test_a_damaged_pointer_is_refused(saved, text):
    (saved / "latest.json").write_text(text)
    with pytest.raises(UserInputError, match="cannot be resumed"):
        load_state(saved, KEY)


def test_a_pointer_cannot_lead_out_of_the_folder(saved, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    save_state(outside, made_state(9), KEY)
    pointer = json.loads((outside / "latest.json").read_text())
    pointer["folder"] = str(outside / pointer["folder"])
    (saved / "latest.json").write_text(json.dumps(pointer))
    with pytest.raises(UserInputError, match="cannot be resumed"):
        load_state(saved, KEY)


# Optimizer and generators ------------------------------------------------------------------------


def stepped(parameters, optimizer, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for parameter in parameters[:-1]:  # the last one never gets a gradient
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


def made_optimizer(seed=0):
    generator = torch.Generator().manual_seed(seed)
    parameters = [nn.Parameter(torch.randn(n, generator=generator)) for n in (3, 2, 4)]
    groups = [{"params": parameters[:1], "lr": 0.1}, {"params": parameters[1:], "lr": 0.01}]
    return parameters, torch.optim.AdamW(groups)


def test_an_optimizer_goes_on_from_its_tensors():
    whole, optimizer = made_optimizer()
    stepped(whole, optimizer, 3, seed=1)
    tensors = {n: v.clone() for n, v in optimizer_tensors(optimizer).items()}
    halfway = [p.detach().clone() for p in whole]
    stepped(whole, optimizer, 2, seed=2)
    resumed, fresh = made_optimizer(seed=9)
    with torch.no_grad():
        for parameter, value in zip(resumed, halfway):
            parameter.copy_(value)
    restore_optimizer(fresh, tensors)
    assert [g["lr"] for g in fresh.param_groups] == [0.1, 0.01]
    stepped(resumed, fresh, 2, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed))


def test_the_generators_go_on_from_their_states():
    torch.manual_seed(3)
    torch.rand(5)
    states = {n: v.clone() for n, v in random_tensors().items()}
    expected = torch.rand(4)
    torch.manual_seed(8)
    restore_random(states)
    assert torch.equal(torch.rand(4), expected)
