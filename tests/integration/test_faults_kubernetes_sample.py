# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sample of the fault matrix's requests to the API server; `make faults` runs all of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from environment import COLLECTIONS
from kubernetes_cells import FAULTS, PARTS, Cluster, kubernetes_sandbox, run_kubernetes_cell

from playbooks import Ansible, without_foreign_settings

SAMPLE = (
    ("plug", "apply namespaces", "reset after"),
    ("plug", "apply daemonsets", "hang"),
    ("prove", "watch nodes", "410"),
    ("prove", "list pods", "503"),
    ("prove", "delete jobs", "429 after"),
    ("train", "follow log", "reset after"),
    ("train", "watch jobs of a namespace", "killed"),
    ("far", "run another command", "503"),
    ("remove", "delete daemonsets", "reset before"),
    ("remove", "list contents of a namespace", "expired"),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Ansible]]:
    with kubernetes_sandbox("faults-sample") as sandbox:
        ansible = Ansible(
            Path(sys.executable), COLLECTIONS, {**without_foreign_settings(), **sandbox.variables}, by_server=True
        )
        yield Cluster(sandbox, tmp_path_factory.mktemp("kubeconfig"), ansible), ansible


@pytest.mark.parametrize(("part", "request_kind", "fault"), SAMPLE, ids=["/".join(cell) for cell in SAMPLE])
def test_converges(part: str, request_kind: str, fault: str, place: tuple[Cluster, Ansible]) -> None:
    parts = {each.name: each for each in PARTS}
    faults = {each.name: each for each in FAULTS}
    outcome = run_kubernetes_cell(parts[part], request_kind, faults[fault], *place)
    assert not outcome.problems
    if fault not in ("expired", "killed"):
        assert outcome.converged, outcome.message
