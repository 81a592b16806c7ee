# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong, in words: one value for every finding, and how long it has lasted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._text import one_line


class Permanence(Enum):
    """What becomes of a problem when one waits."""

    PERMANENT = "none"
    """It stays; waiting is of no use."""

    UNCERTAIN = "little"
    """It may go away, but after a while of grace nobody believes it."""

    TRANSIENT = "good"
    """It is a part of getting there, such as a node that boots."""


@dataclass(frozen=True)
class LogReference:
    """The end of a container's log that belongs to a problem.

    Attributes:
        namespace: Of the Pod.
        pod: Its name.
        container: The container.
        previous: The log of the container that ended before the one of now.
        instance: Changes when there is a new log to read.
    """

    namespace: str
    pod: str
    container: str
    previous: bool
    instance: str


@dataclass(frozen=True)
class Problem:
    """One finding.

    Attributes:
        subject: What has it, such as ``Node aks-gpunp-12345678-vmss000000``.
        cause: A word for programs, such as ``NotReady``.
        message: The cluster's own words where it has some, made one line.
        advice: What to do; empty where waiting is all there is to do.
        permanence: What becomes of it.
        log: The log whose end explains it.
        log_tail: The end of that log, once it was read.
        blocking: False for what is worth saying, but does not keep GPUs from working.
    """

    subject: str
    cause: str
    message: str
    advice: str = ""
    permanence: Permanence = Permanence.TRANSIENT
    log: LogReference | None = None
    log_tail: tuple[str, ...] = ()
    blocking: bool = True

    def __post_init__(self) -> None:
        """Makes the message one line: one of several could look like a line of Ansible's own."""
        object.__setattr__(self, "message", one_line(self.message))

    @property
    def key(self) -> tuple[str, str]:
        """The same for the same problem, whatever its message says at the moment."""
        return self.subject, self.cause

    def text(self) -> str:
        """Returns the finding as a sentence or two."""
        parts = [f"{self.subject}: {self.message.strip().rstrip('.')}."]
        if self.log_tail:
            parts.append("Its log ends: " + " | ".join(self.log_tail) + ".")
        if self.advice:
            parts.append(self.advice)
        return " ".join(parts)

    def as_result(self) -> dict[str, Any]:
        """Returns the finding as a return value."""
        return {
            "subject": self.subject,
            "cause": self.cause,
            "message": self.message,
            "advice": self.advice,
            "permanent": self.permanence is Permanence.PERMANENT,
            "log_tail": list(self.log_tail),
        }


class GraceTracker:
    """Remembers since when each problem is there.

    Args:
        grace: Seconds after which a problem with little hope has none; or a function of the problem that says so.
        clock: A monotonic clock in seconds.
    """

    def __init__(self, grace: float | Callable[[Problem], float], clock: Callable[[], float] = time.monotonic) -> None:
        self._grace: Callable[[Problem], float] = grace if callable(grace) else lambda problem: float(grace)
        self._clock = clock
        self._since: dict[tuple[str, str], float] = {}

    def expired(self, problems: Iterable[Problem]) -> list[Problem]:
        """Returns the problems that waiting will not end.

        Args:
            problems: All there are now. One that is not among them is forgotten.
        """
        now = self._clock()
        problems = list(problems)
        self._since = {problem.key: self._since.get(problem.key, now) for problem in problems}
        return [
            problem
            for problem in problems
            if problem.permanence is Permanence.PERMANENT
            or (problem.permanence is Permanence.UNCERTAIN and now - self._since[problem.key] >= self._grace(problem))
        ]
