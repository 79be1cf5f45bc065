"""Questions, verdicts, rewards and teacher maps."""

import dataclasses

import pytest
import torch

from saga.errors import UserInputError
from saga.supervisors.checkpoint import load_checkpoint
from saga.supervisors.configuration import RolloutConfig, SupervisorConfig
from saga.supervisors.prompts import load_prompt
from saga.supervisors.supervisor import Supervisor, value_places
from tests.supervisors.conftest import ROLLOUT
from tests.supervisors.test_rollout import FIRST, SECOND, SEEDS
from tests.training.made import SHORT_PROMPT, completions_of, written_answer


@pytest.fixture(scope="module")
def prompt(tmp_path_factory):
    path = tmp_path_factory.mktemp("prompt") / "short.yaml"
    path.write_text(SHORT_PROMPT)
    return path


@pytest.fixture
def supervisor(checkpoint, prompt):
    config = SupervisorConfig(image_size=64, attention_layer=1, device="cpu")
    return Supervisor(checkpoint, load_prompt(prompt), config)


def answers(prompt, *groups):
    """Groups of texts; a verdict, None for what cannot be read, or the text itself."""
    return [
        [x if isinstance(x, str) else written_answer(prompt, x, i) for i, x in enumerate(group)]
        for group in groups
    ]


def judged(supervisor, image_tokens, monkeypatch, completions, same):
    monkeypatch.setattr("saga.supervisors.supervisor.roll_out", lambda *args, **kwargs: completions)
    a, b = image_tokens.index(FIRST[: len(same)]), image_tokens.index(SECOND[: len(same)])
    return supervisor.judge(a, b, same, ROLLOUT, SEEDS[: len(same)])


def test_a_right_verdict_earns_one_and_all_else_nothing(
    supervisor, image_tokens, prompt, monkeypatch
):
    groups = answers(prompt, [True, False, None], [True, False, ""], [None, None, None])
    completions = completions_of(supervisor.backbone, groups)
    verdicts = judged(supervisor, image_tokens, monkeypatch, completions, [True, False, True])
    assert verdicts.rewards_PG.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert verdicts.parsed_share == pytest.approx(4 / 9)
    assert [answer is None for answer in verdicts.answers[0]] == [False, False, True]
    assert verdicts.answers[0][0].same is True


def test_a_completion_that_was_cut_off_earns_nothing_even_if_it_reads_well(
    supervisor, image_tokens, prompt, monkeypatch
):
    completions = completions_of(supervisor.backbone, answers(prompt, [True, True]))
    cut = dataclasses.replace(completions, ended_PG=torch.tensor([[True, False]]))
    verdicts = judged(supervisor, image_tokens, monkeypatch, cut, [True])
    assert verdicts.rewards_PG.tolist() == [[1, 0]] and verdicts.answers[0][1] is None


def test_a_random_model_is_asked_and_not_understood(supervisor, image_tokens):
    verdicts = supervisor.judge(
        image_tokens.index(FIRST), image_tokens.index(SECOND), [True] * 4, ROLLOUT, SEEDS
    )
    assert verdicts.completions.tokens_PGT.shape[:2] == (4, 3)
    assert verdicts.rewards_PG.shape == (4, 3) and verdicts.parsed_share == 0


def test_maps_average_values_then_completions_attribute_by_attribute(
    supervisor, image_tokens, prompt
):
    """A value of many tokens counts as much as one of a single token."""
    groups = answers(prompt, [True, False, True], [False, True, False])
    completions = completions_of(supervisor.backbone, groups)
    a, b = image_tokens.index(FIRST[:2]), image_tokens.index(SECOND[:2])
    read = supervisor.read(completions)
    capture = supervisor.replay(a, b, completions, ROLLOUT, capture=True).capture
    use = torch.tensor([[True, False, True], [False, False, False]])
    maps, present = supervisor.teacher_maps(capture, completions, read, use)
    assert maps.shape == (2, 2, 2, 16) and present.tolist() == [True, False]
    torch.testing.assert_close(maps[0].sum(-1), torch.ones(2, 2))
    alone = []
    for g in (0, 2):
        one = torch.zeros_like(use)
        one[0, g] = True
        alone.append(supervisor.teacher_maps(capture, completions, read, one)[0][0])
    torch.testing.assert_close(maps[0], (alone[0] + alone[1]) / 2)
    assert (alone[0] - alone[1]).abs().max() > 1e-4
    assert (maps[0, 0] - maps[0, 1]).abs().max() > 1e-4


def test_a_look_at_the_right_completions_gives_the_maps_of_the_whole_replay(
    supervisor, image_tokens, prompt
):
    groups = answers(prompt, [True, False, True], [False, True, None])
    completions = completions_of(supervisor.backbone, groups)
    a, b = image_tokens.index(FIRST[:2]), image_tokens.index(SECOND[:2])
    read = supervisor.read(completions)
    use = torch.tensor([[True, False, True], [False, True, False]])
    whole = supervisor.replay(a, b, completions, ROLLOUT, capture=True).capture
    expected, _ = supervisor.teacher_maps(whole, completions, read, use)
    replayed = supervisor.replay(a, b, completions, ROLLOUT, capture=True, use_PG=use).capture
    for capture in (replayed, supervisor.look(a, b, completions, use)):
        maps, present = supervisor.teacher_maps(capture, completions, read, use)
        assert present.all()
        torch.testing.assert_close(maps, expected)


def test_a_value_has_every_token_that_is_partly_inside_and_the_weight_of_one():
    offsets = [(0, 2), (2, 5), (5, 6), (6, 9), (9, 10)]
    places = value_places(offsets, [(3, 6), (9, 10)], [(6, 7), (1, 9)])
    assert [place for place, _ in places] == [
        *((1, 0, 0), (2, 0, 0), (4, 0, 1)),
        *((3, 1, 0), (0, 1, 1), (1, 1, 1), (2, 1, 1), (3, 1, 1)),
    ]
    assert [weight for _, weight in places] == [0.5, 0.5, 1, 1, 0.25, 0.25, 0.25, 0.25]


def test_a_value_behind_the_bytes_of_one_character_is_found():
    """Two bytes read as two characters until the third makes them one."""
    offsets = [(0, 1), (1, 2), (2, 1), (1, 2), (2, 3)]
    assert value_places(offsets, [(0, 1)], []) == [((0, 0, 0), 1)]
    tokens = [token for (token, _, _), _ in value_places(offsets, [(1, 2)], [])]
    assert 3 in tokens and 0 not in tokens and 4 not in tokens


def test_a_prompt_of_words_that_the_tokenizer_lacks_is_refused():
    config = SupervisorConfig("embedded", image_size=96, device="cpu")
    checkpoint = load_checkpoint(config)
    with pytest.raises(UserInputError, match="does not know all words of the prompt 'birds'"):
        Supervisor(checkpoint, load_prompt("birds"), config)
    assert Supervisor(checkpoint, load_prompt("synthetic_birds"), config).layer == 2


def test_an_image_size_that_does_not_fit_is_refused(checkpoint, prompt):
    with pytest.raises(UserInputError, match="multiple of 16"):
        Supervisor(checkpoint, load_prompt(prompt), SupervisorConfig(image_size=70))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"group_size": 1}, "at least 2, got 1"),
        ({"temperature": 0.0}, "above 0"),
        ({"top_p": 0.0}, r"in \(0, 1\]"),
        ({"top_p": 1.1}, r"in \(0, 1\]"),
        ({"max_new_tokens": 0}, "at least 1"),
    ],
)
def test_impossible_sampling_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RolloutConfig(**settings)
