import json

import pandas as pd
import pyarrow.parquet as pq
import pytest

from saga.errors import UserInputError
from saga.mining.pairs import SCHEMA, PairSet
from saga.retrieval.storage import write_table
from tests.mining.made import made_frame, made_pairs

FRAME = made_frame([4, 5, 3])


@pytest.mark.parametrize("strategy", ["random", "stratified"])
def test_a_saved_pair_set_comes_back_the_same(tmp_path, strategy):
    pairs = made_pairs(FRAME, strategy, pairs=20, seed=3)
    pairs.save(tmp_path)
    again = PairSet.load(tmp_path)
    assert again.digest == pairs.digest
    pd.testing.assert_frame_equal(again.frame, pairs.frame)
    assert (again.strategy, again.seed) == (strategy, 3)
    assert again.manifest_digest == "digest of the manifest"
    assert again.encoder_digest == "digest of the encoder"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pairs.json", "pairs.parquet"]
    assert pq.read_schema(tmp_path / "pairs.parquet") == SCHEMA


def test_the_share_of_same_class_pairs_is_told():
    assert made_pairs(FRAME, "random", pairs=20).same_share == 0.5
    assert PairSet(pd.DataFrame(columns=SCHEMA.names), "random", 0, "m").same_share == 0


@pytest.mark.parametrize("column", SCHEMA.names)
def test_a_pair_set_whose_rows_were_altered_does_not_load(tmp_path, column):
    made_pairs(FRAME, pairs=20).save(tmp_path)
    table = pd.read_parquet(tmp_path / "pairs.parquet")
    other = {"same_class": not table["same_class"][0], "similarity": 0.123}
    table.loc[0, column] = other.get(column, "else")
    write_table(tmp_path / "pairs.parquet", table, SCHEMA)
    with pytest.raises(UserInputError, match="pair set.*was altered"):
        PairSet.load(tmp_path)


@pytest.mark.parametrize("name", ["strategy", "seed", "manifest_digest", "encoder_digest"])
def test_a_pair_set_whose_facts_were_altered_does_not_load(tmp_path, name):
    made_pairs(FRAME, pairs=20).save(tmp_path)
    facts = json.loads((tmp_path / "pairs.json").read_text())
    (tmp_path / "pairs.json").write_text(json.dumps(facts | {name: 77}))
    with pytest.raises(UserInputError, match="pair set.*was altered"):
        PairSet.load(tmp_path)
    del facts[name]
    (tmp_path / "pairs.json").write_text(json.dumps(facts))
    with pytest.raises(UserInputError, match=rf"pairs\.json must hold .*'{name}'"):
        PairSet.load(tmp_path)


@pytest.mark.parametrize("name", ["pairs.parquet", "pairs.json"])
@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"a": NaN}'])
def test_a_missing_or_foreign_file_is_told_by_name(tmp_path, name, content):
    made_pairs(FRAME, pairs=20).save(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserInputError, match=name.replace(".", r"\.")):
        PairSet.load(tmp_path)


def test_an_image_paired_with_itself_is_no_pair(tmp_path):
    frame = made_pairs(FRAME, pairs=20).frame.copy()
    frame.loc[3, "other"] = frame.loc[3, "anchor"]
    with pytest.raises(ValueError, match="paired with itself"):
        PairSet(frame, "random", 0, "m")
    with pytest.raises(ValueError, match="columns must be"):
        PairSet(frame.drop(columns="kind"), "random", 0, "m")
