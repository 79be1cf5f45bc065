"""What is promoted, and everything that is not."""

import json
import os
from pathlib import Path

import pytest
from zenml.client import Client

from pipelines.promotion.audit import read_audit
from pipelines.registry import production
from saga.errors import RefusedError
from saga.files import canonical_json
from saga.gates.decision import Reference
from tests.pipelines.promotion.made import FAILED, POLICY, in_production, manifest, register, stages


def test_the_first_promotion_needs_no_comparison_and_is_recorded(saga, model, monkeypatch):
    monkeypatch.setenv("SAGA_ACTOR", "jana@ci")
    made = register(model, seed=1)
    said = saga("promote", model, 1, "--to", "production", "--reason", "first one", "--json")
    assert said.code == 0, said.err
    assert stages(model) == {1: "production"}
    begun, done = read_audit(model)
    assert (begun.phase, done.phase) == ("begun", "done") and begun.move == done.move
    move = done.move
    assert (move.action, move.who, move.reason) == ("promote", "jana@ci", "first one")
    assert (move.from_version, move.to_version) == (None, 1)
    assert (move.from_digest, move.to_digest) == (None, made.encoder_digest)
    assert move.evidence["decision_digest"] == made.decision_digest
    assert move.evidence["production_digest"] is None
    assert len(move.git_commit) == 40 and move.git_dirty in (True, False)
    assert said.facts["record"] == done.to_dict()
    now = production(model)
    assert now is not None and (now.version, now.digest) == (1, made.encoder_digest)
    assert now.embedding_dim == 6


def test_the_next_one_replaces_it_and_says_what_must_be_done(saga, promoted):
    model = promoted.model
    made = register(model, 2, production=promoted.encoder_digest, width=8)
    said = saga("promote", model, 2, "--to", "production")
    assert said.code == 0, said.err
    assert stages(model) == {1: "archived", 2: "production"}
    last = read_audit(model)[-1].move
    assert (last.from_version, last.from_digest) == (1, promoted.encoder_digest)
    assert last.evidence["production_digest"] == promoted.encoder_digest
    assert "instead of version 1" in said.out and "Re-index the gallery" in said.out
    assert "from 6 to 8" in said.out and f"saga rollback {model}" in said.out
    assert production(model).digest == made.encoder_digest


def test_the_same_bytes_again_need_no_new_index(saga, promoted):
    register(promoted.model, 1, production=promoted.encoder_digest)
    said = saga("promote", promoted.model, 2, "--to", "production", "--json")
    assert said.code == 0 and said.facts["reindex_gallery"] is False


def test_what_is_there_already_is_said_and_not_recorded_again(saga, promoted):
    before = read_audit(promoted.model)
    said = saga("promote", promoted.model, 1, "--to", "production")
    assert said.code == 0 and "already" in said.out
    assert read_audit(promoted.model) == before


def test_staging_then_production_leaves_staging_empty(saga, promoted):
    model = promoted.model
    register(model, 2, production=promoted.encoder_digest)
    assert saga("promote", model, 2, "--to", "staging").code == 0
    assert stages(model) == {1: "production", 2: "staging"}
    assert saga("promote", model, "staging", "--to", "production").code == 0
    assert stages(model) == {1: "archived", 2: "production"}
    said = saga("history", model, "--json")
    assert said.code == 0 and said.facts["stages"] == {"production": 2}


def refused(saga, model: str, version: int, *reasons: str, stage: str = "production", policy=None):
    """Exit code 3 with these reasons, and nothing was changed."""
    before, records = stages(model), read_audit(model)
    more = ["--policy", policy] if policy else []
    said = saga("promote", model, version, "--to", stage, *more)
    assert said.code == 3, said.out
    for reason in reasons:
        assert reason in said.err
    assert said.err.count("\n- ") == len(reasons) or not reasons
    assert stages(model) == before and read_audit(model) == records
    return said


