import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines import answer, cli
from pipelines.answer import Answer
from pipelines.declarations import options
from saga import __version__
from saga.errors import RefusedError, UserInputError

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch",
    "transformers",
    "zenml",
    "great_expectations",
    "evidently",
    "faiss",
    "matplotlib",
    "sklearn",
    "scipy",
    "pandas",
    "pyarrow",
    "PIL",
)
COMMANDS = ("run", "validate", "evaluate", "embed", "search", "export", "build-supervisor", "study")
COMMANDS += ("promote", "rollback", "history", "sign", "lineage", "monitor")


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    return caught.value.code


@pytest.fixture
def command(monkeypatch):
    """Lets a function stand for every command's main; returns what it was called with."""
    calls: list[tuple] = []

    def stand_in(work) -> list[tuple]:
        def main(*arguments):
            calls.append(arguments)
            return work()

        monkeypatch.setattr(options, "import_module", lambda name: SimpleNamespace(main=main))
        return calls

    return stand_in


def modules_after(*arguments: str) -> tuple[int, set[str]]:
    """Exit code, and heavy packages imported, of a `saga` in a process of its own."""
    code = (
        "import json, sys\n"
        "from pipelines import cli\n"
        "try:\n    cli.main(sys.argv[1:])\n"
        "except SystemExit as error:\n    code = error.code\n"
        "sys.stderr.write('\\n' + json.dumps([code, sorted(sys.modules)]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    result, modules = json.loads(done.stderr.splitlines()[-1])
    return result, {name.partition(".")[0] for name in modules} & set(HEAVY)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["run", "--help"], 0),
        (["run", "no-such-file.yaml"], 2),
        (["run", "--set", "training.rollout.groupsize=3"], 2),
        (["run", "--set", "training.weights.kl=1", "--set", "encoder.pooler.kind=mean"], 2),
        (["run", "--set", "dataset.layout=folders", "--set", "dataset.root=absent"], 2),
        (["validate", "configs/embedded.yaml", "--set", "training.stepz=1"], 2),
        (["evaluate", "absent", "configs/embedded.yaml", "--set", "training.stepz=1"], 2),
        (["build-supervisor", "configs/supervisor.yaml", "--set", "stages=[]"], 2),
        (["embed", "encoder", "absent.jpg"], 2),
    ],
)
def test_help_and_a_wrong_configuration_are_answered_without_heavy_imports(arguments, code):
    assert modules_after(*arguments) == (code, set())


