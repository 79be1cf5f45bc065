from saga.training.phases import PhaseClock


class Ticks:
    """A clock that goes on by one with every look."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr("saga.training.phases.time.perf_counter", self)

    def __call__(self):
        self.now += 1
        return self.now


def test_a_phase_inside_another_counts_for_the_inner_one_alone(monkeypatch):
    Ticks(monkeypatch)
    clock = PhaseClock()
    with clock("replay"), clock("attention"):
        pass
    with clock("replay"):
        pass
    assert clock.seconds == {"replay": 3.0, "attention": 1.0}


def test_the_innermost_phase_is_the_one_under_way():
    clock = PhaseClock()
    assert clock.phase == "other"
    with clock("replay"):
        with clock("attention"):
            assert clock.phase == "attention"
        assert clock.phase == "replay"


def test_a_phase_that_fails_is_closed(monkeypatch):
    Ticks(monkeypatch)
    clock = PhaseClock()
    try:
        with clock("rollout"):
            raise ValueError
    except ValueError:
        pass
    with clock("dml"):
        pass
    assert clock.seconds == {"rollout": 1.0, "dml": 1.0}
    clock.reset()
    assert not clock.seconds