def test_gates_that_did_not_pass_are_refused(saga, model):
    register(model, 1, gate=FAILED)
    refused(saga, model, 1, "Recall@1 is 5.0 %, below the floor.")
    refused(saga, model, 1, "Recall@1 is 5.0 %, below the floor.", stage="staging")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encoder_digest": "e" * 64}, "evidence for other bytes"),
        ({"dataset_digest": "e" * 64}, "holds the manifest of"),
        ({"policy_digest": "e" * 64}, "it was edited"),
        ({"references": {"production": Reference("e" * 64, "f" * 64)}}, "nothing is in production"),
    ],
)
def test_evidence_about_something_else_is_refused(saga, model, change, reason):
    register(model, 1, **change)
    refused(saga, model, 1, reason)


def test_all_reasons_are_said_at_once(saga, model):
    register(
        model, 1, gate=FAILED, encoder_digest="e" * 64, dataset_digest="e" * 64, policy_digest="e"
    )
    refused(saga, model, 1, "below the floor", "other bytes", "manifest of", "was edited")


def test_a_policy_that_was_edited_since_is_refused_until_it_is_put_back(saga, model, tmp_path):
    policy = tmp_path / "mine.yaml"
    policy.write_text(POLICY.read_text())
    register(model, 1, policy=policy)
    policy.write_text(POLICY.read_text().replace("name: default", "name: edited"))
    refused(saga, model, 1, "it was edited, or is another one", policy=policy)
    policy.write_text("# another comment\n" + POLICY.read_text())
    assert saga("promote", model, 1, "--to", "production", "--policy", policy).code == 0


def test_evidence_against_an_outdated_production_is_refused(saga, promoted):
    model = promoted.model
    for seed in (2, 3):
        register(model, seed, production=promoted.encoder_digest)
    assert saga("promote", model, 2, "--to", "production").code == 0
    refused(saga, model, 3, "The evidence is outdated")
    refused(saga, model, 3, "version 2 (", stage="staging")


def test_a_candidate_that_was_compared_with_nothing_is_refused_once_something_is_there(
    saga, promoted
):
    register(promoted.model, 2)
    refused(saga, promoted.model, 2, "was not compared with any in production")


@pytest.mark.parametrize("name", ["encoder_saga", "manifest", "decision"])
def test_a_version_that_holds_less_is_refused(saga, model, name):
    register(model, 1, without=(name,))
    said = refused(saga, model, 1)
    assert f"It holds no {name}" in said.err


@pytest.mark.parametrize("name", ["encoder_saga", "manifest", "decision"])
@pytest.mark.parametrize("how", ["cut", "removed"])
def test_an_altered_artifact_is_refused(saga, model, name, how):
    made = register(model, 1)
    path = max(made.files(name), key=lambda p: p.stat().st_size)
    path.unlink() if how == "removed" else path.write_bytes(path.read_bytes()[:-20])
    refused(saga, model, 1)


