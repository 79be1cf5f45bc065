import json
import platform

from pipelines.environment import hardware
from pipelines.lineage.recording import record_step_facts, seal_holds, sealed
from pipelines.lineage.settings import chosen, dotted, folded


def test_hardware_tells_what_there_is_and_not_whose_it_is():
    found = hardware()
    assert found["cores"] >= 1 and found["memory_bytes"] > 1 << 28 and found["processor"]
    assert isinstance(found["gpus"], list)
    assert json.loads(json.dumps(found)) == found
    assert platform.node() not in json.dumps(found)


def test_outside_a_step_nothing_is_recorded():
    record_step_facts()


def test_a_seal_breaks_with_any_change():
    facts = sealed({"environment": {"git_dirty": True}, "files": {"a": "1"}})
    assert seal_holds(json.loads(json.dumps(facts)))
    assert not seal_holds(facts | {"environment": {"git_dirty": False}})
    assert not seal_holds(facts | {"more": 1}) and not seal_holds({})


def test_settings_by_dotted_name():
    nested = {"a": {"b": [1, 2], "c": {}}, "d": None}
    assert dotted(nested) == {"a.b": [1, 2], "a.c": {}, "d": None}


def test_changes_that_follow_from_another_are_folded_into_it():
    seed, rate = (0, 1), (0.1, 0.2)
    names = ("seed", "mining.seed", "training.seed", "baseline.seed", "encoder.pooler.seed")
    changes = dict.fromkeys(names, seed) | {"training.optimizer.encoder_lr": rate}
    changes |= {"baseline.optimizer.encoder_lr": (0.1, 0.3)}
    found = {name: also for name, _, also in folded(changes)}
    assert found == {
        "seed": list(names[1:]),
        "training.optimizer.encoder_lr": [],
        "baseline.optimizer.encoder_lr": [],
    }


def test_only_chosen_settings_are_told():
    settings = {
        "mining": {"seed": 0},
        "seed": 0,
        "training": {"steps": 6, "autocast": "none"},
        "baseline": {"steps": 6, "autocast": "bfloat16"},
    }
    found = chosen(settings)
    assert found["training.steps"] == 6 and found["baseline.autocast"] == "bfloat16"
    assert not {"mining.seed", "seed", "baseline.steps"} & found.keys()
