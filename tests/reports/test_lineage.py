"""The page of a lineage and its graph."""

import re
from typing import Any

import pytest

from pipelines.lineage.outline import outline
from saga.reports.graph import HEIGHT, WIDTH, Box, drawn
from saga.reports.lineage import lineage_graph, lineage_page
from tests.reports.made import HOSTILE, Page, check_alone

DIGEST = "0123456789abcdef" * 4


def made_lineage(text: str = "plain") -> dict[str, Any]:
    """All sections; `text` wherever a lineage holds text from outside."""
    kinds = {
        "manifest": ("DatasetManifest", "load_dataset"),
        "pairs": ("PairSet", "mine_pairs"),
        "encoder": ("Retriever", "train"),
        "page": ("HTMLString", "evaluate"),
        "report": ("RetrievalReport", "evaluate"),
        "decision": ("GateDecision", text),
    }
    artifacts = {
        key: {"kind": kind, "step": step, "digest": DIGEST, "made_here": True}
        for key, (kind, step) in kinds.items()
    }
    inputs = {
        "load_dataset": ([], ["manifest"]),
        "mine_pairs": (["manifest"], ["pairs"]),
        "train": (["manifest", "pairs"], ["encoder"]),
        "evaluate": (["manifest", "encoder"], ["report", "page"]),
        text: (["report"], ["decision"]),
    }
    steps = [
        {
            "name": name,
            "status": "reused" if name == "train" else "completed",
            "reused_from": text if name == "train" else None,
            "seconds": 1.5,
            "inputs": {"x": taken},
            "outputs": given,
        }
        for name, (taken, given) in inputs.items()
    ]
    counts = {f"{s}_{w}": 4 for s in ("train", "validation", "test") for w in ("images", "classes")}
    use = {
        "run": text,
        "pipeline": text,
        "model": text,
        "version": 8,
        "steps": [text],
        "own": False,
    }
    move = {
        "number": 1,
        "at": "2026-01-02T03:04:05+00:00",
        "who": text,
        "action": "promote",
        "phase": "done",
        "stage": "production",
        "from_version": 3,
        "to_version": 7,
        "reason": text,
    }
    return {
        "model": text,
        "version": 7,
        "stage": "production",
        "registered": "2026-01-02T03:04:05Z",
        "encoder": {
            "artifact": "encoder",
            "digest": DIGEST,
            "embedding_dim": 96,
            "parameters": 1234,
        },
        "dataset": {"name": text, "layout": text, "digest": DIGEST, "images": 12} | counts,
        "validation": {"success": False, "expectations": 5, "failed": [text], "warnings": [text]},
        "pairs": {
            "pairs": 20,
            "same_share": 0.5,
            "hard_pairs": 3,
            "strategy": "random",
            "seed": 0,
            "digest": DIGEST,
        },
        "supervisor": {"name": text, "digest": DIGEST, "prompt": text, "prompt_digest": DIGEST},
        "code": {"git_commit": "f" * 40, "git_dirty": True, "digest": DIGEST},
        "run": {
            "id": text,
            "status": "completed",
            "command": text,
            "started": None,
            "seconds": 9.0,
        },
        "training": {
            "run": text,
            "step": "train",
            "reused": True,
            "started": None,
            "seconds": 5.0,
            "python": "3.11.7",
            "versions": {"torch": text},
            "hardware": {"processor": text, "cores": 2, "memory_bytes": 1 << 34, "gpus": []},
            "recorded_by": "run",
        },
        "settings": {"name": text, "training": {"steps": 6}},
        "settings_digest": DIGEST,
        "steps": steps,
        "artifacts": artifacts,
        "metrics": {"encoder": {"recall_at_1": 0.431}, text: {"recall_at_1": 0.3}},
        "gate": {
            "artifact": "decision",
            "status": "PASS",
            "reason": text,
            "policy": text,
            "policy_digest": DIGEST,
            "gates": [{"id": text, "status": "PASS", "reason": text}],
        },
        "promotions": [move],
        "consumers": [use, use | {"run": "own", "own": True}],
        "problems": [text],
    }