def test_one_flipped_bit_of_the_weights_is_refused(saga, model):
    made = register(model, 1)
    path = max(made.files("encoder_saga"), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    refused(saga, model, 1, "weights.safetensors")


def test_another_manifest_in_its_place_is_refused(saga, model):
    made = register(model, 1)
    (folder,) = {path.parent for path in made.files("manifest")}
    manifest("another").save(folder)
    refused(saga, model, 1, "manifest (version")


def test_an_encoder_that_is_whole_but_not_the_one_that_was_registered_is_refused(saga, model):
    made, other = register(model, 1), register(model, 2)
    for theirs, ours in zip(other.files("encoder_saga"), made.files("encoder_saga"), strict=True):
        ours.write_bytes(theirs.read_bytes())
    refused(saga, model, 1, "is not the one that was registered")


def test_a_decision_that_was_forged_with_its_digest_is_refused(saga, model):
    from saga.files import digest_of

    made = register(model, 1, gate=FAILED)
    (path,) = made.files("decision")
    facts = json.loads(path.read_text())
    facts["status"] = facts["gates"][0]["status"] = "PASS"
    facts["gates"][0]["effect"] = "none"
    facts["digest"] = digest_of({k: v for k, v in facts.items() if k != "digest"})
    path.write_text(canonical_json(facts))
    said = refused(saga, model, 1)
    assert "decision (version" in said.err and "is not the one that was registered" in said.err


def test_what_is_in_production_does_not_go_to_staging(saga, promoted):
    refused(saga, promoted.model, 1, "outdated", "one stage only", stage="staging")


def test_a_stage_that_was_set_by_hand_is_found_and_put_right_by_a_rollback(saga, promoted):
    model = promoted.model
    register(model, 2, production=promoted.encoder_digest)
    Client().get_model_version(model, 2).set_stage("production", force=True)
    said = saga("history", model)
    assert said.code == 3 and "database says 2, the audit says 1" in said.out
    said = refused(saga, model, 2)
    assert f"saga rollback {model} --to 1" in said.err
    assert saga("rollback", model, "--to", 1).code == 0
    assert in_production(model) == [1] and saga("history", model).code == 0
    assert read_audit(model)[-1].move.from_version == 2


def test_a_model_that_was_put_into_production_before_there_was_an_audit_can_be_replaced(
    saga, model
):
    old = register(model, 1)
    register(model, 2, production=old.encoder_digest)
    Client().get_model_version(model, 1).set_stage("production")
    assert saga("promote", model, 2, "--to", "production").code == 0
    assert stages(model) == {1: "archived", 2: "production"}
    assert saga("rollback", model).code == 0
    assert in_production(model) == [1]


def test_duplicates_that_others_left_are_repaired(saga, promoted):
    from zenml.zen_stores.schemas import ModelVersionSchema

    model = promoted.model
    for seed in (2, 3):
        register(model, seed, production=promoted.encoder_digest)
    number = ModelVersionSchema.number
    from sqlmodel import Session, select

    with Session(Client().zen_store.engine) as session:  # what a race through ZenML leaves
        chosen = select(ModelVersionSchema).where(
            ModelVersionSchema.model_id == Client().get_model(model).id, number.in_([2, 3])
        )
        for version in session.exec(chosen):
            version.stage = "production"
            session.add(version)
        session.commit()
    assert sorted(in_production(model)) == [1, 2, 3]
    with pytest.raises(RefusedError, match="Versions 3 and 2 and 1"):
        production(model)
    assert saga("history", model).code == 3
    assert saga("rollback", model, "--to", 1).code == 0
    assert stages(model) == {1: "production", 2: "archived", 3: "archived"}
    assert saga("history", model).code == 0


@pytest.mark.parametrize("command", ["promote", "rollback", "history", "sign"])
def test_a_name_with_a_typo_creates_nothing(saga, promoted, command, tmp_path):
    def everything() -> tuple:
        names = sorted(m.name for m in Client().list_models(size=500).items)
        files = [p for p in Path(os.environ["SAGA_HOME"]).rglob("*") if "promotions" in p.parts]
        return names, sorted(files)

    before = everything()
    more = {"promote": [1, "--to", "production"], "sign": [1, "--key", tmp_path / "key"]}
    for typo in (promoted.model[:-1], promoted.model[:4], promoted.model + "s", "absent"):
        said = saga(command, typo, *more.get(command, []))
        assert said.code == 2 and f"There is no model {typo}" in said.err
        assert production(typo) is None
    assert everything() == before


def test_in_a_folder_without_a_database_none_is_made(saga, monkeypatch, tmp_path):
    monkeypatch.setenv("SAGA_HOME", str(tmp_path / "nowhere"))
    assert saga("promote", "birds", 1, "--to", "production").code == 2
    assert production("birds") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", ["7", "seven", "-1", "99999999999999999999999"])
def test_a_version_that_is_not_there_is_the_users_mistake(saga, promoted, version):
    assert saga("promote", promoted.model, "--to", "production", "--", version).code == 2
