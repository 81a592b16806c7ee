# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One line now and then for all hosts that wait, instead of a line from each."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections import Counter
from pathlib import Path

MANY = 10
"""With more hosts than this in a batch their progress is summed up."""

FIRST_INTERVAL, LONGEST_INTERVAL = 10.0, 60.0

ELAPSED = re.compile(r" \((?:\d+ (?:h|min|s) ?)+\)$")
"""How long a host has waited, which a line about many can't say."""


def fleet_summary(directory: Path, host: str, text: str) -> str | None:
    """Takes what a host shows of its progress; returns the line to show for all of them, or None when it isn't time.

    Args:
        directory: The task's own directory in the run's; it is made.
        host: The host, with the item of a loop.
        text: Its line.
    """
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        own = directory / f"host-{hashlib.sha256(host.encode()).hexdigest()[:16]}"
        written = own.with_name(f".{own.name}-{os.getpid()}")
        written.write_text(ELAPSED.sub("", text), encoding="utf-8")
        written.replace(own)
        if not _is_time(directory):
            return None
        states = Counter(path.read_text(encoding="utf-8") for path in directory.glob("host-*"))
    except OSError:
        return text
    return "; ".join(f"{state}: {count}" for state, count in states.most_common())


def _is_time(directory: Path) -> bool:
    """Says whether to show a line now, to one host only; the intervals grow."""
    numbers = [int(path.suffix[1:]) for path in directory.glob("line.*")]
    last = max(numbers, default=0)
    if last:
        shown_at = json.loads((directory / f"line.{last}").read_text(encoding="utf-8") or "0")
        if time.monotonic() - shown_at < min(LONGEST_INTERVAL, FIRST_INTERVAL * 2 ** (last - 1)):
            return False
    try:
        with (directory / f"line.{last + 1}").open("x", encoding="utf-8") as file:
            json.dump(time.monotonic(), file)
    except FileExistsError:
        return False
    return True
