"""A word-level tokenizer for the answers of the synthetic domain.

A real tokenizer in the hub's format, made for short completions: one token is one piece of the JSON
answer, an attribute with its value for instance, so that a completion has about 18 tokens. Decoding
concatenates the pieces, so decode(encode(answer)) is the answer, character by character.
"""

import re

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PAD, END, UNKNOWN = "<|endoftext|>", "<|im_end|>", "<|unknown|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
IMAGE, VIDEO = "<|image_pad|>", "<|video_pad|>"
SPECIAL = (PAD, END, UNKNOWN, VISION_START, VISION_END, IMAGE, VIDEO)
CHAT_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}" + VISION_START + IMAGE + VISION_END + "{% else %}"
    "{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)


def answer_text(item: str, verdict_key: str, a: dict[str, str], b: dict[str, str]) -> str:
    """The answer that describes two images truly, as JSON text."""
    described = [_object(values) for values in (a, b)]
    return f'{{"{item}_1": {described[0]}, "{item}_2": {described[1]}, {_ending(verdict_key, a, b)}'


def generic_answer_text(verdict_key: str, a: dict[str, str], b: dict[str, str]) -> str:
    """The true answer to the generic prompt: no description, what differs, the verdict."""
    return f"{{{_ending(verdict_key, a, b)}"


def _ending(verdict_key: str, a: dict[str, str], b: dict[str, str]) -> str:
    """What differs, and the verdict."""
    different = ", ".join(f'"{name}"' for name in a if a[name] != b[name])
    verdict = "yes" if a == b else "no"
    return f'"differences": [{different}], "{verdict_key}": "{verdict}"}}'


def _object(values: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": "{value}"' for name, value in values.items()) + "}"


def answer_pieces(item: str, verdict_key: str, attributes: dict[str, tuple[str, ...]]) -> list[str]:
    """Every piece that an answer is cut into; each becomes one token."""
    last = list(attributes)[-1]
    pieces = [f'{{"{item}_1": {{', f', "{item}_2": {{']
    pieces += [', "differences": [', '{"differences": [']
    pieces += [f'], "{verdict_key}": "{verdict}"}}' for verdict in ("yes", "no")]
    for name, values in attributes.items():
        ending = "}" if name == last else ", "
        pieces += [f'"{name}": "{value}"{ending}' for value in values]
        pieces += [f'"{name}"', f', "{name}"']
    return pieces


def build_tokenizer(
    prompts: tuple[str, ...], item: str, verdict_key: str, attributes: dict[str, tuple[str, ...]]
) -> PreTrainedTokenizerFast:
    """The tokenizer of a small domain: special tokens, the prompts' words, answer pieces."""
    words = [word for prompt in prompts for word in re.findall(r"\S+\s*", prompt)]
    pieces = list(dict.fromkeys([*words, *answer_pieces(item, verdict_key, attributes)]))
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *pieces])}
    longest_first = sorted(pieces, key=len, reverse=True)
    pattern = Regex("|".join(re.escape(piece) for piece in longest_first))

    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern, behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[VISION_START, VISION_END, IMAGE, VIDEO],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast
