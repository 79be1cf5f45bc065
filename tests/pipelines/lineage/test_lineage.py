"""`saga lineage`: what it says, what it finds altered, what it says changed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from zenml.client import Client

from pipelines.environment import git_state, hardware
from pipelines.home import home
from pipelines.lineage.contents import check_contents
from pipelines.lineage.subject import find_subject
from pipelines.lineage.trace import trace
from pipelines.promotion.audit import Audit
from pipelines.promotion.records import Move
from pipelines.registry import existing_model
from saga.data.manifest import DatasetManifest
from tests.pipelines.lineage.conftest import cut, flipped, metadata, updated
from tests.pipelines.lineage.made import COMMAND, Made

pytestmark = pytest.mark.usefixtures("here")


def digest(made: Made, name: str) -> str:
    return str(made.artifact(name).run_metadata["digest"])


def altered(said: Any) -> dict[str, str]:
    """What `--verify` named, with why."""
    assert said.code == 3, (said.out, said.err)
    assert said.facts["status"] == "refused"
    return {f["what"]: f["detail"] for f in said.facts["verification"] if f["state"] == "altered"}


def test_every_fact_is_there(saga, first, third):
    facts = saga("lineage", first.name, "--json").facts
    assert (facts["model"], facts["version"], facts["stage"]) == (first.model, 1, None)
    assert facts["encoder"]["digest"] == digest(first, "encoder_saga")
    assert facts["encoder"]["provenance"]["arm"] == "saga"
    assert facts["dataset"]["digest"] == digest(first, "manifest")
    assert (facts["dataset"]["name"], facts["dataset"]["images"]) == ("made", 8)
    assert (facts["dataset"]["train_classes"], facts["dataset"]["test_images"]) == (2, 4)
    assert facts["validation"]["success"] is True and facts["validation"]["failed"] == []
    assert facts["pairs"]["digest"] == digest(first, "pairs")
    assert facts["supervisor"]["name"] == "embedded" and len(facts["supervisor"]["digest"]) == 64
    assert facts["settings"]["training"]["steps"] == 6
    assert facts["code"]["git_commit"] == git_state()["git_commit"]
    assert facts["code"]["git_dirty"] == git_state()["git_dirty"]
    assert facts["run"]["id"] == first.run_id and facts["run"]["command"] == COMMAND
    assert facts["run"]["seconds"] > 0 and facts["run"]["started"].endswith("Z")
    training = facts["training"]
    assert (training["run"], training["step"]) == (first.run_id, "train_saga")
    assert training["reused"] is False and training["recorded_by"] == "step"
    assert training["versions"]["torch"] and training["hardware"] == hardware()
    steps = {step["name"]: step for step in facts["steps"]}
    assert list(steps)[0] == "load_dataset" and list(steps)[-1] == "gate_candidate"
    assert all(step["status"] == "completed" and step["seconds"] >= 0 for step in steps.values())
    assert facts["gate"]["status"] == "PASS"
    assert [gate["id"] for gate in facts["gate"]["gates"]] == ["floor"]
    assert facts["gate"]["gates"][0]["reason"].startswith("Recall@1 is")
    assert 0 <= facts["metrics"]["encoder"]["recall_at_1"] <= 1
    assert list(facts["metrics"]["encoder"])[0] == "recall_at_1"
    assert facts["promotions"] == []


def test_consumers_are_found_across_runs(saga, first, second, third):
    def uses(made: Made) -> dict[str, list[str]]:
        facts = saga("lineage", made.name, "--json").facts
        return {use["run"]: use["steps"] for use in facts["consumers"]}

    assert uses(second) == {
        second.run_id: ["evaluate_saga"],
        third.run_id: ["evaluate_production"],
    }
    assert uses(first) == {first.run_id: ["evaluate_saga"], third.run_id: ["evaluate_saga"]}


def test_a_reused_training_is_told_with_the_run_it_came_from(saga, first, third):
    facts = saga("lineage", third.name, "--json").facts
    assert facts["encoder"]["digest"] == digest(first, "encoder_saga")
    steps = {step["name"]: step for step in facts["steps"]}
    assert steps["train_saga"]["status"] == "reused"
    assert steps["train_saga"]["reused_from"] == first.run_id
    assert steps["evaluate_saga"]["reused_from"] is None
    assert facts["run"]["id"] == third.run_id and facts["training"]["run"] == first.run_id
    assert facts["training"]["reused"] is True
    text = saga("lineage", third.name).out
    assert f"train_saga: reused from {first.run_id}" in text


def test_a_run_that_recorded_nothing_says_what_is_not_known(saga, second, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    facts = saga("lineage", second.name, "--json").facts
    assert facts["training"]["recorded_by"] == "step"
    step = Client().get_pipeline_run(second.run_id).steps["train_saga"]
    with updated(
        "run_metadata",
        "key",
        "hidden",
        "key = 'saga_step' AND publisher_step_id IS NULL"
        " AND id IN (SELECT run_metadata_id FROM run_metadata_resource WHERE resource_id = ?)",
        step.id.hex,
    ):
        facts = saga("lineage", second.name, "--json").facts
    assert facts["training"]["recorded_by"] is None and facts["training"]["versions"] == {}
    assert any("were not recorded" in problem for problem in facts["problems"])
    assert facts["code"]["git_commit"] == git_state()["git_commit"]


def test_the_tree_is_plain_and_whole_where_no_terminal_reads_it(saga, first):
    said = saga("lineage", first.name)
    assert said.code == 0 and "\x1b" not in said.out
    for piece in (
        f"{first.name}, registered",
        digest(first, "encoder_saga"),
        "images: 8: train 4 of 2 classes, test 4 of 2 classes",
        "outcome: passed, 1 expectations",
        "training.weights.grpo: 0.3",
        "packages: torch",
        "floor: PASS: Recall@1",
        "audit: never promoted",
    ):
        assert piece in said.out, piece


def test_without_a_version_it_is_production_then_the_newest(saga, first, third):
    assert saga("lineage", first.model, "--json").facts["version"] == 3
    version = Client().get_model_version(first.model, 2)
    version.set_stage("production")
    try:
        assert saga("lineage", first.model, "--json").facts["version"] == 2
        assert saga("lineage", f"{first.model}:production", "--json").facts["version"] == 2
    finally:
        version.set_stage("none", force=True)


@pytest.mark.parametrize("name", ["{}-typo", "{}:77", "{}:produktion", "{}:", ":1", "{}:staging"])
def test_a_name_that_is_not_registered_creates_nothing(saga, first, name, tmp_path):
    name = name.format(first.model)
    before = {m.name for m in Client().list_models(size=500).items}
    page = tmp_path / "page.html"
    for options in ([], ["--verify"], ["--html", page]):
        said = saga("lineage", name, *options)
        assert said.code == 2 and said.out == "" and len(said.err) > 20
    assert {m.name for m in Client().list_models(size=500).items} == before
    assert not page.exists()


def test_where_nothing_ever_ran_nothing_is_made(saga, monkeypatch, tmp_path):
    monkeypatch.setenv("SAGA_HOME", str(tmp_path / "home"))
    said = saga("lineage", "birds")
    assert said.code == 2 and "There is no model birds" in said.err
    assert not (tmp_path / "home").exists() and home() == tmp_path / "home"


# Verification


def test_what_was_not_altered_is_verified(saga, first, second, third):
    silent = {f"record of {second.run_id}"}  # whose encoder the third run was compared with
    for made, unchecked in ((first, set()), (third, silent)):
        said = saga("lineage", made.name, "--verify", "--json")
        states = {f["what"]: f["state"] for f in said.facts["verification"]}
        assert said.code == 0, said.facts["verification"]
        assert {what for what, state in states.items() if state != "ok"} == unchecked
        assert {"images", "supervisor", f"audit of {made.model}"} <= states.keys()
        assert any(what.endswith("→ manifest, pair set") for what in states)
    text = saga("lineage", first.name, "--verify", "--skip-images").out
    assert " as recorded, 0 altered" in text.splitlines()[-1]


def test_one_bit_of_any_file_is_found_and_the_file_is_named(first):
    traced = trace(find_subject(first.name))
    seen = set()
    for kept in traced.kept.values():
        for path in sorted(p for p in Path(kept.response.uri).rglob("*") if p.is_file()):
            with flipped(path, at=len(path.read_bytes()) // 2):
                _, findings = check_contents(kept)
            wrong = {f.what for f in findings if f.state == "altered"}
            name = path.relative_to(kept.response.uri).as_posix()
            assert f"{kept.key}/{name}" in wrong
            seen.add(kept.response.name)
    assert seen == {
        "manifest", "validation", "pairs", "encoder_dml", "history_dml", "encoder_saga",
        "history_saga", "report_dml", "report_saga", "decision",
    }  # fmt: skip


def test_missing_and_added_files_are_named(saga, first):
    card = first.file("encoder_saga", "content/README.md")
    added = card.with_name("added.bin")
    text = card.read_text()
    added.write_bytes(b"x")
    card.unlink()
    try:
        wrong = altered(saga("lineage", first.name, "--verify", "--json"))
    finally:
        card.write_text(text)
        added.unlink()
    key = f"encoder_saga:{first.artifact('encoder_saga').version}"
    assert wrong[f"{key}/content/README.md"] == "the file is missing."
    assert wrong[f"{key}/content/added.bin"] == "the file was added."


@pytest.mark.parametrize(
    ("name", "below"),
    [
        ("manifest", "content/manifest.parquet"),
        ("validation", "content/validation.json"),
        ("pairs", "content/pairs.parquet"),
        ("encoder_saga", "content/weights.safetensors"),
        ("history_saga", "content/steps.parquet"),
        ("report_saga", "content/report.json"),
        ("decision", "content/decision.json"),
    ],
)
def test_without_a_record_the_artifacts_own_digest_still_finds_it(saga, second, name, below):
    with cut(second.file(name, below)):
        wrong = altered(saga("lineage", second.name, "--verify", "--json"))
    assert f"{name}:{second.artifact(name).version}" in wrong


def test_metadata_that_says_something_else_is_named(saga, first):
    report, encoder = first.artifact("report_saga"), first.artifact("encoder_saga")
    with metadata(report, "recall_at_1", "0.99"):
        wrong = altered(saga("lineage", first.name, "--verify", "--json"))
        assert "recall_at_1 says 0.99" in wrong[f"report_saga:{report.version}"]
    with metadata(encoder, "from_git_commit", json.dumps("f" * 40)):
        wrong = altered(saga("lineage", first.name, "--verify", "--json"))
        assert "from_git_commit" in wrong[f"encoder_saga:{encoder.version}"]
    with metadata(encoder, "digest", json.dumps("0" * 64)):
        wrong = altered(saga("lineage", first.name, "--verify", "--json"))
        assert "000000000000" in wrong[f"encoder_saga:{encoder.version}"]
    with updated("artifact_version", "content_hash", "0" * 64, "id = ?", encoder.id.hex):
        wrong = altered(saga("lineage", first.name, "--verify", "--json"))
        assert "content hash" in wrong[f"encoder_saga:{encoder.version}"]


def test_a_record_that_was_edited_is_named(saga, first):
    run = Client().get_pipeline_run(first.run_id)
    facts = dict(run.run_metadata["saga_run"])
    facts["environment"] = facts["environment"] | {"git_dirty": False, "git_commit": "f" * 40}
    with metadata(run, "saga_run", json.dumps(facts)):
        wrong = altered(saga("lineage", first.name, "--verify", "--json"))
    assert "were edited" in wrong[f"record of {first.run_id}"]
    report = first.artifact("report_saga")
    files = dict(report.run_metadata["saga_files"])
    files.pop("content/per_class.parquet")
    with metadata(report, "saga_files", json.dumps(files)):
        wrong = altered(saga("lineage", first.name, "--verify", "--json"))
    assert f"files of report_saga:{report.version}" in wrong[f"record of {first.run_id}"]


def test_an_artifact_replaced_by_a_whole_one_breaks_the_links(saga, second):
    """Files, metadata and hash agree with each other, and no longer with what came from them."""
    artifact = second.artifact("manifest")
    folder = second.file("manifest", "content")
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    manifest = DatasetManifest.load(folder)
    frame = manifest.frame.assign(width=64)
    other = replace(manifest, frame=frame)
    other.save(folder)
    key = f"manifest:{artifact.version}"
    try:
        with (
            metadata(artifact, "digest", json.dumps(other.digest)),
            updated("artifact_version", "content_hash", other.digest, "id = ?", artifact.id.hex),
        ):
            wrong = altered(saga("lineage", second.name, "--verify", "--json"))
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)
    assert key not in wrong
    for name in ("pairs", "encoder_saga", "encoder_dml", "report_saga", "decision"):
        link = f"{name}:{second.artifact(name).version} → manifest"
        assert other.digest[:12] in wrong[link] and key in wrong[link]


def test_the_database_cannot_choose_what_reads_an_artifact(saga, first):
    artifact = first.artifact("pairs")
    source = {"module": "antigravity", "attribute": "Evil", "type": "user"}
    for column, key in (("materializer", "antigravity.Evil"), ("data_type", "")):
        where = ("id = ?", artifact.id.hex)
        with updated("artifact_version", column, json.dumps(source), *where):
            said = saga("lineage", first.name, "--verify", "--json")
        if column == "materializer":
            wrong = altered(said)
            assert key in wrong[f"pairs:{artifact.version}"]
    import sys

    assert "antigravity" not in sys.modules


def test_a_run_folder_an_image_and_a_supervisor_that_changed_are_named(
    saga, first, workplace, monkeypatch
):
    summary = workplace / "runs" / first.run_id / "summary.json"
    with flipped(summary):
        wrong = altered(saga("lineage", first.name, "--verify", "--json"))
        assert list(wrong) == [f"runs/{first.run_id}/summary.json"]
    with flipped(workplace / "images" / "3.png"):
        wrong = altered(saga("lineage", first.name, "--verify", "--json"))
        assert list(wrong) == ["image 3.png"]
        assert saga("lineage", first.name, "--verify", "--skip-images").code == 0
    monkeypatch.setattr("saga.supervisors.source.supervisor_digest", lambda _: "9" * 64)
    said = saga("lineage", first.name, "--verify", "--json")
    found = {f["what"]: f for f in said.facts["verification"]}["supervisor"]
    assert said.code == 0 and found["state"] == "unchecked" and "9" * 12 in found["detail"]


def test_promotions_are_shown_and_an_edited_audit_is_found(saga, first, third):
    model = existing_model(first.model)
    version = Client().get_model_version(model.id, 1)
    version.set_stage("staging")
    audit = Audit(model)
    move = Move(
        "anna@lab", "promote", first.model, "staging", None, 1, None,
        digest(first, "encoder_saga"), {}, "f" * 40, False, "the [bold]night's[/bold] \x1b[31mrun",
    )  # fmt: skip
    audit.append(move, "begun")
    audit.append(move, "done")
    path = Path(audit.shelf.path("00000002.json"))
    try:
        facts = saga("lineage", first.name, "--json").facts
        assert facts["stage"] == "staging"
        assert [(m["phase"], m["who"]) for m in facts["promotions"]] == [
            ("begun", "anna@lab"),
            ("done", "anna@lab"),
        ]
        text = saga("lineage", first.name).out
        assert "[bold]night's[/bold]" in text and "\x1b" not in text
        assert saga("lineage", first.name, "--verify").code == 0
        assert saga("lineage", third.name, "--json").facts["promotions"] == []
        path.write_text(path.read_text().replace("anna", "otto"))
        wrong = altered(saga("lineage", first.name, "--verify", "--json"))
        assert "00000002.json" in wrong[f"audit of {first.model}"]
        assert "was altered" in saga("lineage", first.name).out
    finally:
        shutil.rmtree(audit.shelf.folder)
        version.set_stage("none", force=True)


def test_the_page_stands_alone_and_shows_the_verification(saga, first, tmp_path):
    page = tmp_path / "deep" / "lineage.html"
    said = saga("lineage", first.name, "--html", page, "--verify", "--json")
    assert said.code == 0 and said.facts["page"] == str(page)
    html = page.read_text()
    assert "<svg" in html and "http" not in html.replace("http-equiv", "") and "<script" not in html
    assert "nothing that could be checked was altered" in html
    assert digest(first, "encoder_saga") in html and "training.rollout.group_size" in html
    with flipped(first.file("pairs", "content/pairs.parquet")):
        said = saga("lineage", first.name, "--html", page, "--verify")
    assert said.code == 3 and "found something altered" in page.read_text()


def test_a_place_for_the_page_that_cannot_be_is_refused_before_the_work(saga, first, tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path, tmp_path / "file" / "page.html"):
        said = saga("lineage", first.name, "--html", place)
        assert said.code == 2 and "--html" in said.err


# Differences


def test_a_diff_names_exactly_the_setting_that_changed(saga, first, second, third):
    facts = saga("lineage", first.model, "--diff", 1, 2, "--json").facts
    assert facts["settings"] == [{"name": "mining.pairs", "from": 20, "to": 3, "also": []}]
    assert {row["name"] for row in facts["pairs"]} >= {"pairs", "digest"}
    same = ("dataset", "validation", "supervisor", "code", "packages", "hardware", "policy")
    assert all(facts[name] == [] for name in same)
    assert facts["same_encoder"] is False and facts["same_data"] is True
    assert all(row["delta"] == 0 for row in facts["metrics"])

    facts = saga("lineage", first.model, "--diff", 1, 3, "--json").facts
    assert [row["name"] for row in facts["settings"]] == ["evaluation.nmi_seed"]
    assert facts["same_encoder"] is True and facts["pairs"] == []
    (recall,) = [row for row in facts["metrics"] if row["name"] == "recall_at_1"]
    assert recall["delta"] == pytest.approx(recall["to"] - recall["from"]) and recall["delta"] != 0


def test_a_diff_reads_as_text_and_of_a_version_with_itself_is_empty(saga, first, second):
    text = saga("lineage", first.model, "--diff", 1, 2).out
    assert f"{first.model}: version 1 → version 2" in text
    assert "\n  mining.pairs: 20 → 3\n" in text and "R@1:" in text
    text = saga("lineage", first.model, "--diff", 1, 1).out
    assert "The encoders are the same, bit by bit." in text
    assert "settings, code, packages and hardware are the same" in text


def test_a_diff_takes_a_model_and_no_other_option(saga, first, tmp_path):
    for arguments in (
        (first.name, "--diff", 1, 2),
        (first.model, "--diff", 1, 99),
        (first.model, "--diff", 1, 2, "--verify"),
        (first.model, "--diff", 1, 2, "--html", tmp_path / "x.html"),
    ):
        assert saga("lineage", *arguments).code == 2
    assert list(tmp_path.iterdir()) == []
