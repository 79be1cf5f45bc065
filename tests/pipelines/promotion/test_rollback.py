"""Back to what the audit says was in production before."""

import pytest
from zenml.client import Client

from pipelines.promotion.audit import read_audit
from tests.pipelines.promotion.made import Version, in_production, register, stages


@pytest.fixture
def three(saga, promoted: Version) -> list[Version]:
    """Versions 1, 2 and 3, each promoted in its turn."""
    versions = [promoted]
    for seed in (2, 3):
        made = register(promoted.model, seed, production=versions[-1].encoder_digest)
        said = saga("promote", promoted.model, made.number, "--to", "production")
        assert said.code == 0, said.err
        versions.append(made)
    return versions


def test_two_rollbacks_go_back_two_versions_and_a_third_is_refused(saga, three):
    model = three[0].model
    said = saga("rollback", model, "--reason", "complaints", "--json")
    assert said.code == 0 and said.facts["reindex_gallery"] is True
    assert stages(model) == {1: "archived", 2: "production", 3: "archived"}
    move = read_audit(model)[-1].move
    assert (move.action, move.from_version, move.to_version) == ("rollback", 3, 2)
    assert (move.to_digest, move.reason) == (three[1].encoder_digest, "complaints")
    assert move.evidence == {"record": 4} and read_audit(model)[3].move.to_version == 2
    assert saga("rollback", model).code == 0 and in_production(model) == [1]
    said = saga("rollback", model)
    assert said.code == 3 and "no version was in production before" in said.err
    assert in_production(model) == [1]
    assert saga("history", model).code == 0


def test_to_a_version_that_was_there_and_forward_again(saga, three):
    model = three[0].model
    assert saga("rollback", model, "--to", 1).code == 0
    assert saga("rollback", model, "--to", 3).code == 0
    assert in_production(model) == [3]
    assert saga("rollback", model).code == 0
    assert in_production(model) == [1], "the one before, in the order they were live"


def test_a_promotion_after_a_rollback_can_be_taken_back_too(saga, three):
    model = three[0].model
    assert saga("rollback", model).code == 0
    register(model, 4, production=three[1].encoder_digest)
    assert saga("promote", model, 4, "--to", "production").code == 0
    assert saga("rollback", model).code == 0
    assert in_production(model) == [2]


def test_what_is_there_already_is_said(saga, three):
    model, before = three[0].model, read_audit(three[0].model)
    said = saga("rollback", model, "--to", 3)
    assert said.code == 0 and "already" in said.out
    assert read_audit(model) == before


@pytest.mark.parametrize("to", [None, 2, 77])
def test_nothing_that_was_never_live_is_gone_back_to(saga, promoted, to):
    register(promoted.model, 2, production=promoted.encoder_digest)
    said = saga("rollback", promoted.model, *(["--to", to] if to else []))
    assert said.code == 3 and in_production(promoted.model) == [1]
    assert ("was never in production" if to else "was in production before") in said.err
    assert len(read_audit(promoted.model)) == 2


def test_staging_is_no_life_in_production(saga, promoted):
    register(promoted.model, 2, production=promoted.encoder_digest)
    assert saga("promote", promoted.model, 2, "--to", "staging").code == 0
    assert saga("rollback", promoted.model, "--to", 2).code == 3


@pytest.mark.parametrize("how", ["altered", "removed", "another encoder"])
def test_bytes_that_changed_since_are_refused(saga, three, how):
    model, files = three[0].model, three[1].files("encoder_saga")
    if how == "another encoder":
        for theirs, ours in zip(three[0].files("encoder_saga"), files, strict=True):
            ours.write_bytes(theirs.read_bytes())
    else:
        biggest = max(files, key=lambda p: p.stat().st_size)
        biggest.unlink() if how == "removed" else biggest.write_bytes(b"x" * 100)
    said = saga("rollback", model)
    assert said.code == 3 and "Production was not changed" in said.err
    assert in_production(model) == [3] and len(read_audit(model)) == 6
    assert saga("rollback", model, "--to", 1).code == 0


def test_a_version_that_was_deleted_is_refused(saga, three):
    model = three[0].model
    Client().delete_model_version(Client().get_model_version(model, 2).id)
    said = saga("rollback", model)
    assert said.code == 3 and f"There is no {model}:2" in said.err
    assert in_production(model) == [3]
