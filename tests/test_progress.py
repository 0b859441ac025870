"""Progress says how far a step is and about how long the rest takes, by work; log lines are never broken by it."""

import io
import logging
import re
import sys
import time

import pytest
from rich.console import Console

from oresight.flows.commands import output
from oresight.flows.commands.output import LogLines
from oresight.tasks.pages.texts import visible
from oresight.tasks.runs import progress as module
from oresight.tasks.runs.progress import Progress, duration, log, progress


def after(seconds: float, state: Progress) -> Progress:
    state.started = time.monotonic() - seconds
    return state


def test_the_time_that_is_left_is_by_work_and_the_count_is_of_rows() -> None:
    state = after(60, Progress("score", 4000, "rows", work=1000))
    assert str(state) == "0 of 4,000 rows"
    state.advance(1200, 250)
    assert str(state) == "1,200 of 4,000 rows, about 3 min left"
    state.advance(2800, 750)
    assert str(state) == "4,000 of 4,000 rows"


def test_what_needed_no_work_is_no_part_of_the_estimate() -> None:
    state = after(60, Progress("settle", 10, "finetunes", work=None))
    state.advance(7, 0)
    assert str(state) == "7 of 10 finetunes"
    state.advance(1)
    assert str(state) == "8 of 10 finetunes, about 2 min left"


def test_bytes_are_shown_in_their_units() -> None:
    state = after(8, Progress("support", 3_400_000_000, "bytes", work=None))
    state.advance(1_700_000_000)
    assert str(state) == "1.7 GB of 3.4 GB read, about 10 s left"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.1, "10 s"), (41, "50 s"), (100, "2 min"), (5000, "83 min"), (7900, "2 h 10 min")]
)
def test_times_are_those_of_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_without_a_terminal_a_line_is_logged_every_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "EVERY_S", 0.05)
    with caplog.at_level(logging.INFO, "oresight"), progress("score", 40, "rows", work=100) as advance:
        monkeypatch.setattr(log(), "propagate", True)
        advance(12, 25)
        time.sleep(0.3)
    lines = [record.getMessage() for record in caplog.records]
    assert 2 <= len(lines) <= 7 and set(lines) == {"score: 12 of 40 rows, about 10 s left"}


def test_on_a_terminal_log_lines_stand_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=60, legacy_windows=False, _environ={"TERM": "xterm"})
    for place in (module, output):
        monkeypatch.setattr(place, "CONSOLE", console)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    handler, line = LogLines(), "a line that is longer than the terminal is wide, and holds \x1b]0;a title\x07"
    log().addHandler(handler)
    try:
        with progress("score", 40) as advance:
            advance(12)
            log().warning(line)
            time.sleep(0.4)
    finally:
        log().removeHandler(handler)
    printed = screen.getvalue()
    assert "12 of 40 rows" in printed and "\x1b]0;" not in printed
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed)
    assert visible(line) in plain.split("\n") or f"\r{visible(line)}\n" in plain