def page(text: str) -> str:
    facts = made_lineage(text)
    findings = [
        {"what": text, "state": "altered", "detail": text},
        {"what": "pairs", "state": "ok", "detail": "as recorded"},
    ]
    return lineage_page(facts, outline(facts, whole=True), findings)


def test_the_page_fetches_and_runs_nothing():
    shown = Page(page("plain"))
    check_alone(shown)
    assert shown.tags.count("svg") == 1


def test_hostile_text_is_shown_as_text_and_adds_no_tag():
    plain, hostile = Page(page("plain")), Page(page(HOSTILE))
    check_alone(hostile)
    assert hostile.tags == plain.tags
    assert [a[:2] for a in hostile.attributes] == [a[:2] for a in plain.attributes]
    assert "<script" not in page(HOSTILE) and "\u202e" not in page(HOSTILE)
    assert hostile.text.count("<script>alert(1)</script>") > 20


def test_the_page_says_what_the_facts_say():
    text = Page(page("plain")).text
    for piece in (
        "Lineage of plain:7",
        "in production",
        "✗ FAIL 1 of 2 checks found something altered.",
        "12: train 4 of 4 classes, validation 4 of 4 classes, test 4 of 4 classes",
        "failed, 5 expectations",
        "with changes that are not committed",
        "plain, 2 cores, 16 GiB of memory, no GPU",
        "reused from plain",
        "this encoder R@1 43.1",
        "PASS: plain",
        "promote to production, 3 → 7, by plain, done: plain",
        "training.steps 6",
        "pairs ok as recorded",
    ):
        assert piece in text, piece
    facts = made_lineage()
    clean = Page(lineage_page(facts, outline(facts), [])).text
    assert "nothing that could be checked was altered" in clean
    assert "checks found" not in Page(lineage_page(facts, outline(facts))).text


def test_the_graph_shows_sources_the_way_to_the_decision_and_uses():
    graph = lineage_graph(made_lineage())
    ids = {placed.box.id for placed in graph.boxes}
    assert ids == {
        "manifest", "pairs", "encoder", "report", "decision", "supervisor", "settings", "code",
        "stage", "run plain",
    }  # fmt: skip
    (encoder,) = [placed for placed in graph.boxes if placed.box.kind == "subject"]
    assert encoder.box.lines == (DIGEST[:12], "train, reused")
    left = {placed.box.id: placed.x for placed in graph.boxes}
    order = ["manifest", "pairs", "encoder", "report", "decision", "stage"]
    assert sorted(order, key=left.__getitem__) == order
    assert len(graph.paths) == 9  # what is implied, such as manifest → encoder, is left out


def test_a_lineage_without_gates_and_uses_has_a_graph_too():
    facts = made_lineage() | {"gate": None, "stage": None, "consumers": [], "promotions": []}
    ids = {placed.box.id for placed in lineage_graph(facts).boxes}
    assert "encoder" in ids and not {"report", "decision", "stage"} & ids


def test_many_uses_are_counted():
    facts = made_lineage()
    use = facts["consumers"][0]
    facts["consumers"] = [use | {"run": f"run {i}"} for i in range(40)]
    boxes = [placed.box for placed in lineage_graph(facts).boxes if placed.box.kind == "use"]
    assert len(boxes) == 8 and boxes[-1].title == "34 more runs"


def test_boxes_do_not_overlap_and_lines_go_to_the_right():
    boxes = [Box(str(i), f"box {i}") for i in range(12)]
    lines = [(str(i), str(j)) for i in range(12) for j in range(i + 1, 12) if (i * j) % 3 == 1]
    drawing = drawn(boxes, [*lines, ("0", "absent"), ("3", "3")])
    places = [(placed.x, placed.y) for placed in drawing.boxes]
    for i, (x, y) in enumerate(places):
        assert 0 <= x <= drawing.width - WIDTH and 0 <= y <= drawing.height - HEIGHT
        for a, b in places[i + 1 :]:
            assert abs(a - x) >= WIDTH or abs(b - y) >= HEIGHT
    assert drawing.paths
    for path in drawing.paths:
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", path)]
        assert numbers[0] < numbers[-2]


def test_a_circle_is_refused():
    with pytest.raises(ValueError, match="circle"):
        drawn([Box("a", "a"), Box("b", "b")], [("a", "b"), ("b", "a")])
