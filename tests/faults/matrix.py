# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make faults`: every request of creating, changing and deleting a GPU pool, broken in every way, and a table.

A cell says `ok` when the run converged all the same, `error` when it ended with a clear error, each with its seconds;
either way a second run converged, and no pool was duplicated, deleted or scaled by accident. `BAD` is explained below
the table, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import os
import queue
import sys
import threading
import time
from pathlib import Path

from emulated import Emulated, emulated
from environment import link_collection, say
from fault_cells import FAULTS, JOBS, REQUESTS, Fault, Job, Outcome, applies, requests_of, run_cell
from peers import print_table

from playbooks import Ansible, without_foreign_settings

QUICK = {"clock_speed": 20.0, "throttles": False}
Cell = tuple[str, str, str]


class Sandboxes:
    """As many sandboxes as cells run at a time, each with Ansible."""

    def __init__(self, stack: contextlib.ExitStack, number: int) -> None:
        self._free: queue.Queue[tuple[Emulated, Ansible]] = queue.Queue()
        for index in range(number):
            azure = stack.enter_context(emulated(name=f"faults-{os.getpid()}-{index}"))
            azure.set(**QUICK)
            environment = {**without_foreign_settings(), **azure.environment}
            self._free.put((azure, Ansible(Path(sys.executable), link_collection(), environment)))

    @contextlib.contextmanager
    def one(self):  # type: ignore[no-untyped-def]
        """A sandbox that nobody else uses meanwhile."""
        taken = self._free.get()
        try:
            yield taken
        finally:
            self._free.put(taken)


def run(chosen: set[str], workers: int) -> int:
    """Run the cells, print the table, and return the exit status."""
    began = time.monotonic()
    outcomes: dict[Cell, Outcome] = {}
    with contextlib.ExitStack() as stack:
        sandboxes = Sandboxes(stack, workers)
        rows: list[tuple[Job, str]] = []
        for job in JOBS:
            with sandboxes.one() as (azure, ansible):
                rows += [(job, request) for request in requests_of(job, azure, ansible)]
        cells = [
            (job, request, fault)
            for job, request in rows
            for fault in FAULTS
            if applies(fault, request) and _chosen(chosen, job, request, fault)
        ]
        say(f"  {len(rows)} requests, {len(cells)} cells, {workers} at a time")
        lock = threading.Lock()

        def work(job: Job, request: str, fault: Fault) -> None:
            with sandboxes.one() as (azure, ansible):
                try:
                    outcome = run_cell(job, request, fault, azure, ansible)
                except AssertionError as error:
                    outcome = Outcome(converged=False, seconds=0.0, problems=(str(error),))
            with lock:
                outcomes[job.name, request, fault.name] = outcome
                say(f"[{len(outcomes):3}/{len(cells)}] {job.name}, {request}, {fault.name}: {_word(outcome)}")

        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(work, *cell) for cell in cells]:
                done.result()
    _table(rows, outcomes)
    bad = {cell: outcome for cell, outcome in outcomes.items() if outcome.problems}
    for cell, outcome in bad.items():
        say(f"BAD  {', '.join(cell)}: {'; '.join(outcome.problems)}")
    converged = sum(outcome.converged and not outcome.problems for outcome in outcomes.values())
    ended = len(outcomes) - converged - len(bad)
    say(
        f"\n{len(outcomes)} cells: {converged} converged at once, {ended} ended with a clear error or were killed and"
        f" converged at the second run, {len(bad)} bad ({time.monotonic() - began:.0f} s)"
    )
    return 1 if bad else 0


def _chosen(chosen: set[str], job: Job, request: str, fault: Fault) -> bool:
    return not chosen or bool(chosen & {job.name, request, fault.name, f"{job.name}/{request}/{fault.name}"})


def _word(outcome: Outcome) -> str:
    if outcome.problems:
        return "BAD"
    return f"{'ok' if outcome.converged else 'error'} {outcome.seconds:.0f}"


def _table(rows: list[tuple[Job, str]], outcomes: dict[Cell, Outcome]) -> None:
    table = []
    for job, request in rows:
        line = [f"{job.name}: {REQUESTS[request][0]} {request}"]
        for fault in FAULTS:
            outcome = outcomes.get((job.name, request, fault.name))
            if outcome is None:
                line.append("-")
            elif fault.kill and not outcome.problems:
                line.append("resumed")
            else:
                line.append(_word(outcome))
        table.append(tuple(line))
    say("")
    print_table(("request", *(fault.name for fault in FAULTS)), table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="matrix.py", description=__doc__)
    parser.add_argument("cells", nargs="*", help="only these: a job, a request, a fault, or JOB/REQUEST/FAULT")
    parser.add_argument("--workers", type=int, default=2, help="cells at a time (default: %(default)s)")
    options = parser.parse_args()
    return run(set(options.cells), options.workers)


if __name__ == "__main__":
    sys.exit(main())
