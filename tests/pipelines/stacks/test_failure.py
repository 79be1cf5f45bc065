"""What stopped a run on a cluster is the error that the step would have raised here."""

from types import SimpleNamespace

import pytest

from pipelines.stacks.failure import error_of, failure_of
from saga.errors import RefusedError, UserInputError
from tests.pipelines.stacks import stacks

REFUSED = """Traceback (most recent call last):
  File "/app/steps/mine_pairs.py", line 29, in mine_pairs
    validation.require()
saga.errors.RefusedError: The dataset birds failed its validation:
no_overlap: 3 classes are in both splits.
"""
WRAPPED = """Traceback (most recent call last):
  File "x.py", line 1, in f
OSError: gone
saga.errors.UserInputError: the first

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
saga.errors.UserInputError: dataset.root: /data is not there.
"""


@pytest.fixture
def stack(tmp_path):
    return stacks.shared(tmp_path)


def test_a_refusal_keeps_its_kind_and_words(stack):
    error = error_of("mine_pairs", REFUSED, [], stack)
    assert type(error) is RefusedError
    assert str(error) == (
        "The dataset birds failed its validation:\nno_overlap: 3 classes are in both splits."
    )


def test_the_last_of_several_counts(stack):
    error = error_of("load_dataset", WRAPPED, [], stack)
    assert type(error) is UserInputError and str(error) == "dataset.root: /data is not there."


def test_an_image_without_the_package_is_wrong_input(stack):
    words = ["Traceback", "ModuleNotFoundError: No module named 'steps'"]
    error = error_of("load_dataset", "", words, stack)
    assert isinstance(error, UserInputError)
    assert str(error).startswith(
        "image: registry.example.com/saga:0.1.0 does not hold this project"
    )


def test_an_image_with_other_code_is_wrong_input(stack):
    told = (
        "Traceback\npipelines.stacks.pod.OtherCodeError: The image holds other code (a) than b.\n"
    )
    error = error_of("load_dataset", told, [], stack)
    assert isinstance(error, UserInputError) and "image: The image holds other code" in str(error)


def test_anything_else_is_our_fault_and_shows_the_last_lines(stack):
    error = error_of("train_saga", "Traceback\nValueError: torn", [], stack)
    assert type(error) is RuntimeError and "train_saga failed: ValueError: torn" in str(error)
    assert "ValueError: torn" in error.__notes__[0]


def run(status, **steps):
    made = {
        name: SimpleNamespace(
            status=state, exception_info=None if told is None else SimpleNamespace(traceback=told)
        )
        for name, (state, told) in steps.items()
    }
    return SimpleNamespace(status=status, name="r", steps=made)


def test_a_completed_run_has_no_failure(stack):
    assert failure_of(run("completed", a=("completed", None)), stack, None) is None


def test_steps_that_were_stopped_with_the_others_are_not_the_cause(stack):
    found = failure_of(
        run("failed", a=("stopped", "RuntimeError: stopped"), b=("retrying", REFUSED)), stack, None
    )
    assert isinstance(found, RefusedError)


def test_a_step_that_left_no_traceback_is_heard_by_its_log(stack):
    logs = SimpleNamespace(last_words=lambda step: [f"{step} was killed"])
    found = failure_of(run("failed", train_saga=("failed", None)), stack, logs)
    assert "train_saga was killed" in str(found)


def test_a_run_without_a_word_says_so(stack):
    found = failure_of(run("failed", train_saga=("failed", None)), stack, None)
    assert "failed: train_saga; no step said why" in str(found)
