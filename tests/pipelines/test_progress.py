import io

import pytest

from pipelines.progress import BarBoard, LineBoard, duration, remaining, reporter, shown


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def board() -> LineBoard:
    return LineBoard(io.StringIO(), Clock())


def lines(board: LineBoard) -> list[str]:
    return board.stream.getvalue().splitlines()  # type: ignore[attr-defined]


def test_a_log_gets_first_and_last_line_and_few_between(board):
    for done in range(101):
        board.update("train", done, 100)
        board.clock.now += 1.0
    shown_at = [int(line.split(": ")[1].split(" ")[0]) for line in lines(board)]
    assert shown_at == [0, 15, 30, 45, 60, 75, 90, 100]


def test_the_time_left_follows_from_the_pace_so_far(board):
    board.update("train", 20, 100)  # resumed: these took none of our time
    board.clock.now += 30
    board.update("train", 40, 100, "reward 0.7")
    board.clock.now += 90
    board.update("train", 100, 100)
    assert lines(board) == [
        "train: 20 of 100",
        "train: 40 of 100, about 1 min 30 s left, reward 0.7",
        "train: 100 of 100",
    ]


def test_a_task_that_comes_again_starts_anew(board):
    board.update("embed", 1, 2)
    board.clock.now += 1000
    board.update("embed", 2, 2)
    board.clock.now += 1
    board.update("embed", 1, 2)
    board.clock.now += 20
    board.update("embed", 1, 2)
    assert lines(board) == ["embed: 1 of 2", "embed: 2 of 2", "embed: 1 of 2", "embed: 1 of 2"]


def test_two_tasks_do_not_disturb_each_other(board):
    board.update("a", 0, 9)
    board.update("b", 0, 9)
    board.update("a", 1, 9)
    assert lines(board) == ["a: 0 of 9", "b: 0 of 9"]


def test_reports_go_to_the_board_that_is_up_and_nowhere_when_none_is():
    report, stream = reporter("work"), io.StringIO()
    report(1, 2)
    with shown(stream):
        report(1, 2, "note")
    report(2, 2)
    assert stream.getvalue() == "work: 1 of 2, note\n"


def test_a_board_goes_down_also_when_the_work_fails():
    stream = io.StringIO()
    with pytest.raises(ZeroDivisionError), shown(stream):
        raise ZeroDivisionError
    reporter("work")(1, 2)
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar_per_task():
    terminal = Terminal()
    with shown(terminal):
        report = reporter("train [odd] name")
        report(1, 4)
        report(4, 4, "[reward] 0.5")
    for text in ("train [odd] name", "4/4", "[reward] 0.5"):
        assert text in terminal.getvalue()


def test_the_bar_of_a_task_that_comes_again_starts_anew():
    class Display:
        calls: list[str] = []

        def add_task(self, name, total, note):
            self.calls.append("add")
            return 7

        def reset(self, task):
            self.calls.append("reset")

        def update(self, task, completed, total, note):
            self.calls.append(f"{task}: {completed}/{total}")

    bars = BarBoard(Display())
    for done in (1, 2, 1, 2):
        bars.update("embed", done, 2)
    assert Display.calls == ["add", "7: 1/2", "7: 2/2", "reset", "7: 1/2", "7: 2/2"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (0.4, "0 s"), (59.6, "1 min 0 s"), (130, "2 min 10 s"), (3_900, "1 h 5 min")],
)
def test_a_duration_in_words(seconds, words):
    assert duration(seconds) == words


def test_nothing_is_known_before_the_first_unit():
    assert remaining(0, 10, 5.0) == remaining(3, 10, 0.0) == ""
    assert remaining(5, 10, 20.0) == "20 s"
