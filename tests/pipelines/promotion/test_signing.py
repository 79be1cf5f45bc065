"""Signatures that a policy requires."""

import subprocess
from pathlib import Path

import pytest

from pipelines.promotion.audit import read_audit
from saga.files import sha256_file
from tests.pipelines.promotion.made import POLICY, in_production, register

pytest.importorskip("model_signing", reason="the extra `signing` is not installed")


def make_key(folder: Path, name: str) -> Path:
    """A private key, and its public one beside it, as docs/promotion.md says."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    make = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private]
    subprocess.run(make, check=True, capture_output=True)
    show = ["openssl", "ec", "-in", private, "-pubout", "-out", public]
    subprocess.run(show, check=True, capture_output=True)
    return private


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path, "ours")


@pytest.fixture
def policy(tmp_path: Path, key: Path) -> Path:
    """The default policy, and that a signature of ours is required."""
    path = tmp_path / "signed.yaml"
    path.write_text(POLICY.read_text() + "\nsignature:\n  public_key: ours.pub.pem\n")
    return path


@pytest.fixture
def version(model, policy):
    return register(model, 1, policy=policy)


def promote(saga, model: str, policy: Path):
    return saga("promote", model, 1, "--to", "production", "--policy", policy)


def test_unsigned_is_refused_and_signed_is_promoted(saga, model, version, policy, key):
    said = promote(saga, model, policy)
    assert said.code == 3 and "has none" in said.err and f"saga sign {model}" in said.err
    assert in_production(model) == []
    said = saga("sign", model, 1, "--key", key, "--json")
    assert said.code == 0 and said.facts["encoder_digest"] == version.encoder_digest
    assert promote(saga, model, policy).code == 0
    evidence = read_audit(model)[-1].move.evidence
    assert evidence["key_digest"] == sha256_file(policy.parent / "ours.pub.pem")


def test_another_key_is_refused(saga, model, version, policy, tmp_path):
    assert saga("sign", model, 1, "--key", make_key(tmp_path, "theirs")).code == 0
    said = promote(saga, model, policy)
    assert said.code == 3 and "is not one by" in said.err


@pytest.mark.parametrize("how", ["of another encoder", "cut", "empty", "nonsense", "no text"])
def test_another_signature_is_refused(saga, model, version, policy, key, how):
    path = Path(saga("sign", model, 1, "--key", key, "--json").facts["signature"])
    if how == "of another encoder":
        register(model, 2, policy=policy)
        other = Path(saga("sign", model, 2, "--key", key, "--json").facts["signature"])
        assert other != path
        path.write_bytes(other.read_bytes())
    else:
        whole = path.read_bytes()
        contents = {"cut": whole[:200], "empty": b"", "nonsense": b"{}", "no text": b"\xff\xfe"}
        path.write_bytes(contents[how])
    said = promote(saga, model, policy)
    assert said.code == 3 and "is not one by" in said.err
    assert in_production(model) == []


@pytest.mark.parametrize("name", ["README.md", "provenance.json", "weights.safetensors"])
def test_no_file_of_the_encoder_can_be_changed_after_signing(
    saga, model, version, policy, key, name
):
    """Not even with digests that fit: the signature is over digests.json, too."""
    from saga.encoders.retriever import DIGESTS
    from saga.files import file_digests, write_json

    assert saga("sign", model, 1, "--key", key).code == 0
    (path,) = [p for p in version.files("encoder_saga") if p.name == name]
    path.write_bytes(path.read_bytes().replace(b"e", b"E", 1) + b"\n")
    write_json(path.parent / DIGESTS, file_digests(path.parent, exclude=(DIGESTS,)))
    assert promote(saga, model, policy).code == 3


@pytest.mark.parametrize("content", [None, b"", b"no key", "private", "other curve"])
def test_a_key_that_cannot_sign_is_the_users_mistake(saga, model, version, tmp_path, content):
    path = tmp_path / "key.pem"
    if content == "private":
        make_key(tmp_path, "ours")
        path = tmp_path / "ours.pub.pem"
    elif content == "other curve":
        make = ["openssl", "ecparam", "-name", "secp256k1", "-genkey", "-noout", "-out", path]
        subprocess.run(make, check=True, capture_output=True)
    elif content is not None:
        path.write_bytes(content)
    said = saga("sign", model, 1, "--key", path)
    assert said.code == 2 and "cannot sign" in said.err and "openssl ecparam" in said.err


def test_a_policy_whose_public_key_is_missing_promotes_nothing(saga, model, version, policy, key):
    assert saga("sign", model, 1, "--key", key).code == 0
    (policy.parent / "ours.pub.pem").unlink()
    said = promote(saga, model, policy)
    assert said.code == 3 and "is no public key" in said.err


def test_an_altered_encoder_is_not_signed(saga, model, version, key):
    biggest = max(version.files("encoder_saga"), key=lambda p: p.stat().st_size)
    biggest.write_bytes(biggest.read_bytes()[:-10])
    assert saga("sign", model, 1, "--key", key).code == 2
