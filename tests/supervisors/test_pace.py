from saga.supervisors.pace import BUCKETS, EXACT


def test_exact_room_is_the_number_of_tokens():
    assert [EXACT.room(t, 40) for t in (1, 2, 39)] == [1, 2, 39]


def test_bucketed_room_grows_in_steps_up_to_the_limit():
    assert [BUCKETS.room(t, 300) for t in (1, 128, 129, 257)] == [128, 128, 256, 300]


def test_exact_rows_stay_until_a_quarter_has_ended():
    assert [EXACT.rows(alive, 8) for alive in (8, 7, 6, 1)] == [8, 8, 6, 1]


def test_halved_rows_hold_all_that_are_alive():
    assert [BUCKETS.rows(alive, 12) for alive in (12, 7, 6, 4, 3, 2, 1)] == [12, 12, 6, 6, 3, 2, 1]
    assert BUCKETS.rows(1, 1) == 1
