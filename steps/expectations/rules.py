"""Rules about the whole table that Great Expectations has no expectation for.

Each takes the table (the manifest's columns and those of `saga.data.decoding.Decoded`) and one
limit, and says how many images it looked at and which break it. Known to Great Expectations through
`steps.expectations.custom`.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd

from saga.data.duplicates import FLATTEST, comparable
from saga.data.splits import CANONICAL_CLASSES
from saga.data.validation import MOST_EXAMPLES


class Finding(NamedTuple):
    """What a rule found."""

    looked_at: int
    """Images."""
    broken: int
    """How often the rule is broken."""
    observed: str
    examples: list[str]


def _finding(looked_at: int, broken: Iterable[str], observed: str) -> Finding:
    everything = iter(broken)
    examples = list(islice(everything, MOST_EXAMPLES))
    return Finding(looked_at, len(examples) + sum(1 for _ in everything), observed, examples)


def images_per_class(frame: pd.DataFrame, least: float) -> Finding:
    """Every class has enough images."""
    counts = frame.groupby("class_name", dropna=False).size()
    scarce = counts[counts < least].sort_values()
    observed = f"{len(scarce)} of {len(counts)} classes have fewer than {least:g} images"
    return _finding(len(frame), (f"{c}: {n}" for c, n in scarce.items()), observed)


def classes_in_one_split(frame: pd.DataFrame, _: float) -> Finding:
    """No class is in two splits, by its id or by its name."""
    shared = []
    for column in ("class_id", "class_name"):
        splits = frame.groupby(column)["split"].unique()
        shared += [
            f"{column} {c}: {', '.join(sorted(map(str, s)))}"
            for c, s in splits.items()
            if len(s) > 1
        ]
    return _finding(len(frame), shared, f"{len(shared)} class ids or names are in several splits")


def one_name_per_class(frame: pd.DataFrame, _: float) -> Finding:
    """Ids and names of classes belong together one to one."""
    mixed = []
    for one, other in (("class_id", "class_name"), ("class_name", "class_id")):
        values = frame.groupby(one)[other].unique()
        mixed += [f"{one} {k}: {', '.join(map(str, v))}" for k, v in values.items() if len(v) > 1]
    return _finding(len(frame), mixed, f"{len(mixed)} class ids or names are ambiguous")


def balance(frame: pd.DataFrame, most: float) -> Finding:
    """The largest class is not many times the smallest."""
    counts = frame.groupby("class_name").size().sort_values()
    if len(counts) == 0:
        return Finding(0, 1, "no classes", [])
    ratio = counts.iloc[-1] / counts.iloc[0]
    observed = f"the largest class has {ratio:.1f} times the images of the smallest"
    extremes = [f"{c}: {counts[c]}" for c in (counts.index[0], counts.index[-1])]
    return _finding(len(frame), extremes if ratio > most else [], observed)


def train_classes(frame: pd.DataFrame, least: float) -> Finding:
    """There is something to train on."""
    return _classes_of(frame, "train", least)


def test_classes(frame: pd.DataFrame, least: float) -> Finding:
    """There is something to be judged on."""
    return _classes_of(frame, "test", least)


def _classes_of(frame: pd.DataFrame, split: str, least: float) -> Finding:
    rows = frame[frame["split"] == split]
    classes = rows["class_id"].nunique()
    observed = f"{len(rows)} images of {classes} classes"
    return _finding(len(frame), [] if classes >= least else [f"{split}: {observed}"], observed)


def recorded_size(frame: pd.DataFrame, _: float) -> Finding:
    """Width, height and mode are those of the decoded image."""
    decoded = frame[frame["decodes"].eq(True)]
    differs = pd.Series(False, index=decoded.index)
    for name in ("width", "height", "mode"):
        differs |= decoded[name] != decoded[f"decoded_{name}"]
    wrong = decoded[differs]
    texts = (
        f"{r.path}: listed {r.width}×{r.height} {r.mode}, "
        f"is {r.decoded_width:g}×{r.decoded_height:g} {r.decoded_mode}"
        for r in wrong.itertuples()
    )
    return _finding(len(decoded), texts, f"{len(wrong)} of {len(decoded)} images differ")


def decodes(frame: pd.DataFrame, _: float) -> Finding:
    """Every file that is there can be decoded."""
    there = frame[frame["exists"].eq(True)]
    bad = there[~there["decodes"].eq(True)]
    observed = f"{len(bad)} of {len(there)} files cannot be decoded"
    return _finding(len(there), (str(p) for p in bad["problem"]), observed)


def boxes_inside(frame: pd.DataFrame, slack: float) -> Finding:
    """Boxes have an area and lie inside their images."""
    boxed = frame[[box is not None and hasattr(box, "__len__") for box in frame["bbox"]]]
    outside = []
    for path, box, width, height in boxed[["path", "bbox", "width", "height"]].to_numpy():
        x, y, w, h = box
        begins = x >= -slack and y >= -slack and w > 0 and h > 0
        ends = x + w <= width + slack and y + h <= height + slack
        if not (begins and ends):
            outside.append(f"{path}: {list(box)} in {width}×{height}")
    observed = f"{len(outside)} of {len(boxed)} boxes" if len(boxed) else "no boxes are listed"
    return _finding(len(frame), outside, observed)


def layout_split(frame: pd.DataFrame, most_in_half: float) -> Finding:
    """Classes are split in halves as the layout says, and there are not more than it has."""
    seen = frame[frame["split"] != "test"]["class_id"].nunique()
    unseen = frame[frame["split"] == "test"]["class_id"].nunique()
    observed = f"{seen} classes to train and hold out, {unseen} to test"
    right = seen - unseen in (0, 1) and max(seen, unseen) <= most_in_half
    return _finding(len(frame), [] if right else [observed], observed)


def layout_classes(frame: pd.DataFrame, whole: float) -> Finding:
    """All classes of the layout are there."""
    classes = frame["class_id"].nunique()
    observed = f"{classes} of {whole:g} classes"
    return _finding(len(frame), [] if classes == whole else [observed], observed)


def exact_across_splits(frame: pd.DataFrame, _: float) -> Finding:
    """No file is in two splits."""
    groups = _same_content(frame)
    across = [g for g in groups if g["split"].nunique() > 1]
    texts = (_listed(g) for g in across)
    return _finding(len(frame), texts, f"{len(across)} files are in more than one split")


def exact_inside_splits(frame: pd.DataFrame, _: float) -> Finding:
    """No file is twice in one split."""
    groups = [g for same in _same_content(frame) for _, g in same.groupby("split") if len(g) > 1]
    return _finding(
        len(frame), (_listed(g) for g in groups), f"{len(groups)} files are repeated in a split"
    )


def near_across_splits(frame: pd.DataFrame, pairs: pd.DataFrame) -> Finding:
    """No picture is in two splits."""
    return _near(frame, pairs, across=True)


def near_inside_splits(frame: pd.DataFrame, pairs: pd.DataFrame) -> Finding:
    """No picture is twice in one split."""
    return _near(frame, pairs, across=False)


def _near(frame: pd.DataFrame, pairs: pd.DataFrame, across: bool) -> Finding:
    split, path = frame["split"].to_numpy(), frame["path"].to_numpy()
    chosen = pairs[(split[pairs["a"]] != split[pairs["b"]]) == across]
    chosen = chosen.sort_values("resemblance", ascending=False)
    texts = (
        f"{path[r.a]} ({split[r.a]}) and {path[r.b]} ({split[r.b]})"
        f"{', mirrored' if r.mirrored else ''}, resemblance {r.resemblance:.2f}"
        for r in chosen.itertuples()
    )
    decoded = frame["thumbnail"].notna()
    unique = ~frame.loc[decoded, ["sha256", "split"]].duplicated()
    flat = int(unique.sum()) - len(comparable(frame))
    told = f"; {flat} images vary by less than {FLATTEST:g} greys and were not compared"
    observed = f"{len(chosen)} pairs{told if flat else ''}"
    return _finding(int(decoded.sum()), texts, observed)


def _same_content(frame: pd.DataFrame) -> list[pd.DataFrame]:
    repeated = frame[frame["sha256"].duplicated(keep=False) & frame["sha256"].notna()]
    return [group for _, group in repeated.groupby("sha256", sort=False)]


def _listed(group: pd.DataFrame) -> str:
    shown = [f"{r.path} ({r.split})" for r in group.head(4).itertuples()]
    more = [f"{len(group) - 4} more"] if len(group) > 4 else []
    return ", ".join(shown + more)


def half_of(layout: str) -> int:
    """Most classes on one side of a layout with a fixed split."""
    return int(np.max(CANONICAL_CLASSES[layout]))


RULES: dict[str, Callable[[pd.DataFrame, float], Finding]] = {
    rule.__name__: rule
    for rule in (
        images_per_class,
        classes_in_one_split,
        one_name_per_class,
        balance,
        train_classes,
        test_classes,
        recorded_size,
        decodes,
        boxes_inside,
        layout_split,
        layout_classes,
        exact_across_splits,
        exact_inside_splits,
    )
}
PAIR_RULES: dict[str, Callable[[pd.DataFrame, pd.DataFrame], Finding]] = {
    rule.__name__: rule for rule in (near_across_splits, near_inside_splits)
}
