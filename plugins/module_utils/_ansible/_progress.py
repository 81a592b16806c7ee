# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deadlines, and the lines that a long wait shows."""

from __future__ import annotations

import time
from collections.abc import Callable

sink: Callable[[str], None] | None = None
"""Where lines of progress go: set for the time of a task that runs inside Ansible's own process, else nobody looks."""

SHORTEST_INTERVAL = 2.0
FIRST_INTERVAL = 10.0
LONGEST_INTERVAL = 60.0


def duration_text(seconds: float) -> str:
    """Returns a duration as a person says it: ``45 s``, ``3 min 20 s``, ``1 h 5 min``.

    Args:
        seconds: The duration, zero or more.
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


class Deadline:
    """A point in time that every step of a wait shares.

    Args:
        seconds: From now; the wait is over afterwards.
        clock: A monotonic clock in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._start = clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def remaining(self) -> float:
        """Returns the seconds left, never below zero."""
        return max(0.0, self.seconds - self.elapsed)

    @property
    def expired(self) -> bool:
        """True when nothing is left."""
        return self.remaining() <= 0.0


class Progress:
    """Shows the state of a wait: a line when it changes, and one now and then while it does not.

    Of states that follow each other quickly only some are shown.

    Args:
        clock: A monotonic clock in seconds.
        mask: Takes secrets out of a text.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, mask: Callable[[str], str] = str) -> None:
        self._clock = clock
        self._mask = mask
        self._start = clock()
        self._shown: str | None = None
        self._shown_at = float("-inf")
        self._interval = FIRST_INTERVAL

    def __call__(self, state: str) -> None:
        """Tells the state as it is now; call it as often as it is looked at.

        Args:
            state: What is waited for and how far it is, such as ``gpunp: Creating``.
        """
        now = self._clock()
        changed = state != self._shown
        if now - self._shown_at < (SHORTEST_INTERVAL if changed else self._interval):
            return
        self._interval = FIRST_INTERVAL if changed else min(LONGEST_INTERVAL, self._interval * 2)
        self._shown, self._shown_at = state, now
        if sink is not None:
            sink(self._mask(f"{state} ({duration_text(now - self._start)})"))
