# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of this machine, which may end while they are looked at."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

GONE = (FileNotFoundError, ProcessLookupError)
"""What /proc answers of a process that has ended: when a file is opened, and when it is read."""


def is_running(pid: int) -> bool:
    """Says whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except GONE:
        return False


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and theirs; none when it has ended."""
    found: list[int] = []
    with contextlib.suppress(*GONE):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(*GONE):
                for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                    found += [*descendants(int(child)), int(child)]
    return found


def kill_tree(pid: int) -> None:
    """SIGKILL to a process and all that it started: Ansible's workers lead sessions of their own since core 2.19."""
    for each in (pid, *descendants(pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
