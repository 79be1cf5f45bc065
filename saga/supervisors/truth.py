"""True attribute values: how right the supervisor's descriptions are, and the study's oracle.

Rewarded verdicts can be consistent without being true; where a dataset knows each image's values, the
history says which. The oracle, taught the true answers, is a ceiling and no method.

Only the drawn datasets (and a few annotated ones) have true values.

Shapes: P pairs, T tokens.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch

from saga.errors import UserInputError
from saga.supervisors.prompts import DIFFERENCES, Prompt
from saga.supervisors.rollout import Completions
from saga.supervisors.verdict import ParsedAnswer

Values = dict[str, str]


def true_answer(prompt: Prompt, first: Values, second: Values) -> str:
    """The answer that describes two images truly, in the prompt's form.

    Raises:
        UserInputError: for a prompt whose answer holds more than descriptions, differences and verdict.
    """
    described = [{name: values[name] for name in prompt.attributes} for values in (first, second)]
    different = [name for name in prompt.attributes or first if first[name] != second[name]]
    known: dict[str, Any] = dict(zip(prompt.item_keys, described)) | {
        DIFFERENCES: different,
        prompt.verdict_key: "no" if different else "yes",
    }
    if unknown := [key for key in prompt.schema_keys if key not in known]:
        raise UserInputError(
            f"training.weights.oracle: the prompt {prompt.name} also asks for {', '.join(unknown)}, "
            "of which there is no true answer. Use a prompt that asks for descriptions, differences "
            "and the verdict alone."
        )
    return json.dumps({key: known[key] for key in prompt.schema_keys}, ensure_ascii=False)


def true_completions(
    tokenizer: Any, prompt: Prompt, pairs: list[tuple[Values, Values]]
) -> Completions:
    """One completion a pair, the true answer with its end token; as if it had been sampled.

    Args:
        tokenizer: the supervisor's.
        prompt: what was asked.
        pairs: attribute values of both images of each pair.
    """
    end = tokenizer.eos_token_id
    rows = [
        [*tokenizer(true_answer(prompt, *pair), add_special_tokens=False)["input_ids"], end]
        for pair in pairs
    ]
    T = max(map(len, rows))
    tokens_PT = torch.tensor([row + [end] * (T - len(row)) for row in rows])
    lengths_P = torch.tensor([len(row) for row in rows])
    return Completions(
        tokens_PT[:, None],
        lengths_P[:, None],
        torch.ones(len(rows), 1, dtype=torch.bool),
        torch.zeros(len(rows), 1, T),
    )


def description_accuracy(
    answers: Sequence[Sequence[ParsedAnswer | None]], pairs: list[tuple[Values, Values]]
) -> dict[str, float]:
    """Share of described values that are the true ones, by attribute; answers not read count for nothing.

    Args:
        answers: per pair and completion.
        pairs: true values of both images of each pair, with every attribute that is described.
    """
    right: Counter[str] = Counter()
    said: Counter[str] = Counter()
    for group, truths in zip(answers, pairs, strict=True):
        for answer in group:
            if answer is None:
                continue
            for described, truth in zip((answer.attributes_a, answer.attributes_b), truths):
                said.update(described.keys())
                right.update(name for name, value in described.items() if value == truth[name])
    return {name: right[name] / count for name, count in said.items()}


def known_values(frame: pd.DataFrame, prompt: Prompt) -> list[Values]:
    """True values of all rows, or nothing where a row lacks one of the prompt's attributes."""
    if frame["attributes"].isna().any():
        return []
    values = attribute_values(frame)
    return values if all(row.keys() >= set(prompt.attributes) for row in values) else []


def attribute_values(frame: pd.DataFrame) -> list[Values]:
    """True attribute values of some manifest rows.

    Raises:
        UserInputError: if a row has none.
    """
    missing = frame["attributes"].isna()
    if missing.any():
        raise UserInputError(
            f"training.weights.oracle needs the true attributes of every training image; "
            f"{int(missing.sum())} of {len(frame)} have none. Set it to 0."
        )
    return [json.loads(text) for text in frame["attributes"]]
