import json
from pathlib import Path

import pytest

from pipelines.configuration import load_run_config
from pipelines.preflight import check_dataset, check_inputs
from saga.data.configuration import DatasetConfig
from saga.errors import UserInputError
from tests.checkpoints import write_tiny_internvl, write_tiny_qwen3_vl

RUN = Path(__file__).with_name("run.yaml")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny checkpoints: 3 layers, one token per 16×16 pixels."""
    root = tmp_path_factory.mktemp("checkpoints")
    write_tiny_qwen3_vl(root / "qwen")
    write_tiny_internvl(root / "internvl")
    return {name: root / name for name in ("qwen", "internvl")}


def problems(*overrides: str) -> list[str]:
    run = load_run_config(RUN, overrides)
    with pytest.raises(UserInputError) as caught:
        check_inputs(run)
    return str(caught.value).splitlines()


def test_the_embedded_example_lacks_nothing():
    check_inputs(load_run_config(RUN))


def test_several_nodes_are_a_clusters():
    (told,) = problems("training.distributed.nodes=2")
    assert told.startswith("training.distributed.nodes is 2, but this is one machine. Allowed: 1")


def test_a_dataset_folder_that_is_not_there_is_told_with_where_it_was_looked_for(tmp_path):
    for root, what in (
        (tmp_path / "absent", "does not exist"),
        (Path(__file__), "is not a folder"),
        ("~nobody-here/data", "does not exist"),
        ("x" * 5000, "does not exist"),
    ):
        (line,) = problems("dataset.layout=folders", f"dataset.root={root}")
        assert line.startswith(f"dataset.root: {root} {what} (looked in {Path.cwd()}).")
        with pytest.raises(UserInputError, match=what):
            check_dataset(DatasetConfig(layout="folders", root=str(root)))
    check_dataset(DatasetConfig(layout="folders", root=str(tmp_path)))
    check_dataset(DatasetConfig())


@pytest.mark.parametrize("family", ["qwen", "internvl"])
def test_depth_and_token_size_are_read_from_the_supervisors_own_files(folders, family):
    model = f"supervisor.model={folders[family]}"
    check_inputs(load_run_config(RUN, [model]))
    assert problems(model, "supervisor.attention_layer=3", "supervisor.image_size=90") == [
        f"supervisor.attention_layer is 3, but {folders[family]} has 3 decoder layers. "
        "Allowed: 0 to 2.",
        f"supervisor.image_size is 90 pixels, but {folders[family]} needs a multiple of 16. "
        "Nearest: 96.",
    ]


def test_the_embedded_supervisor_is_looked_at_too():
    found = problems("supervisor.attention_layer=3", "supervisor.image_size=100")
    assert [line.split(" ")[0] for line in found] == [
        "supervisor.attention_layer",
        "supervisor.image_size",
    ]


@pytest.mark.parametrize(
    "config",
    [
        "not JSON",
        "[]",
        "{}",
        '{"text_config": {"num_hidden_layers": "many"}}',
        '{"text_config": 3, "vision_config": {"patch_size": []}}',
        '{"text_config": {"num_hidden_layers": 1e999}}',
        '{"vision_config": {"patch_size": 8}, "downsample_ratio": 0}',
        "[" * 100_000,
    ],
)
def test_a_strange_config_is_left_to_the_loader(tmp_path, config):
    for name in ("tokenizer.json", "preprocessor_config.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "config.json").write_text(config)
    check_inputs(load_run_config(RUN, [f"supervisor.model={tmp_path}"]))


def test_a_supervisor_folder_that_lacks_files_is_told_all_of_them(tmp_path):
    found = problems(f"supervisor.model={tmp_path}", "dataset.layout=folders", "dataset.root=no")
    assert [line.split(":")[0] for line in found] == ["dataset.root", *["supervisor.model"] * 3]
    for what in ("config.json", "tokenizer", "preprocessor_config.json"):
        assert any(f"holds no {what}" in line for line in found)
    (tmp_path / "config.json").write_text(json.dumps({}))
    (tmp_path / "vocab.json").write_text("{}")
    assert len(problems(f"supervisor.model={tmp_path}")) == 1


def test_a_hub_id_is_not_looked_for_on_the_disk():
    check_inputs(load_run_config(RUN, ["supervisor.model=Qwen/Qwen3-VL-8B-Instruct"]))
