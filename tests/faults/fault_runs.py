# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all cells of the fault matrix share: how a request is broken, and what must come of the run that made it.

A cell ends converged, or with a clear error within the deadline. Then the fault is over, and the same tasks, run again,
converge: in the same run of ansible-playbook where the first ones did, in a second one where they failed.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from processes import kill_tree

from playbooks import Ansible, Ran, Started

Json = dict[str, Any]

DEADLINE_SECONDS = 15
ALLOWANCE_SECONDS = 15.0
"""For Ansible's start and the other tasks, on a busy machine."""

PATIENCE_SECONDS = 60.0
"""After which a request that hangs is given up and made again by a module that has no deadline of its own."""

LIMIT_SECONDS = 120.0
"""After which a run is taken to be without end: the deadline of one task, and what comes before and after it."""


@dataclass(frozen=True)
class Fault:
    """One way to break a request.

    Attributes:
        name: The column.
        rule: Fields of the sandbox's rule.
        codes: Words of the server's error, one of which a failed task has to name.
        only: The requests that can be broken so, as `applies` of the side knows them; empty: all.
        way_out: Options with which a user runs again, as the error told them to.
        kill: Kill ansible-playbook when the request has arrived.
    """

    name: str
    rule: Json
    codes: tuple[str, ...] = ()
    only: str = ""
    way_out: Json = field(default_factory=dict)
    kill: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a cell.

    Attributes:
        converged: The first run did all that was to be done.
        seconds: Of the first run.
        problems: What is not as it must be; empty when all is well.
        message: The error of the first run.
    """

    converged: bool
    seconds: float
    problems: tuple[str, ...]
    message: str = ""


class Side(Protocol):
    """One of the two servers whose requests are broken."""

    def faults(self) -> list[Json]:
        """The planted faults, with how often each hit."""

    def clear_faults(self) -> None:
        """End them."""

    def accidents(self) -> list[str]:
        """What a run must never do, however it ends."""

    def differences(self, message: str) -> list[str]:
        """What is not as it has to be in the end, nor announced by the first run's error."""


def run_cell(
    tasks: Sequence[Json],
    again: Callable[[bool], list[Json]],
    fault: Fault,
    allowed: float,
    side: Side,
    ansible: Ansible,
) -> Outcome:
    """Run tasks with a planted fault, look, end the fault, run them again, and look again.

    Args:
        tasks: As in a playbook.
        again: The tasks of the second run; told whether the first one failed.
        fault: The fault that has been planted.
        allowed: Seconds that the first run may take.
        side: Where it was planted.
        ansible: Runs the tasks.
    """
    number = len(tasks)
    first = ansible.run(
        list(tasks) if fault.kill else [*tasks, *again(False)],
        limit=LIMIT_SECONDS,
        while_running=(lambda process: _kill(process, side)) if fault.kill else None,
    )
    hit = bool(side.faults()[0]["hits"])
    side.clear_faults()
    problems = [] if hit else ["the request was never made"]
    converged = not fault.kill and [task["status"] for task in first.tasks[:number]] == ["ok"] * number
    problems += side.accidents()
    if converged:
        if first.status != 0:
            problems.append(f"the second time it failed: {message_of(first)}")
        changed = [
            done["task"]
            for done, task in zip(first.tasks[number:], tasks, strict=False)
            if done["result"].get("changed") and not task.get("check_mode") and "aks.gpu.gpu_probe" not in task
        ]
        if changed:
            problems.append(f"the second time it changed {', '.join(changed)}")
    else:
        problems += _problems_of_failed(first, fault)
        second = ansible.run(again(first.status != 0 and not fault.kill), limit=LIMIT_SECONDS)
        if second.status != 0:
            problems.append(f"the second run failed: {message_of(second)}")
    if first.seconds > allowed:
        problems.append(f"it took {first.seconds:.0f} s")
    if "Traceback" in first.output:
        problems.append("a traceback")
    message = "" if converged else message_of(first)
    problems += [f"after the second run {text}" for text in side.differences(message)]
    return Outcome(converged, first.seconds, tuple(problems), message)


def _kill(process: Started, side: Side) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not side.faults()[0]["hits"] and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    kill_tree(process.pid)


def _problems_of_failed(ran: Ran, fault: Fault) -> list[str]:
    if fault.kill:
        return [] if ran.status == -signal.SIGKILL else [f"it ended by itself with {ran.status}"]
    if ran.status is None:
        return [f"it did not end within {LIMIT_SECONDS:.0f} s"]
    problems = []
    message = message_of(ran)
    if fault.codes and not any(code in message for code in fault.codes):
        problems.append(f"the error has none of {', '.join(fault.codes)}: {message}")
    if not message or "Unexpected" in message:
        problems.append(f"no clear error: {message or ran.output[-400:]}")
    return problems


def message_of(ran: Ran) -> str:
    """The error of the last task."""
    return " ".join(str((ran.last or {}).get("msg", "") if ran.last else ran.output[-400:]).split())
