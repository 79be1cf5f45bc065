"""Photos to pretrain on, from a tiny CUB folder whose class attributes are made up."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from saga.data.configuration import DatasetConfig
from saga.data.load import load_manifest
from saga.errors import UserInputError
from saga.supervisors.pretraining import photos as module
from saga.supervisors.pretraining.class_attributes import PER_CENTS, class_values
from saga.supervisors.pretraining.configuration import PretrainingConfig, Stage
from saga.supervisors.pretraining.photos import BirdPhotos, draw_groups, read_classes
from saga.supervisors.pretraining.pool import GROUP, commonest
from saga.supervisors.pretraining.tokenizer import answer_text, build_tokenizer
from saga.supervisors.pretraining.train import Pretrainer, build_supervisor
from saga.supervisors.pretraining.vocabulary import COLORS, DRAWN_BIRDS, PHOTOGRAPHED_BIRDS
from saga.supervisors.prompts import load_prompt
from saga.supervisors.verdict import parse_answer
from tests.data.made import REAL, made_cub, tiny_image, write_lines

WORDS = PHOTOGRAPHED_BIRDS
LISTED = [
    f"has_{name.replace(' ', '_')}::{value}"
    for name, values in WORDS.attributes.items()
    for value in (("small_(5_-_9_in)", "large_(16_-_32_in)") if name == "size" else values)
]
COLUMN = {listed: i for i, listed in enumerate(LISTED)}


def row(**chosen: str) -> list[float]:
    """Per cents of a class: 60 for each attribute's first value or the one chosen."""
    numbers = [0.0] * len(LISTED)
    for name in WORDS.attributes:
        group = f"has_{name.replace(' ', '_')}"
        options = [listed for listed in LISTED if listed.startswith(group)]
        value = chosen.get(name.replace(" ", "_"))
        numbers[COLUMN[f"{group}::{value}" if value else options[0]]] = 60.0
    return numbers


def made(root: Path, classes: int = 8, images: int = 5) -> Path:
    """Class c has the c-th crown colour, so that those below 8 differ."""
    made_cub(root, classes, images)
    for number, path in enumerate(sorted((root / "images").rglob("*.jpg"))):
        tiny_image(path, 6 * number)  # far enough apart for JPEG to keep them apart
    write_lines(root / "attributes.txt", *(f"{i + 1} {name}" for i, name in enumerate(LISTED)))
    rows = [
        row(crown_color=COLORS[c % 7], wing_pattern="spotted" if c > 6 else "solid")
        for c in range(classes)
    ]
    write_lines(root / PER_CENTS, *(" ".join(map(str, numbers)) for numbers in rows))
    return root


@pytest.fixture
def cub(tmp_path) -> Path:
    return made(tmp_path / "cub")


def dataset(root: Path, **changes) -> DatasetConfig:
    return DatasetConfig(layout="cub200", root=str(root), **{"validation_classes": 1} | changes)


def test_the_vocabulary_is_what_the_prompt_file_says_and_the_answer_comes_back():
    prompt = load_prompt("cub_birds")
    assert prompt.text() == WORDS.prompt and prompt.attributes == tuple(WORDS.attributes)
    assert (prompt.item, prompt.verdict_key) == (WORDS.item, WORDS.verdict_key)
    tokenizer = build_tokenizer(
        (WORDS.prompt, WORDS.generic_prompt), WORDS.item, WORDS.verdict_key, WORDS.attributes
    )
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = (WORDS.values_of(tuple(int(rng.integers(n)) for n in WORDS.counts)) for _ in "ab")
        text = answer_text(WORDS.item, WORDS.verdict_key, a, b)
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text and tokenizer.unk_token_id not in ids
        parsed = parse_answer(prompt, text)
        assert parsed is not None and (parsed.attributes_a, parsed.attributes_b) == (a, b)


def test_a_class_takes_the_coarse_value_that_has_most_per_cent(cub):
    numbers = row(crown_color="black")
    numbers[COLUMN["has_crown_color::blue"]] = 40.0
    names = [
        *LISTED,
        "has_crown_color::purple",
        "has_crown_color::iridescent",
        "has_eye_color::red",
    ]
    write_lines(cub / "attributes.txt", *(f"{i + 1} {name}" for i, name in enumerate(names)))
    # black 60, blue 40 + 15 + 10: none of the three is most, together they are
    lines = [[*numbers, 15.0, 10.0, 100.0], [*numbers, 10.0, 5.0, 100.0]]
    write_lines(cub / PER_CENTS, *(" ".join(map(str, line)) for line in lines))
    crowns = {c: WORDS.values_of(v)["crown color"] for c, v in class_values(cub, [1, 2]).items()}
    assert crowns == {1: "blue", 2: "black"}


