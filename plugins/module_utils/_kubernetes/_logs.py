# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers' logs: their ends, for explanations, and the place in a log from which reading goes on."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)(?: |$)")
"""What the kubelet puts before a line with ``timestamps``, in its own time zone."""


@dataclass
class LogPlace:
    """The place in a log up to which it was read, by the time of its last line: lines are addressed, not counted.

    A log that is read again begins wherever rotation left it, and ``sinceTime`` has the precision of a second
    (kubernetes/kubernetes#77856), so lines at and before the place are recognised by their own time.

    Attributes:
        whole: The last reading came to the end of the log.
    """

    whole: bool = False
    _last: tuple[str, str] = ("", "")
    _of_last: int = 0
    _met: int = 0
    _skipping: bool = False

    def query(self) -> dict[str, Any]:
        """Begins another reading and returns its query parameters."""
        self._met, self._skipping, self.whole = 0, bool(self._last[0]), False
        return {"timestamps": True, "sinceTime": f"{self._last[0]}Z" if self._last[0] else None}

    def take(self, line: bytes) -> bytes | None:
        """Returns a line without its time; None when it was read before.

        Args:
            line: As the server sent it.
        """
        found = _STAMP.match(line)
        if found is None:
            return None if self._skipping else line
        stamp = _in_utc(found[1].decode(), (found[2] or b"").decode(), found[3].decode())
        if self._skipping:
            self._met += stamp == self._last
            if stamp < self._last or (stamp == self._last and self._met <= self._of_last):
                return None
            self._skipping = stamp == self._last
        self._of_last = self._of_last + 1 if stamp == self._last else 1
        self._last = stamp
        return line[found.end() :]


def _in_utc(second: str, fraction: str, zone: str) -> tuple[str, str]:
    """Returns the second and its nanoseconds, in a form that compares."""
    if zone not in ("Z", "+00:00"):
        when = datetime.datetime.fromisoformat(second + zone).astimezone(datetime.timezone.utc)
        second = when.strftime("%Y-%m-%dT%H:%M:%S")
    return second, fraction.ljust(9, "0")
