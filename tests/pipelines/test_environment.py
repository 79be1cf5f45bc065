import subprocess
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from pipelines import environment

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own that stands for the project."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "file").write_text("1")
    git(folder, "init", "--quiet")
    git(folder, "add", "file")
    git(folder, "commit", "--quiet", "--message", "first")
    monkeypatch.setattr(environment, "PROJECT", folder)
    monkeypatch.delenv(environment.IMAGE_COMMIT, raising=False)
    environment.git_state.cache_clear()
    yield folder
    environment.git_state.cache_clear()


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_commit_and_cleanliness_are_those_of_the_project(repository):
    head = git(repository, "rev-parse", "HEAD")
    assert environment.git_state() == {"git_commit": head, "git_dirty": False}
    (repository / "file").write_text("2")
    environment.git_state.cache_clear()
    assert environment.git_state() == {"git_commit": head, "git_dirty": True}


def test_a_repository_that_the_project_merely_lies_in_is_not_its_own(repository, monkeypatch):
    (repository / "site-packages").mkdir()
    monkeypatch.setattr(environment, "PROJECT", repository / "site-packages")
    assert environment.git_state() == {"git_commit": "unknown", "git_dirty": None}


def test_the_callers_own_git_variables_do_not_matter(repository, monkeypatch):
    head = git(repository, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert environment.git_state()["git_commit"] == head


def test_without_git_the_state_is_unknown(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment.git_state() == {"git_commit": "unknown", "git_dirty": None}


@pytest.mark.parametrize("commit", ["", "unknown"])
def test_an_image_that_was_built_without_a_commit_leaves_it_unknown(
    repository, monkeypatch, commit
):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv(environment.IMAGE_COMMIT, commit)
    assert environment.git_state() == {"git_commit": "unknown", "git_dirty": None}


@pytest.mark.parametrize("suffix, dirty", [("", False), ("-dirty", True)])
def test_without_git_the_commit_is_the_images_and_says_so(repository, monkeypatch, suffix, dirty):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv(environment.IMAGE_COMMIT, COMMIT + suffix)
    assert environment.git_state() == {"git_commit": f"{COMMIT} (image)", "git_dirty": dirty}


def test_git_is_believed_before_the_image(repository, monkeypatch):
    monkeypatch.setenv(environment.IMAGE_COMMIT, COMMIT)
    assert environment.git_state()["git_commit"] == git(repository, "rev-parse", "HEAD")


def test_versions_are_those_installed_and_absent_packages_are_left_out(monkeypatch):
    monkeypatch.setattr(environment, "PACKAGES", ("numpy", "no-such-package-at-all"))
    assert environment.versions() == {"numpy": metadata.version("numpy")}


def test_peak_memory_is_in_bytes_and_holds_what_was_used():
    used = np.ones(4_000_000).nbytes
    assert used < environment.peak_memory_bytes() < 1 << 40