def test_groups_are_two_photos_of_a_class_and_two_of_one_that_differs(cub):
    source = BirdPhotos(dataset(cub), held_out=2, seed=0)
    pool = source.pool(30, 32, [1], held_out=False)
    assert pool.images.shape == (120, 32, 32, 3) and pool.images.dtype == np.uint8
    for start in range(0, 120, GROUP):
        first, second, third, fourth = pool.combinations[start : start + GROUP]
        assert first == second != third == fourth
    again = source.pool(30, 32, [1], held_out=False)
    np.testing.assert_array_equal(pool.images, again.images)
    assert not np.array_equal(pool.images, source.pool(30, 32, [2], held_out=False).images)


def test_nothing_of_a_test_or_validation_class_is_read_to_learn_from(cub, monkeypatch):
    opened, asked = [], []
    load, values = module.load_image, module.class_values
    monkeypatch.setattr(module, "load_image", lambda p, li: opened.append(p) or load(p, li))
    monkeypatch.setattr(
        module, "class_values", lambda root, ids: asked.extend(ids) or values(root, ids)
    )
    # Rows of the others cannot even be read, and nobody notices.
    manifest = load_manifest(dataset(cub))
    training = {int(c) for c in manifest.training()["class_id"]}
    lines = (cub / PER_CENTS).read_text().splitlines()
    others = ["not to be read"] * len(lines)
    for class_id in training:
        others[class_id - 1] = lines[class_id - 1]
    write_lines(cub / PER_CENTS, *others)
    source = BirdPhotos(dataset(cub), held_out=1, seed=0)
    source.pool(5, 32, [0], held_out=False)
    source.pool(5, 32, [0], held_out=True)
    assert len(training) == 3 and set(asked) == training
    assert {int(path.parent.name[:3]) for path in opened} == training
    with pytest.raises(UserInputError, match="expected"):
        source.unseen(5, 32, [0])


def test_held_out_photos_are_never_learned_from(cub):
    source = BirdPhotos(dataset(cub), held_out=2, seed=0)
    for kept, held in zip(source.training, source.held_out, strict=True):
        assert (len(kept.images), len(held.images)) == (3, 2)
        assert kept.combination == held.combination
        both = {image.tobytes() for image in [*kept.images, *held.images]}
        assert len(both) == 5, "every photo is on one side"


def test_validation_classes_are_measured_where_there_are_two_that_differ(cub):
    assert BirdPhotos(dataset(cub), 1, 0).unseen(3, 32, [0]) is None
    config = dataset(cub, validation_classes=2)
    pool = BirdPhotos(config, 1, 0).unseen(3, 32, [0])
    manifest = load_manifest(config)
    ids = {int(c) for c in manifest.subset("validation")["class_id"]}
    assert set(pool.combinations) == set(class_values(cub, ids).values())
    assert commonest(pool, WORDS)["crown color"] == 0.5
    assert commonest(pool, WORDS)["size"] == 1.0


def test_photos_that_are_measured_are_neither_cropped_nor_flipped(cub):
    classes = read_classes(load_manifest(dataset(cub)), "train", dataset(cub))
    plain = draw_groups(classes, 4, 128, [0], augmented=False)
    stored = {image.tobytes() for photos in classes for image in photos.images}
    assert {image.tobytes() for image in plain.images} <= stored


