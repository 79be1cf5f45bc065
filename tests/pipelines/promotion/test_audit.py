"""Every way to alter the audit is found, and named."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.promotion.audit import Audit, file_name, read_audit
from pipelines.promotion.records import FIRST, Move, Record
from pipelines.promotion.shelf import Shelf
from pipelines.registry import existing_model
from saga.errors import RefusedError
from saga.files import digest_of
from tests.pipelines.promotion.made import Version, in_production, register, stages

MOVE = Move("a@b", "promote", "birds", "production", None, 1, None, "e", {}, "c" * 40, False, "")


@pytest.fixture
def written(saga, promoted: Version) -> tuple[str, Path]:
    """A model with four records, and the folder they lie in."""
    register(promoted.model, 2, production=promoted.encoder_digest)
    assert saga("promote", promoted.model, 2, "--to", "production").code == 0
    folder = Path(Audit(existing_model(promoted.model)).shelf.folder)
    assert [p.name for p in sorted(folder.iterdir())] == [file_name(i) for i in (1, 2, 3, 4)]
    return promoted.model, folder


def rewritten(path: Path, anew: bool = False, **changes: object) -> None:
    """Changes a record in place; `anew` with the digest that fits."""
    facts = json.loads(path.read_text()) | changes
    if anew:
        facts["digest"] = digest_of({k: v for k, v in facts.items() if k != "digest"})
    path.write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")


def chain_anew(folder: Path) -> None:
    """Makes every digest fit, as one does who knows how."""
    previous = FIRST
    for path in sorted(folder.iterdir()):
        rewritten(path, anew=True, previous=previous)
        previous = json.loads(path.read_text())["digest"]


def swap(a: Path, b: Path) -> None:
    content = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(content)


TAMPERING = {
    "a word": (lambda f: rewritten(f / file_name(2), who="nobody"), "00000002"),
    "a space": (lambda f: (f / file_name(3)).write_bytes((f / file_name(3)).read_bytes() + b" ")),
    "a key": (lambda f: rewritten(f / file_name(2), extra=1), "00000002"),
    "not JSON": (lambda f: (f / file_name(1)).write_bytes(b"\xff\x00"), "00000001"),
    "deep JSON": (lambda f: (f / file_name(1)).write_text("[" * 100_000), "00000001"),
    "one with its digest": (
        lambda f: rewritten(f / file_name(2), anew=True, who="nobody"),
        "00000003.json does not follow",
    ),
    "the last with its digest": (
        lambda f: rewritten(f / file_name(4), anew=True, who="nobody"),
        "record 4, or one before it",
    ),
    "one, and the chain made anew": (
        lambda f: (rewritten(f / file_name(1), who="nobody"), chain_anew(f)),
        "record 2, or one before it",
    ),
    "the first removed": (lambda f: (f / file_name(1)).unlink(), "00000001.json is missing"),
    "one removed": (lambda f: (f / file_name(2)).unlink(), "00000002.json is missing"),
    "the end cut off": (lambda f: (f / file_name(4)).unlink(), "knows of record 4"),
    "half of it cut off": (
        lambda f: [(f / file_name(i)).unlink() for i in (3, 4)],
        "it ends with record 2, and the database knows of record 4",
    ),
    "all removed": (lambda f: [p.unlink() for p in f.iterdir()], "it ends with record 0"),
    "two exchanged": (
        lambda f: swap(f / file_name(2), f / file_name(4)),
        "holds the record number",
    ),
    "one twice": (
        lambda f: (f / file_name(5)).write_bytes((f / file_name(4)).read_bytes()),
        "00000005.json holds the record number 4",
    ),
    "a file added": (lambda f: (f / "x.json").write_text("{}"), "x.json: it is not a record"),
}
TAMPERING["a space"] = (TAMPERING["a space"], "00000003")


@pytest.mark.parametrize("how", TAMPERING)
def test_tampering_is_found_and_named_and_nothing_is_promoted_on_it(saga, written, how):
    model, folder = written
    alter, named = TAMPERING[how]
    alter(folder)
    with pytest.raises(RefusedError, match="audit of .* was altered") as caught:
        read_audit(model)
    assert named in str(caught.value)
    said = saga("history", model)
    assert said.code == 3 and named in said.out and "not to be trusted" in said.out
    before = stages(model)
    assert saga("promote", model, 1, "--to", "production").code == 3
    assert saga("rollback", model).code == 3
    assert stages(model) == before


def test_an_unaltered_audit_is_read_as_it_was_written(written, saga):
    model, folder = written
    records = read_audit(model)
    assert [r.number for r in records] == [1, 2, 3, 4]
    assert [r.previous for r in records] == [FIRST, *(r.digest for r in records[:-1])]
    assert [(folder / file_name(r.number)).read_text() for r in records] == [
        r.text() for r in records
    ]
    said = saga("history", model, "--json")
    assert said.code == 0 and said.facts["problems"] == []
    assert said.facts["records"] == [r.to_dict() for r in records]


def test_history_shows_moves_and_reasons_and_obeys_no_character_in_them(saga, model, monkeypatch):
    monkeypatch.setenv("SAGA_ACTOR", "evil\x1b[31m@host")
    register(model, 1)
    assert saga("history", model).out.startswith(f"{model}: nothing was promoted yet.")
    said = saga("promote", model, 1, "--to", "production", "--reason", "wide\x07 open")
    assert said.code == 0
    out = saga("history", model).out
    assert "\x1b" not in out and "\x07" not in out
    assert "evil?[31m@host" in out and "record 2: wide? open" in out
    assert "In production: version 1." in out


def test_what_a_killed_process_left_half_written_is_no_record_and_is_swept(saga, written):
    model, folder = written
    (folder / ".00000005.json.x7").write_text('{"number": 5, "ph')
    assert len(read_audit(model)) == 4
    assert saga("history", model).code == 0
    assert not (folder / ".00000005.json.x7").exists()
    assert in_production(model) == [2]


class Bucket:
    """An object store: a write is one request, there are no folders."""

    path, config = "s3://bucket", SimpleNamespace(is_local=False)

    def __init__(self, root: Path):
        self.root = root

    def _at(self, path: str) -> Path:
        assert path.startswith(self.path)
        return self.root / path.removeprefix(self.path).strip("/")

    def exists(self, path: str) -> bool:
        return self._at(path).exists()

    def listdir(self, path: str) -> list[str]:
        return [p.name for p in self._at(path).iterdir()]

    def makedirs(self, path: str) -> None:
        self._at(path).mkdir(parents=True, exist_ok=True)

    def open(self, path: str, mode: str):
        return open(self._at(path), mode)


def test_the_audit_lies_in_an_object_store_just_as_well(saga, promoted, tmp_path):
    found = existing_model(promoted.model)
    shelf = Shelf("elsewhere", found.id, Bucket(tmp_path))  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match="it ends with record 0"):
        Audit(found, shelf).records()
    for record in Audit(found).records():
        shelf.write(file_name(record.number), record.text())
    again = Audit(found, shelf)
    assert again.records() == Audit(found).records()
    added = again.append(MOVE, "begun")
    assert Audit(found, shelf).records()[-1] == added and added.number == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("phase", "finished"),
        ("action", "delete"),
        ("number", None),
        ("evidence", None),
        ("to_version", "2"),
    ],
)
def test_each_field_counts_for_the_digest_and_strange_values_are_no_record(field, value):
    record = Record(1, FIRST, "2026-01-01T00:00:00+00:00", "done", MOVE)
    assert Record.from_text(record.text()) == record
    facts = {k: v for k, v in record.to_dict().items() if k != "digest"} | {field: value}
    assert digest_of(facts) != record.digest
    text = json.dumps(facts | {"digest": record.digest}, indent=2, sort_keys=True) + "\n"
    with pytest.raises(ValueError, match="record|content"):
        Record.from_text(text)
