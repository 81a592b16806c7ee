# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deadlines and the lines of a long wait, on a clock of the test's own."""

from __future__ import annotations

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible import _progress
from hypothesis import given
from hypothesis import strategies as st


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    shown: list[str] = []
    monkeypatch.setattr(_progress, "sink", shown.append)
    return shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (3600, "1 h"), (3900, "1 h 5 min")],
)
def test_duration_text(seconds: float, text: str) -> None:
    assert _progress.duration_text(seconds) == text


def test_a_line_for_each_state_and_then_at_growing_intervals(lines: list[str]) -> None:
    clock = Clock()
    progress = _progress.Progress(clock)
    for _unused in range(300):
        progress("gpunp: Creating")
        clock.now += 1
    assert lines == [
        f"gpunp: Creating ({elapsed})"
        for elapsed in ("0 s", "10 s", "30 s", "1 min 10 s", "2 min 10 s", "3 min 10 s", "4 min 10 s")
    ]
    progress("gpunp: Succeeded")
    assert lines[-1] == "gpunp: Succeeded (5 min)"


def test_of_states_in_quick_succession_some_are_shown(lines: list[str]) -> None:
    clock = Clock()
    progress = _progress.Progress(clock)
    for step in range(50):
        progress(f"accuracy at step {step}")
        clock.now += 0.1
    assert lines == [f"accuracy at step {step} ({seconds} s)" for step, seconds in ((0, 0), (20, 2), (40, 4))]


def test_without_anybody_looking_nothing_happens() -> None:
    assert _progress.sink is None
    _progress.Progress()("gpunp: Creating")


@given(st.floats(min_value=0, max_value=1e6), st.lists(st.floats(min_value=0, max_value=1e4), max_size=20))
def test_a_deadline_never_grows(seconds: float, steps: list[float]) -> None:
    clock = Clock()
    deadline = _progress.Deadline(seconds, clock)
    left = deadline.remaining()
    assert left == seconds
    for step in steps:
        clock.now += step
        assert 0.0 <= deadline.remaining() <= left
        left = deadline.remaining()
        assert deadline.expired == (left == 0.0)