def broken(root: Path, how: str) -> None:
    lines = (root / PER_CENTS).read_text().splitlines()
    names = (root / "attributes.txt").read_text().splitlines()
    zero = ["0.0"] * len(LISTED)
    if how == "no names":
        (root / "attributes.txt").unlink()
    elif how == "no per cents":
        (root / PER_CENTS).unlink()
    elif how == "cut off":
        write_lines(root / PER_CENTS, *lines[:1])
    elif how == "short":
        write_lines(root / PER_CENTS, lines[0].rsplit(" ", 1)[0], *lines[1:])
    elif how == "word":
        write_lines(root / PER_CENTS, lines[0].replace("60.0", "many"), *lines[1:])
    elif how == "too much":
        write_lines(root / PER_CENTS, lines[0].replace("60.0", "160.0"), *lines[1:])
    elif how == "no value":
        write_lines(root / PER_CENTS, " ".join(zero), *lines[1:])
    elif how == "no group":
        write_lines(root / "attributes.txt", *(n.replace("has_size", "has_width") for n in names))
    elif how == "wrong ids":
        write_lines(root / "attributes.txt", *names[1:])
    elif how == "all alike":
        write_lines(root / PER_CENTS, *([lines[0]] * len(lines)))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no names", "has no attributes.txt"),
        ("no per cents", "has no attributes/class_attribute_labels_continuous.txt"),
        ("cut off", "has 1 lines, so class 2 has none"),
        ("short", r"line 1: expected 41 numbers, one for each line of attributes.txt, got 40"),
        ("word", "line 1: expected a number, got 'many'"),
        ("too much", "line 1: expected per cents from 0 to 100, got 160"),
        ("no value", "line 1: class 1 has no bill shape"),
        ("no group", "has no line has_size::<value>"),
        ("wrong ids", "line 1: expected the id 1"),
        ("all alike", "All training classes have the same attribute values"),
    ],
)
def test_wrong_attributes_are_told_with_file_and_line(cub, how, message):
    broken(cub, how)
    with pytest.raises(UserInputError, match=message):
        BirdPhotos(dataset(cub, validation_classes=0), 1, 0)


def test_photos_too_few_to_hold_some_out_are_told(cub):
    with pytest.raises(UserInputError, match="held_out_photos is 4, but a training class has 5"):
        BirdPhotos(dataset(cub), 4, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": DatasetConfig()}, "dataset.layout must be cub200"),
        ({"held_out_photos": 0}, "held_out_photos must be at least 1"),
        ({"tower_depth": 1}, "tower_depth must be at least 2"),
        ({"start": "embedded", "tower_depth": 4}, "has 8 layers; tower_depth is 4"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        PretrainingConfig(**change)


STAGE = Stage(32, steps=2, learning_rate=1e-3, groups=4, probe_weight=0.5)
TINY = PretrainingConfig(stages=(STAGE,), groups_per_step=2, held_out_groups=2, workers=1)


@pytest.mark.parametrize("start", ["random", "embedded"])
def test_the_start_is_what_was_asked_for(cub, start):
    config = dataclasses.replace(TINY, dataset=dataset(cub), start=start)
    photos = Pretrainer(config).model.state_dict()
    drawn = Pretrainer(dataclasses.replace(TINY, start="embedded")).model.state_dict()
    words = {n for n in photos if photos[n].shape != drawn[n].shape}
    assert words == {"lm_head.weight", "model.language_model.embed_tokens.weight"}
    alike = [n for n in photos.keys() - words if bool((photos[n] == drawn[n]).all())]
    assert (len(alike) == len(photos) - 2) is (start == "embedded")


def test_the_folder_says_what_it_was_made_from_and_how_well_it_describes(cub, tmp_path):
    config = dataclasses.replace(TINY, dataset=dataset(cub, validation_classes=2))
    facts = build_supervisor(config, tmp_path / "supervisor", "commit")
    written = json.loads((tmp_path / "supervisor/pretraining.json").read_text())
    assert written == json.loads(json.dumps(facts))
    assert set(facts["accuracy"]) == set(facts["accuracy_unseen"]) == {*WORDS.attributes, "verdict"}
    card = (tmp_path / "supervisor/README.md").read_text()
    assert "non-commercial research" in card and "less\n  2 held out" in card
    for name in WORDS.attributes:
        shares = [facts[key][name] for key in ("accuracy", "commonest", "accuracy_unseen")]
        assert f"| {name} | " + " | ".join(f"{share:.3f}" for share in shares) in card


@pytest.mark.skipif(not REAL.is_dir(), reason="the CUB photos are not beside the repository")
def test_real_class_attributes_are_few_values_and_true():
    values = {c: WORDS.values_of(v) for c, v in class_values(REAL, range(1, 101)).items()}
    assert len({tuple(v.values()) for v in values.values()}) > 80, "classes stay apart"
    cardinal, crow, gull = values[17], values[29], values[62]
    assert cardinal["crown color"] == cardinal["primary color"] == "red"
    assert cardinal["bill shape"] == "cone" and cardinal["size"] == "small"
    assert {crow[n] for n in crow if n.endswith("color")} == {"black"}
    assert gull["belly color"] == "white" and gull["bill shape"] == "hooked"
    for name, known in WORDS.attributes.items():
        assert len({v[name] for v in values.values()}) == len(known), "each value is of some class"


def test_a_pretraining_of_drawn_birds_has_no_photos():
    assert Pretrainer(TINY).vocabulary is DRAWN_BIRDS
    assert Pretrainer(TINY).source.unseen(1, 32, [0]) is None
