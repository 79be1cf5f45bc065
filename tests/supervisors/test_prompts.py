from pathlib import Path

import pytest
import yaml

from saga.errors import UserInputError
from saga.supervisors.prompts import BUNDLED, bundled_prompts, load_prompt

# METHOD section 5, written out here once more: the data files must say exactly this.
BIRDS = (
    "bill shape, bill length, bill color, head pattern, crown color, forehead color, eye color, "
    "nape color, throat color, breast color, breast pattern, belly color, belly pattern, "
    "back color, back pattern, upperparts color, wing color, wing pattern, wing shape, tail shape, "
    "tail pattern, upper tail color, under tail color, underparts color, shape, size, "
    "primary color, leg color"
)
CARS = (
    "body style, number of doors, front grille, headlights, front bumper, side profile, roofline, "
    "greenhouse, wheels, fenders and wheel arches, rear lights, rear bumper, exhaust, badging, "
    "overall proportions, apparent era, paint finish"
)
AIRCRAFT = (
    "number of engines, engine type, engine mount position, engine nacelle shape and size, "
    "wing configuration, wing planform, winglets or wingtip shape, tail configuration, "
    "vertical stabilizer shape, fuselage length and proportions, nose shape, "
    "cockpit window layout, cabin window count and spacing, landing gear layout, "
    "overall size class, apparent era, livery and markings"
)
DOMAINS = {
    "birds": (28, BIRDS, "ornithologist", "bird", "same_species", "same species"),
    "cars": (17, CARS, "automotive expert", "car", "same_model", "same make and model"),
    "aircraft": (
        17,
        AIRCRAFT,
        "aviation expert",
        "aircraft",
        "same_variant",
        "same make, model and variant",
    ),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_prompt_is_that_of_the_method(name):
    count, attributes, expert, item, verdict_key, question = DOMAINS[name]
    prompt = load_prompt(name)
    assert prompt.name == prompt.domain == name
    assert len(prompt.attributes) == count
    assert prompt.attributes == tuple(attributes.split(", "))
    assert (prompt.expert, prompt.item, prompt.verdict_key) == (expert, item, verdict_key)
    assert prompt.schema_keys == (
        f"{item}_1",
        f"{item}_2",
        "differences",
        "confidence",
        "reasoning",
        verdict_key,
    )
    assert question in prompt.verdict_question


@pytest.mark.parametrize("name", DOMAINS)
def test_text_names_role_attributes_tasks_and_keys_in_order(name):
    prompt = load_prompt(name)
    text = prompt.text()
    assert prompt.expert in text and prompt.verdict_question in text and "JSON" in text
    wanted = [f'"{a}"' for a in prompt.attributes]
    wanted += ["Describe image 1", "Describe image 2", "differences", "Decide"]
    wanted += [f'"{key}": ' for key in prompt.schema_keys]
    places, start = [], 0
    for part in wanted:
        start = text.index(part, start)
        places.append(start)
    assert places == sorted(places)
    assert "$" not in text and "{attribut" not in text


def test_generic_prompt_has_no_role_and_no_attributes():
    prompt = load_prompt("generic")
    assert prompt.expert is None and prompt.attributes == ()
    assert prompt.schema_keys == ("differences", "reasoning", "same_class")
    assert "expert" not in prompt.text() and "attribute" not in prompt.text()


def test_synthetic_prompt_is_the_text_that_the_embedded_supervisor_was_pretrained_on():
    pretraining = pytest.importorskip("saga.supervisors.pretraining.train")
    attributes = pytest.importorskip("saga.data.synthetic.attributes")
    prompt = load_prompt("synthetic_birds")
    assert prompt.compact and prompt.text() == "compare the two birds :" == pretraining.PROMPT
    assert prompt.attributes == tuple(attributes.ATTRIBUTES)
    assert (prompt.item, prompt.verdict_key) == (pretraining.ITEM, pretraining.VERDICT_KEY)
    assert prompt.schema_keys == ("bird_1", "bird_2", "differences", "same_species")


def test_every_bundled_prompt_loads_and_none_is_missing():
    names = ["aircraft", "birds", "cars", "cub_birds", "generic"]
    names += ["synthetic_birds", "synthetic_generic"]
    assert bundled_prompts() == names
    assert len({load_prompt(name).digest for name in names}) == len(names)


def test_a_path_gives_the_same_prompt_as_the_name(tmp_path):
    copy = tmp_path / "mine.yaml"
    copy.write_bytes((BUNDLED / "birds.yaml").read_bytes())
    mine, bundled = load_prompt(copy), load_prompt("birds")
    assert mine.name == "mine" and mine.text() == bundled.text() and mine.digest == bundled.digest


# Bad input --------------------------------------------------------------------------------------


def changed(tmp_path: Path, **changes: object) -> Path:
    """The birds' prompt with some keys changed; None removes one."""
    values = yaml.safe_load((BUNDLED / "birds.yaml").read_text())
    values = {k: v for k, v in (values | changes).items() if v is not None}
    path = tmp_path / "prompt.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


FULL = ["bird_1", "bird_2", "differences", "confidence", "reasoning", "same_species"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"atributes": ["a"]}, "atributes is not a key of a prompt. Nearest: attributes"),
        ({"zzz": 1}, "zzz is not a key of a prompt. Allowed: domain"),
        ({"verdict_key": None}, "missing verdict_key"),
        ({"item": None, "domain": None}, "missing domain, item"),
        ({"item": 3}, "item must be text"),
        ({"item": "Bird 1"}, "item must be lower-case"),
        ({"verdict_key": "differences"}, "also another key"),
        ({"verdict_key": "bird_1"}, "verdict_key must be lower-case"),
        ({"attributes": "bill"}, "attributes must be a list"),
        ({"attributes": []}, "attributes must be a list"),
        ({"attributes": ["bill", True]}, "attributes must be a list"),
        ({"attributes": ["bill", "bill"]}, "listed once"),
        ({"attributes": ['a "quoted" one']}, "needs escaping"),
        ({"attributes": ["two\nlines"]}, "needs escaping"),
        ({"answer_keys": [*FULL, "bird_3"]}, "'bird_3' is not one of"),
        ({"answer_keys": [*FULL, "reasoning"]}, "listed once"),
        ({"answer_keys": FULL[:-1]}, "must hold the verdict key"),
        ({"answer_keys": FULL[1:]}, "must hold bird_1 and bird_2"),
        ({"answer_keys": FULL[2:]}, "must hold bird_1 and bird_2"),
        ({"attributes": None}, "if, and only if, there are attributes"),
        ({"compact": "yes"}, "compact must be true or false"),
        ({"template": " "}, "template must be text"),
        ({"template": "an $expert on $attributes: $frm"}, "not a placeholder. Nearest: form"),
        ({"template": "an $expert on $attributes"}, r"template must use \$form"),
        ({"template": "an $expert: $form"}, r"template must use \$attributes"),
        ({"template": "$attributes $form"}, r"template must use \$expert"),
        ({"expert": None}, r"must not use \$expert, since expert is not given"),
        ({"template": "$expert $attributes $form costs 5 $ "}, r"write \$\$"),
    ],
)
def test_a_wrong_prompt_file_is_refused_and_says_why(tmp_path, changes, message):
    path = changed(tmp_path, **changes)
    with pytest.raises(UserInputError, match=message) as caught:
        load_prompt(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- a list", "is a mapping"),
        (b"", "is a mapping"),
        (b"domain: [", "cannot be read as YAML"),
        (b"\xff\xfe\x00", "cannot be read as YAML"),
        (b"domain: birds\ndomain: cars\n", "given twice"),
        (b"!!python/object/apply:os.getcwd []", "cannot be read as YAML"),
        (b"[" * 5000, "cannot be read as YAML"),
        (b"a" * 70_000, "at most 65536 bytes"),
        (b"? [a, b]\n: 1\n", "a key must be a plain text"),
        (b"domain: 2001-99-99\n", "cannot be read as YAML"),
        (b"domain: !!bool maybe\n", "cannot be read as YAML"),
        (b"domain: !!int ''\n", "cannot be read as YAML"),
        (b"1: 2\n", "1 is not a key"),
        (
            b"domain: &a [x, x]\nitem: &b [*a, *a]\nverdict_key: &c [*b, *b]\n"
            b"verdict_question: a\ntemplate: b\n",
            "domain must be text",
        ),
        (
            b"verdict_question: a\ntemplate: b\nverdict_key: c\ndomain: d\nexpert: &l0 [x, x]\n"
            + b"".join(b"? &l%d [*l%d, *l%d]\n: 1\n" % (i + 1, i, i) for i in range(3)),
            "cannot be read as YAML",
        ),
    ],
)
def test_a_file_that_is_no_prompt_is_refused(tmp_path, content, message):
    path = tmp_path / "prompt.yaml"
    path.write_bytes(content)
    with pytest.raises(UserInputError, match=message):
        load_prompt(path)


def test_an_unknown_name_lists_the_bundled_ones_and_the_nearest(tmp_path):
    with pytest.raises(UserInputError, match=r"aircraft, birds, .*Did you mean birds\?"):
        load_prompt("brids")
    with pytest.raises(UserInputError, match="nor a file"):
        load_prompt(tmp_path)
