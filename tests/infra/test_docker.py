"""infra/docker: the Dockerfile keeps its promises, and the image that comes of it works.

The image is built where SAGA_BUILD_IMAGE=1 says so: it takes minutes and 25 GB of disk.
"""

import json
import os
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.answer import INPUT
from pipelines.provenance import code_digest
from pipelines.stacks.configuration import load_stack
from pipelines.stacks.pool import SecurityConfig
from pipelines.stacks.pools import CODE
from tests.infra import docker_build
from tests.infra.docker_build import built, require_tools
from tests.infra.docker_file import DOCKERFILE, IGNORED, PROJECT, instructions, stages
from tests.infra.docker_hadolint import hadolint
from tests.infra.docker_inside import Mounted, mounted

TARGETS = ("cpu", "gpu")
SWITCH = "SAGA_BUILD_IMAGE"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.timeout(300)
def test_hadolint_finds_nothing():
    done = subprocess.run([hadolint(), DOCKERFILE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_every_stage_stands_on_the_chosen_base_or_on_another_stage():
    known = stages()
    assert {stage.base for stage in known.values()} - set(known) == {"${BASE_IMAGE}"}
    assert instructions()[0].word == "ARG" and instructions()[0].text.startswith("BASE_IMAGE=")


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_the_runtime_and_adds_no_files(target):
    stage = stages()[target]
    assert stage.base == "runtime"
    assert {found.word for found in stage.instructions} <= {"ENV"}


def test_the_runtime_is_not_root():
    runtime = stages()["runtime"]
    assert runtime.base == "${BASE_IMAGE}"
    assert runtime.all("USER") == ["1000:1000"]


def test_packages_depend_on_the_locks_alone_and_code_and_commit_come_after_them():
    runtime = [f"{found.word} {found.text}" for found in stages()["runtime"].instructions]
    (packages,) = (n for n, text in enumerate(runtime) if "--require-hashes" in text)
    copied = [(n, text) for n, text in enumerate(runtime) if text.startswith("COPY")]
    (locks, named), (code, made) = copied
    told = 'ENV SAGA_COMMIT="${COMMIT}"'
    assert named == "COPY .ci/uv.lock pyproject.toml requirements.lock /opt/lock/"
    assert made == "COPY --from=code /image/ /"
    assert locks < packages < code < runtime.index("ARG COMMIT=unknown") < runtime.index(told)


def test_no_address_no_health_check_and_nothing_downloaded_by_add():
    words = {found.word for found in instructions()}
    assert not words & {"HEALTHCHECK", "ADD"}
    assert "://" not in DOCKERFILE.read_text()


def test_all_packages_of_the_project_are_copied_and_let_through():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    found = project["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = {name.removesuffix("*") for name in found}
    assert packages == {text.split()[0] for text in stages()["code"].all("COPY")}
    let_through = IGNORED.read_text().splitlines()
    assert {f"!{name}" for name in packages} <= set(let_through)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of folders, four classes of three images."""
    root, noise = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for number in range(12):
        path = root / f"species {number // 3}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    root.chmod(0o755)
    return root


def require_building() -> None:
    """Skip where nobody asked for the image, or it cannot be built."""
    if os.environ.get(SWITCH) != "1":
        pytest.skip(f"the image is not built: {SWITCH}=1 asks for it (minutes, 25 GB of disk)")
    require_tools()


@pytest.fixture(scope="module")
def image(data: Path):
    """The target gpu, built if need be."""
    require_building()
    with mounted(built("gpu", COMMIT), data) as found:
        yield found


@pytest.fixture(scope="module")
def other(image: Mounted, data: Path):
    """The target cpu, with changes in its tree, built of the layers of the other."""
    with mounted(built("cpu", f"{COMMIT}-dirty"), data) as found:
        yield found


slow_build = [pytest.mark.slow, pytest.mark.timeout(1800)]


class TestImage:
    pytestmark = slow_build

    def test_it_says_who_it_is(self, image: Mounted):
        assert image.config["User"] == "1000:1000"
        assert image.config["WorkingDir"] == "/app"
        assert image.config["Labels"]["org.opencontainers.image.revision"] == COMMIT

    def test_a_run_records_the_commit_of_the_image(self, image: Mounted, other: Mounted):
        asking = "from pipelines.environment import git_state; print(git_state())"
        for found, dirty in ((image, False), (other, True)):
            expected = {"git_commit": f"{COMMIT} (image)", "git_dirty": dirty}
            assert found.must("python", "-c", asking) == f"{expected}\n"

    def test_both_targets_hold_the_same_and_one_alone_asks_for_the_driver(
        self, image: Mounted, other: Mounted
    ):
        assert image.layers[:-1] == other.layers[:-1]  # the last says the commit
        asked = {"NVIDIA_DRIVER_CAPABILITIES=compute,utility"}
        assert asked <= set(image.config["Env"]) and not asked & set(other.config["Env"])
        assert "Usage: saga" in other.must(*other.config["Entrypoint"], *other.config["Cmd"])

    def test_it_is_not_built_again_from_the_same_files_but_is_from_others(
        self, image: Mounted, monkeypatch
    ):
        builds = []
        monkeypatch.setattr(docker_build, "build", lambda *asked: builds.append(asked[0]))
        built("gpu", COMMIT)
        assert builds == []
        built("gpu", "another commit")
        assert builds == [f"{docker_build.IMAGE}:gpu"]

    def test_no_variable_of_the_build_is_left(self, image: Mounted):
        names = {text.partition("=")[0] for text in image.config["Env"]}
        assert not [n for n in names if n.startswith(("PIP_", "UV_")) or "KEY" in n or "TOKEN" in n]

    def test_its_entry_point_is_saga(self, image: Mounted):
        told = image.must(*image.config["Entrypoint"], *image.config["Cmd"])
        assert "Usage: saga" in told

    def test_there_are_no_build_tools_and_nothing_for_tests(self, image: Mounted):
        tools = ("gcc", "cc", "c++", "ld", "make", "git", "uv")
        there = [t for t in tools if image.run("sh", "-c", f"command -v {t}").returncode == 0]
        assert there == []
        code = "import importlib.util as u; print([n for n in {} if u.find_spec(n)])"
        names = ["pip", "pytest", "mypy", "playwright", "kubernetes_validate", "zenml"]
        assert image.must("python", "-c", code.format(names)) == "['zenml']\n"

    @pytest.mark.parametrize(
        "user", ["1000:1000", f"{SecurityConfig().run_as_user}:{SecurityConfig().group}"]
    )
    def test_a_step_can_go_to_its_folder_and_write_to_tmp_alone(self, image: Mounted, user):
        going = (
            "import os; os.makedirs('/app', exist_ok=True); os.chdir('/app'); open('/tmp/a', 'w')"
        )
        image.must("python", "-c", going, user=user)
        for path in ("/app/a", "/opt/saga/a", "/app/saga/a", "/etc/a"):
            done = image.run("python", "-c", f"open('{path}', 'w')", user=user)
            assert "Read-only file system" in done.stderr or "Permission denied" in done.stderr

    def test_the_folder_is_the_users_and_the_code_is_not(self, image: Mounted):
        owners = image.must("stat", "--format=%u %n", "/app", "/app/saga", "/app/saga/files.py")
        assert owners.splitlines() == ["1000 /app", "0 /app/saga", "0 /app/saga/files.py"]

    def test_a_run_submitted_with_the_same_code_is_accepted_and_another_is_not(
        self, image: Mounted
    ):
        begin = ("python", "-c", "from pipelines.stacks.pod import check_code; check_code()")
        image.must(*begin, environment={CODE: code_digest()})
        other = image.run(*begin, environment={CODE: "0" * 64})
        assert other.returncode == INPUT

    def test_what_a_stack_names_is_there(self, image: Mounted):
        stack = load_stack(PROJECT / "configs" / "stacks" / "kubernetes.yaml")
        asking = (
            "from zenml.integrations.kubernetes import orchestrators; "
            "from zenml.entrypoints import entrypoint; "
            "from pipelines.stacks.configuration import load_stack; from pathlib import Path; "
            "print(load_stack(Path('configs/stacks/kubernetes.yaml')).name)"
        )
        assert image.must("python", "-c", asking).splitlines()[-1] == stack.name

    def test_torch_brings_its_own_cuda_and_works_without_a_gpu(self, image: Mounted):
        code = "import torch; print(torch.version.cuda is not None, int(torch.ones(3).sum()))"
        assert image.must("python", "-c", code) == "True 3\n"

    def test_a_dataset_is_validated(self, image: Mounted):
        asked = ("validate", "/tmp/data", "--layout", "folders", "--output", "/tmp/out", "--json")
        answer = json.loads(image.must("saga", *asked))
        assert answer["dataset"]["images"] == 12
        assert answer["validation"]["success"] is True

    def test_a_small_run_goes_from_images_to_a_decision(self, image: Mounted):
        settings = ["--set=dataset.synthetic.images_per_class=4", "--set=training.steps=2"]
        folder = (
            "sh",
            "-c",
            'cd /tmp && exec saga run /app/configs/ci-small.yaml --json "$@"',
            "sh",
        )
        done = image.run(*folder, *settings, timeout=900)
        assert done.returncode in (0, 3), done.stderr
        summary = json.loads(done.stdout)
        assert set(summary["methods"]) >= {"pretrained", "dml", "saga"}
        assert summary["gate"]["status"]
