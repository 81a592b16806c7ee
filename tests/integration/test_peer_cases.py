# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What azure.azcollection's module for node pools gets wrong, ours gets right; `make peers` shows both."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cases import CASES, Case, Observation, shortcomings
from emulated import Emulated, emulated
from environment import COLLECTIONS
from run_cases import Contestant, observe

from playbooks import Ansible, without_foreign_settings


@pytest.fixture(scope="module")
def azure() -> Iterator[Emulated]:
    with emulated("--clusters", str(len(CASES))) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def ours(azure: Emulated) -> Contestant:
    environment = {**without_foreign_settings(), **azure.environment}
    return Contestant("aks.gpu", Ansible(Path(sys.executable), COLLECTIONS, environment, by_server=True), ours=True)


@pytest.fixture(scope="module")
def observations(azure: Emulated, ours: Contestant) -> dict[str, Observation]:
    """All cases that need no run of their own, in one run of Ansible."""
    together = [case for case in CASES if not case.alone]
    return dict(zip((case.name for case in together), observe(together, ours, azure), strict=True))


@pytest.mark.parametrize("case", [case for case in CASES if not case.alone], ids=lambda case: case.name)
def test_right(case: Case, observations: dict[str, Observation]) -> None:
    seen = observations[case.name]
    assert not shortcomings(case, seen), seen.result


@pytest.mark.parametrize("case", [case for case in CASES if case.alone], ids=lambda case: case.name)
def test_right_in_time(case: Case, azure: Emulated, ours: Contestant) -> None:
    seen = observe([case], ours, azure)[0]
    assert not shortcomings(case, seen), seen.result
