"""Where the control plane's programs come from."""

import shutil

import pytest

from tests.cluster.controlplane import binaries
from tests.cluster.controlplane.binaries import UnavailableError, control_plane_binaries


@pytest.fixture(autouse=True)
def nothing_built(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(binaries.ASSETS, raising=False)


def programs(folder):
    folder.mkdir(parents=True)
    for name in ("etcd", *binaries.SERVERS):
        (folder / name).touch(mode=0o755)
    return folder


def builds(monkeypatch, exit_code=0):
    """A `go` that makes what it is asked for; the calls that it got."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    calls = []

    def run(command, *, stdout, cwd, env, **rest):
        calls.append((cwd.name, env["GOFLAGS"], command))
        stdout.write("something was said")
        if exit_code:
            raise binaries.subprocess.CalledProcessError(exit_code, command)
        command[command.index("-o") + 1].touch(mode=0o755)

    monkeypatch.setattr(binaries.subprocess, "run", run)
    return calls


def test_a_given_folder_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv(binaries.ASSETS, str(programs(tmp_path / "assets")))
    assert control_plane_binaries() == tmp_path / "assets"


def test_a_given_folder_that_lacks_a_program_is_refused_by_its_name(tmp_path, monkeypatch):
    (programs(tmp_path / "assets") / "kube-scheduler").unlink()
    monkeypatch.setenv(binaries.ASSETS, str(tmp_path / "assets"))
    with pytest.raises(UnavailableError, match="assets has no kube-scheduler"):
        control_plane_binaries()


def test_without_go_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UnavailableError, match="install Go, or set .KUBEBUILDER_ASSETS"):
        control_plane_binaries()


def test_it_is_built_once_from_the_pinned_modules_alone(monkeypatch):
    calls = builds(monkeypatch)
    folder = control_plane_binaries()
    assert [name for name, *_ in calls] == ["etcd", "controlplane"]
    assert all("-mod=readonly" in flags for _, flags, _ in calls)
    assert {path.name for path in folder.iterdir()} == {"etcd", *binaries.SERVERS}
    assert control_plane_binaries() == folder
    assert len(calls) == 2


def test_the_servers_are_told_their_version(monkeypatch):
    calls = builds(monkeypatch)
    control_plane_binaries()
    flags = " ".join(map(str, calls[1][2]))
    assert "version.gitVersion=v1.36.3 " in flags and "version.gitMinor=36 " in flags


def test_a_build_that_fails_leaves_its_log_and_nothing_else(monkeypatch):
    builds(monkeypatch, exit_code=1)
    with pytest.raises(UnavailableError, match="something was said"):
        control_plane_binaries()
    assert {path.suffix for path in binaries.cache().iterdir()} == {".log", ".lock"}


def test_another_pin_is_another_build(tmp_path, monkeypatch):
    source = tmp_path / "source"
    shutil.copytree(binaries.SOURCE, source)
    before = binaries.source_digest()
    monkeypatch.setattr(binaries, "SOURCE", source)
    assert binaries.source_digest() == before
    (source / "etcd" / "go.sum").write_text("other")
    assert binaries.source_digest() != before


def test_modules_name_no_address_of_a_registry():
    for name in binaries.PINNED:
        assert "://" not in (binaries.SOURCE / name).read_text(), name