def test_whoever_only_arranges_steps_or_passes_encoders_on_does_not_wait_for_transformers(tmp_path):
    script = tmp_path / "arranges.py"
    script.write_text(
        "import sys, pipelines.train_and_judge\nsys.exit('transformers' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, script], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


def test_help_names_every_command_and_the_exit_codes(capsys):
    assert exit_code("--help") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert all(f" {name} " in out for name in COMMANDS)
    assert "0 done, 1 our fault, 2 the input is wrong, 3 a gate" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_and_json(name, capsys):
    assert exit_code(name, "--help") == 0
    out = capsys.readouterr().out
    assert re.search(rf"Example:\n +saga {name} ", out)
    assert "--json" in out and "--debug" in out


def test_the_version_is_the_packages(capsys):
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"saga {__version__}\n"


@pytest.mark.parametrize(
    ("work", "code"),
    [
        (lambda: Answer({}, "done"), 0),
        (lambda: Answer({}, "worse", answer.REFUSED), 3),
        (lambda: 1 / 0, 1),
    ],
)
def test_the_commands_outcome_is_the_exit_code(command, capsys, work, code):
    command(work)
    assert exit_code("export", "a", "b") == code


@pytest.mark.parametrize(
    ("error", "code"),
    [(UserInputError("x."), 2), (RefusedError("x."), 3), (KeyboardInterrupt(), 130)],
)
def test_the_commands_error_is_the_exit_code(command, capsys, error, code):
    def work():
        raise error

    command(work)
    assert exit_code("embed", "e", "x.jpg", "--json") == code
    assert json.loads(capsys.readouterr().out)["exit_code"] == code


def test_arguments_reach_the_command_as_they_were_given(command):
    calls = command(lambda: Answer({}, ""))
    assert exit_code("run", "--set", "a.b=1", "--set", "c=2") == 0
    assert exit_code("run", "x.yaml") == 0
    assert exit_code("search", "e", "gallery", "q.jpg", "-k", "3", "--device", "cpu") == 0
    assert exit_code("embed", "e", "a.jpg", "b", "--output", "o.npy", "--batch-size", "2") == 0
    assert exit_code("evaluate", "m:3", "x.yaml", "--split", "train", "--output", "o") == 0
    assert exit_code("validate", "data", "--layout", "folders") == 0
    assert exit_code("build-supervisor", "s.yaml", "--set", "seed=1") == 0
    assert exit_code("export", "m:production", "out") == 0
    assert calls == [
        (None, ["a.b=1", "c=2"], "local"),
        (Path("x.yaml"), [], "local"),
        ("e", Path("gallery"), Path("q.jpg"), 3, "cpu"),
        ("e", [Path("a.jpg"), Path("b")], Path("o.npy"), 2, "auto"),
        ("m:3", Path("x.yaml"), [], "train", Path("o"), "auto"),
        (Path("data"), "folders", Path("validation"), []),
        (Path("s.yaml"), Path("supervisor"), ["seed=1"]),
        ("m:production", Path("out")),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embed"], "Missing argument 'ENCODER'"),
        (["export", "a"], "Missing argument 'DIR'"),
        (["emebd", "a", "b"], "No such command 'emebd'"),
        (["run", "--sett", "a=1"], "No such option: --sett"),
        (["search", "a", "b", "c", "-k", "0"], "Invalid value for '-k'"),
        (["embed", "a", "b", "--device", "tpu"], "Invalid value for '--device'"),
        (["export", "a", "b", "c"], "unexpected extra argument"),
    ],
)
def test_wrong_usage_is_told_as_everything_else(capsys, arguments, message):
    assert exit_code(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err
    assert exit_code(*arguments, "--json") == 2
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert (facts["status"], facts["exit_code"]) == ("error", 2)
    assert message in facts["message"] and message in err


def test_no_arguments_show_the_help(capsys):
    assert exit_code() == 2
    out, err = capsys.readouterr()
    assert "Usage: saga" in out + err


def test_after_ctrl_c_a_run_says_the_very_command_that_goes_on(command, capsys):
    def work():
        raise KeyboardInterrupt

    command(work)
    assert exit_code("run", "my runs/x.yaml", "--set", "training.betas=[0.9, 1]") == 130
    err = capsys.readouterr().err
    assert "saga run 'my runs/x.yaml' --set 'training.betas=[0.9, 1]'" in err


# A process of its own ---------------------------------------------------------------------------


def saga(*arguments: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "pipelines.cli", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, **options)


def test_a_full_disk_behind_stdout_is_told_and_no_traceback(tmp_path):
    with open("/dev/full", "w") as full:
        process = saga("--version", stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert b"could not be written" in err and b"Traceback" not in err


def test_a_reader_that_has_gone_is_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    process = saga("run", "absent.yaml", "--json", stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=60)
    assert b"absent.yaml: No such file" in err and b"Traceback" not in err


def test_ctrl_c_in_the_middle_of_the_work_is_exit_code_130_and_one_object(tmp_path):
    config = tmp_path / "x.yaml"
    os.mkfifo(config)  # reading the configuration waits for us
    process = saga("run", str(config), "--json", stdout=subprocess.PIPE)
    with open(config, "w"):
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    facts = json.loads(out)
    assert (facts["status"], facts["exit_code"]) == ("interrupted", 130)
    assert f"saga run {config}" in facts["message"] and b"Traceback" not in err
