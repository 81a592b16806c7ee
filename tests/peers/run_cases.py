# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one case through one module, on the sandbox."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any

from cases import Case, Observation
from emulated import CLUSTER, RESOURCE_GROUP, Emulated, is_pool_write

from playbooks import Ansible

Json = dict[str, Any]

POOL = "gpunp"
QUICK = {"clock_speed": 20.0, "throttles": False}
LIMIT_SECONDS = 45.0
"""After which a task is taken to be without end: what the sandbox does in a case takes a second."""


@dataclass(frozen=True)
class Contestant:
    """A collection whose modules are run.

    Attributes:
        name: The collection.
        ansible: The installation that has it.
        ours: True for the collection under test.
    """

    name: str
    ansible: Ansible
    ours: bool

    def module(self, case: Case) -> str | None:
        """The module that the case is for, None when the collection has none."""
        if self.ours:
            return f"{self.name}.{case.ours}"
        folder = self.ansible.collections.joinpath("ansible_collections", *self.name.split("."), "plugins", "modules")
        found = sorted(path.stem for path in folder.glob(f"{case.peer}.py"))
        return f"{self.name}.{found[0]}" if found else None

    def task(self, case: Case) -> Json | None:
        """The case's task; None when the collection has no module for it."""
        module = self.module(case)
        if module is None:
            return None
        options = {**case.asked, **(case.ours_only if self.ours else {})}
        if case.ours == "node_pool":
            options = {"resource_group": RESOURCE_GROUP, "cluster_name": CLUSTER, "name": POOL, **options}
        elif case.ours == "kubeconfig":
            options = {"resource_group": RESOURCE_GROUP, "cluster_name": CLUSTER, **options}
        return {"name": case.name, module: options}


def observe(case: Case, contestant: Contestant, azure: Emulated, limit: float = LIMIT_SECONDS) -> Observation:
    """Bring about what is there before, run the task, and look at what came of it. Leaves the sandbox clean."""
    task = contestant.task(case)
    if task is None:
        return Observation(None, 0.0, missing="no module")
    settings = azure.state.request("GET", "/settings")["settings"]
    path = azure.pool_path(POOL)
    azure.set(**QUICK, **case.settings)
    try:
        before = _prepared(case, azure, path)
        _plant(case.faults, azure, path)
        mark = azure.mark()
        began = time.monotonic()
        ran = contestant.ansible.run([task], "--diff", *(["--check"] if case.check else []), limit=limit)
        seconds = time.monotonic() - began
        writes = tuple(each for each in azure.sent(mark) if is_pool_write(each, path))
        azure.clear_faults()
        if ran.status is not None and ran.last is None:
            raise AssertionError(f"{case.name}: no task ended:\n{ran.output}")
        return Observation(
            ran.last if ran.status is not None else None, seconds, writes, before, copy.deepcopy(azure.pool(POOL))
        )
    finally:
        azure.clear_faults()
        azure.remove_pools()
        azure.set(**settings)


def _prepared(case: Case, azure: Emulated, path: str) -> Json | None:
    if case.there is None:
        return None
    _plant(case.broken, azure, path)
    azure.make_pool(POOL, case.there)
    azure.clear_faults()
    if case.touched:
        azure.act("pool", cluster=CLUSTER, pool=POOL, properties=case.touched)
    return azure.pool(POOL)


def _plant(rules: tuple[Json, ...], azure: Emulated, path: str) -> None:
    for rule in rules:
        azure.fault({**rule, "path": rule["path"].replace("{pool}", path + r"(\?|$)")})
