# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sample of the fault matrix, one cell for each fault; `make faults` runs all of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulated import Emulated, emulated
from environment import COLLECTIONS
from fault_cells import FAULTS, JOBS, run_cell

from playbooks import Ansible, without_foreign_settings

SAMPLE = (
    ("update", "put pool", "429 after"),
    ("update", "get pool", "503"),
    ("create", "put pool", "reset after"),
    ("update", "put pool", "409"),
    ("update", "put pool", "412"),
    ("update", "put pool", "etag"),
    ("delete", "delete pool", "etag"),
    ("create", "put pool", "busy"),
    ("create", "operation", "free text"),
    ("delete", "delete pool", "expired"),
    ("delete", "delete pool", "endless"),
    ("create", "put pool", "fails"),
    ("create", "put pool", "killed"),
)


@pytest.fixture(scope="module")
def azure() -> Iterator[Emulated]:
    with emulated() as sandbox:
        sandbox.set(clock_speed=20.0)
        yield sandbox


@pytest.fixture(scope="module")
def playbooks(azure: Emulated) -> Ansible:
    return Ansible(
        Path(sys.executable), COLLECTIONS, {**without_foreign_settings(), **azure.environment}, by_server=True
    )


@pytest.mark.parametrize(("job", "request_kind", "fault"), SAMPLE, ids=["/".join(cell) for cell in SAMPLE])
def test_converges(job: str, request_kind: str, fault: str, azure: Emulated, playbooks: Ansible) -> None:
    jobs = {each.name: each for each in JOBS}
    faults = {each.name: each for each in FAULTS}
    outcome = run_cell(jobs[job], request_kind, faults[fault], azure, playbooks)
    assert not outcome.problems
    if fault not in ("endless", "fails", "killed"):
        assert outcome.converged, outcome.message
