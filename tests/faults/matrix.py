# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make faults`: every request of the main job, to Azure and to the API server, broken in every way; and two tables.

A cell says `ok` when the run converged all the same, `error` when it ended with a clear error, each with its seconds,
and `resumed` when ansible-playbook was killed; in each case the same tasks, run again, converged and changed nothing
more, and nothing was duplicated, deleted or scaled by accident. `BAD` is explained below the tables, and the exit
status is 1.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fault_cells as azure_side
import kubernetes_cells as kubernetes_side
from emulated import emulated
from environment import link_collection, say
from fault_runs import Fault, Outcome
from peers import print_table

from playbooks import Ansible, without_foreign_settings

QUICK = {"clock_speed": 20.0, "throttles": False}
Cell = tuple[str, str, str]


class Places:
    """As many places, each a sandbox and Ansible in it, as cells run at a time."""

    def __init__(self) -> None:
        self._free: queue.Queue[Any] = queue.Queue()

    def add(self, place: Any) -> None:
        """One more."""
        self._free.put(place)

    @contextlib.contextmanager
    def one(self) -> Iterator[Any]:
        """A place that nobody else uses meanwhile."""
        taken = self._free.get()
        try:
            yield taken
        finally:
            self._free.put(taken)


@dataclass
class Matrix:
    """One of the two tables.

    Attributes:
        title: Said above it.
        faults: The columns.
        rows: Requests by the job that makes them.
        cells: Those of the cells that are chosen, each with what runs it at a place.
    """

    title: str
    faults: Sequence[Fault]
    places: Places
    rows: list[tuple[str, str]] = field(default_factory=list)
    cells: dict[Cell, Callable[[Any], Outcome]] = field(default_factory=dict)


def ansible_in(variables: dict[str, str]) -> Ansible:
    """Ansible in a sandbox, with nothing of the user's."""
    return Ansible(Path(sys.executable), link_collection(), {**without_foreign_settings(), **variables}, by_server=True)


def of_azure(stack: contextlib.ExitStack, workers: int, chosen: set[str]) -> Matrix:
    """The requests to Resource Manager, found by running each job once."""
    matrix = Matrix("Azure", azure_side.FAULTS, Places())
    for index in range(workers):
        azure = stack.enter_context(emulated(name=f"faults-{os.getpid()}-{index}"))
        azure.set(**QUICK)
        matrix.places.add((azure, ansible_in(azure.environment)))
    for job in azure_side.JOBS:
        with matrix.places.one() as (azure, ansible):
            requests = azure_side.requests_of(job, azure, ansible)
        for request in requests:
            matrix.rows.append((job.name, request))
            for fault in matrix.faults:
                cell = (job.name, request, fault.name)
                if azure_side.applies(fault, request) and _is_chosen(chosen, cell):
                    matrix.cells[cell] = _bound(azure_side.run_cell, job, request, fault)
    return matrix


def of_kubernetes(stack: contextlib.ExitStack, workers: int, chosen: set[str]) -> Matrix:
    """The requests to the API server, each kind in the parts that `has_row` says; the main job makes no others."""
    matrix = Matrix("Kubernetes", kubernetes_side.FAULTS, Places())
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aks-gpu-faults-")))
    for index in range(workers):
        sandbox = stack.enter_context(kubernetes_side.kubernetes_sandbox(f"faults-kubernetes-{index}"))
        own = folder / str(index)
        own.mkdir()
        ansible = ansible_in(sandbox.variables)
        matrix.places.add((kubernetes_side.Cluster(sandbox, own, ansible), ansible))
    for part in kubernetes_side.PARTS:
        with matrix.places.one() as (cluster, ansible):
            requests = kubernetes_side.requests_of(part, cluster, ansible)
        known = {request for _part, request in matrix.rows}
        for request in requests:
            if not kubernetes_side.has_row(part, request, known):
                continue
            matrix.rows.append((part.name, request))
            for fault in matrix.faults:
                cell = (part.name, request, fault.name)
                if kubernetes_side.applies(fault, request) and _is_chosen(chosen, cell):
                    matrix.cells[cell] = _bound(kubernetes_side.run_kubernetes_cell, part, request, fault)
    with matrix.places.one() as (cluster, ansible):
        known = {request for _part, request in matrix.rows}
        made = kubernetes_side.requests_of_main_job(cluster, ansible, folder)
    if made - known:
        raise AssertionError(f"the main job makes requests that no row has: {', '.join(sorted(made - known))}")
    say(f"  aks.gpu.site and aks.gpu.cleanup make {len(made)} kinds of requests to the API server; all have a row")
    return matrix


def _bound(run: Callable[..., Outcome], *what: Any) -> Callable[[Any], Outcome]:
    return lambda place: run(*what, *place)


def run(chosen: set[str], workers: int, sides: Sequence[str]) -> int:
    """Run the cells, print the tables, and return the exit status."""
    began = time.monotonic()
    outcomes: dict[Cell, Outcome] = {}
    with contextlib.ExitStack() as stack:
        makers = {"azure": of_azure, "kubernetes": of_kubernetes}
        matrices = [makers[side](stack, workers, chosen) for side in sides]
        number = sum(len(matrix.cells) for matrix in matrices)
        say(f"  {sum(len(matrix.rows) for matrix in matrices)} requests, {number} cells, {workers} at a time")
        lock = threading.Lock()

        def work(matrix: Matrix, cell: Cell) -> None:
            with matrix.places.one() as place:
                try:
                    outcome = matrix.cells[cell](place)
                except AssertionError as error:
                    outcome = Outcome(converged=False, seconds=0.0, problems=(str(error),))
            with lock:
                outcomes[cell] = outcome
                words = " ".join([_word(outcome), *outcome.problems])
                say(f"[{len(outcomes):3}/{number}] {', '.join(cell)}: {words}")

        for matrix in matrices:
            with concurrent.futures.ThreadPoolExecutor(workers) as pool:
                for done in [pool.submit(work, matrix, cell) for cell in matrix.cells]:
                    done.result()
    for matrix in matrices:
        _table(matrix, outcomes)
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


def _is_chosen(chosen: set[str], cell: Cell) -> bool:
    return not chosen or bool(chosen & {*cell, "/".join(cell)})


def _word(outcome: Outcome) -> str:
    if outcome.problems:
        return "BAD"
    return f"{'ok' if outcome.converged else 'error'} {outcome.seconds:.0f}"


def _table(matrix: Matrix, outcomes: dict[Cell, Outcome]) -> None:
    table = []
    for job, request in matrix.rows:
        line = [f"{job}: {request}"]
        for fault in matrix.faults:
            outcome = outcomes.get((job, request, fault.name))
            if outcome is None:
                line.append("-")
            elif fault.kill and not outcome.problems:
                line.append("resumed")
            else:
                line.append(_word(outcome))
        table.append(tuple(line))
    say("")
    print_table((matrix.title, *(fault.name for fault in matrix.faults)), table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="matrix.py", description=__doc__)
    parser.add_argument("cells", nargs="*", help="only these: a job, a request, a fault, or JOB/REQUEST/FAULT")
    parser.add_argument("--workers", type=int, default=3, help="cells at a time (default: %(default)s)")
    parser.add_argument("--side", choices=("azure", "kubernetes"), help="only the requests to one of the two")
    options = parser.parse_args()
    return run(set(options.cells), options.workers, [options.side] if options.side else ["azure", "kubernetes"])


if __name__ == "__main__":
    sys.exit(main())
