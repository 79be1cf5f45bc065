"""Where each token lies in the text of a completion."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saga.supervisors.decoding import PieceDecoder
from tests.checkpoints import _tokenizer


@pytest.fixture(scope="module", params=["", "the belly is white, the wing is brown with bars " * 3])
def tokenizer(request):
    """One token per byte; and one whose tokens are words."""
    return _tokenizer(("<img>",), "<img>", request.param)


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def byte_places(tokenizer, ids, text):
    """For each token the characters that its bytes are of, counted over UTF-8."""
    of_byte = [i for i, character in enumerate(text) for _ in character.encode()]
    places, start = [], 0
    for token in ids:
        end = start + len(tokenizer.convert_ids_to_tokens(token))  # one letter per byte
        places.append((of_byte[start], of_byte[end - 1] + 1))
        start = end
    assert start == len(of_byte)
    return places


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=12))
def test_text_and_places_are_those_of_the_bytes(tokenizer, text):
    text = text.encode("utf-8", "ignore").decode()
    ids = ids_of(tokenizer, text)
    decoder = PieceDecoder(tokenizer)
    if "\ufffd" in text:
        return
    assert decoder.text(ids) == text
    assert decoder.offsets(ids) == byte_places(tokenizer, ids, text)


@pytest.mark.parametrize("text", ["naïve", "é", "ab🦜c", "🦜", "x\u4e2d\u6587"])
def test_every_token_of_a_split_character_has_its_place(tokenizer, text):
    ids = ids_of(tokenizer, text)
    assert PieceDecoder(tokenizer).offsets(ids) == byte_places(tokenizer, ids, text)


def test_bytes_that_are_no_text_have_places_too(tokenizer):
    """A model may write any bytes."""
    letters = {tokenizer.convert_ids_to_tokens(i): i for i in range(256)}
    parrot = [
        letters[p] for p in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("🦜")[0][0]
    ]
    broken = [*ids_of(tokenizer, "a"), *parrot[:2], *ids_of(tokenizer, "b")]
    decoder = PieceDecoder(tokenizer)
    assert decoder.text(broken) == "a\ufffdb"
    assert decoder.offsets(broken) == [(0, 1), (1, 2), (1, 2), (2, 3)]


def test_special_tokens_are_part_of_the_text(tokenizer):
    ids = [*ids_of(tokenizer, "a"), tokenizer.convert_tokens_to_ids("<img>")]
    assert PieceDecoder(tokenizer).text(ids) == "a<img>"
    assert PieceDecoder(tokenizer).offsets(ids) == [(0, 1), (1, 6)]


def test_an_empty_completion_has_no_places(tokenizer):
    assert PieceDecoder(tokenizer).text([]) == "" and PieceDecoder(tokenizer).offsets([]) == []


def test_spaces_inside_json_stay(tokenizer):
    text = json.dumps({"a": " b ,  c"})
    assert PieceDecoder(tokenizer).text(ids_of(tokenizer, text)) == text
