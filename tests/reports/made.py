"""A small dataset of plain images, reports with planted neighbours, and a run's summary."""

import io
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from saga.data.configuration import ImageLimits
from saga.data.manifest import DatasetManifest, build_manifest
from saga.files import sha256_file
from saga.gates.decision import GateDecision
from saga.gates.gates import decide
from saga.gates.policy import GatePolicy
from saga.retrieval.report import RetrievalReport
from saga.training.history import TrainingHistory
from tests.retrieval.made import made_report

LIMITS = ImageLimits()
CLASS_COLORS = [(200, 40, 200), (40, 90, 200), (220, 160, 30), (90, 90, 90)]
"""Of the images of each class; none is a border's."""
HOSTILE = (
    '<script>alert(1)</script>"><img src=x onerror=alert(1)>\n\u202e{{ 7 * 7 }}$x^{_' + "y" * 300
)


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def made_manifest(
    root: Path, names: list[str], images: int = 4, split: str = "test"
) -> DatasetManifest:
    """Images of one colour a class; ids are "<class>-<number>"."""
    rows = []
    for class_id, name in enumerate(names):
        for number in range(images):
            path = root / f"{class_id}-{number}.png"
            size = (40, 20) if number % 2 else (20, 40)
            Image.new("RGB", size, CLASS_COLORS[class_id]).save(path)
            rows.append(
                {
                    "image_id": path.stem,
                    "path": path.name,
                    "sha256": sha256_file(path),
                    "class_id": class_id,
                    "class_name": name,
                    "split": split,
                    "width": size[0],
                    "height": size[1],
                    "mode": "RGB",
                }
            )
    return build_manifest(rows, name="made", layout="folders", root=root)


def planted(manifest: DatasetManifest, neighbours: dict[str, list[str]]) -> RetrievalReport:
    """A report of these queries with these nearest images, cosines 0.9, 0.8, …"""
    images = manifest.frame.set_index("image_id")
    rows = []
    for query, found in neighbours.items():
        label = images.at[query, "class_id"]
        right = [images.at[image_id, "class_id"] == label for image_id in found]
        rows.append(
            {
                "image_id": query,
                "class_id": label,
                "class_name": images.at[query, "class_name"],
                **{f"hit_at_{K}": any(right[:K]) for K in (1, 2, 4, 8)},
                "first_hit": right.index(True) + 1 if any(right) else pd.NA,
                "ap_at_r": 0.5,
                "neighbours": found,
                "similarities": [0.9 - 0.1 * i for i in range(len(found))],
            }
        )
    table = pd.DataFrame(rows)
    metrics = {f"recall_at_{K}": float(table[f"hit_at_{K}"].mean()) for K in (1, 2, 4, 8)}
    return RetrievalReport(
        "made", metrics | {"map_at_r": 0.5, "nmi": 0.6}, table, "encoder", manifest.digest
    )


def made_history(arm: str, columns: dict[str, list[float | None]]) -> TrainingHistory:
    steps = len(next(iter(columns.values())))
    frame = pd.DataFrame({"step": range(1, steps + 1)} | columns)
    return TrainingHistory(frame, {"arm": arm, "steps": steps})


def made_decision(threshold: float = 0.1) -> GateDecision:
    gates: list[dict[str, Any]] = [
        {
            "id": "floor",
            "test": "value_threshold",
            "metric": "recall_at_1",
            "at_least": threshold,
            "on": "bound",
        },
        {
            "id": "not_worse",
            "test": "non_inferiority",
            "metric": "recall_at_1",
            "reference": "baseline",
            "margin": 0.02,
        },
    ]
    policy = GatePolicy.from_dict({"name": "p", "gates": gates})
    references = {"baseline": made_report([6] * 8, 0.9, name="dml")}
    return decide(policy, made_report([6] * 8, 0.3), references)


def made_summary(text: str = "plain") -> dict[str, Any]:
    """All sections of a summary; `text` wherever a summary holds text from outside."""
    method = {
        "recall_at_1": 0.4312,
        "recall_at_2": 0.5,
        "recall_at_4": 0.625,
        "recall_at_8": 0.75,
        "map_at_r": 0.21,
        "nmi": 0.55,
        "train_seconds": 75.0,
        "steps": 80,
        "seed": 3,
        "intervals": {"recall_at_1": [0.38, 0.4871]},
    }
    return {
        "run_id": text,
        "status": "ok",
        "command": f"saga run {text}",
        "config": {"name": text, "digest": "ab"},
        "model": {"name": text, "version": 7},
        "dataset": {
            "name": text,
            "digest": text,
            "layout": "folders",
            "images": 1234,
            "train_images": 600,
            "train_classes": 10,
            "test_images": 634,
            "test_classes": 12,
            "validation": {
                "success": False,
                "failed": [{"id": "i", "title": text, "observed": text}],
                "warnings": [text],
            },
        },
        "methods": {
            "saga": method,
            "dml": method | {"recall_at_1": 0.3},
            "pretrained": method | {"recall_at_1": 0.1, "steps": 0, "train_seconds": 0.0},
            text: method,
        },
        "differences": {
            "saga-dml": {"recall_at_1": {"mean": 0.131, "low": 0.05, "high": 0.212}},
            "saga-pretrained": {"recall_at_1": {"mean": 0.33, "low": -0.01, "high": 0.67}},
            "dml-pretrained": {"recall_at_1": {"mean": -0.2, "low": -0.3, "high": -0.1}},
        },
        "study": {
            "study_id": text,
            "date": "2026-01-02T03:04:05Z",
            "regime": text,
            "seeds": 5,
            "differences": {"saga-dml": {"mean": 0.094, "low": 0.061, "high": 0.128}},
        },
        "training": {
            "contributing_share": 0.412,
            "reward_first": 0.571,
            "reward_last": 0.803,
            "accuracy_first": 0.654,
            "accuracy_last": 0.712,
            "parsed_share": 0.971,
            "stopped_early": text,
        },
        "supervisor": {"name": text, "prompt": "birds", "digest": text, "note": text},
        "gate": {
            "status": "PASS",
            "gates": [{"id": text, "status": "PASS", "effect": "none", "reason": text}],
        },
        "artifacts": {text: {"version": "5", "digest": text}, "pairs": {"version": "2"}},
        "timings": {"load_dataset": 3.21, text: 320.9},
        "reused_steps": ["load_dataset"],
        "peak_memory_bytes": 3 << 30,
        "seconds": 400.0,
        "environment": {
            "git_commit": text,
            "git_dirty": True,
            "python": "3.11.9",
            "versions": {"torch": text},
        },
        "error": text,
    }


VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """A page as a browser takes it: its tags, attributes and text; refuses unbalanced tags."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.pieces: list[str] = []
        self.style = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    @property
    def text(self) -> str:
        """All text, with single spaces."""
        return " ".join(" ".join(self.pieces).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-1:]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["style"]:
            self.style += data
        else:
            self.pieces.append(data)


def check_alone(page: Page) -> None:
    """Nothing is fetched or run: no script, no handler, no address but an embedded picture's."""
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("src", "href", "srcset", "xlink:href", "action", "data"):
            assert value.startswith("data:image/png;base64,"), (tag, name, value[:80])
    styles = page.style + "".join(v for _, name, v in page.attributes if name == "style")
    assert page.style and "url(" not in styles and "@import" not in styles
