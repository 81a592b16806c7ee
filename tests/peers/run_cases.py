# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs cases through the modules of a collection, on the sandbox."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from cases import Case, Observation
from emulated import RESOURCE_GROUP, Emulated, is_pool_write

from playbooks import Ansible

Json = dict[str, Any]

POOL = "gpunp"
QUICK = {"clock_speed": 20.0, "throttles": False, "retry_after_seconds": 1}
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

    def version(self) -> str:
        """The collection's version."""
        folder = self.ansible.collections.joinpath("ansible_collections", *self.name.split("."))
        manifest = folder / "MANIFEST.json"
        if manifest.exists():
            return str(json.loads(manifest.read_text())["collection_info"]["version"])
        return str(yaml.safe_load((folder / "galaxy.yml").read_text())["version"])

    def task(self, case: Case, cluster: str) -> Json | None:
        """The case's task on a cluster; None when the collection has no module for it."""
        module = self.module(case)
        if module is None:
            return None
        options = {**case.asked, **(case.ours_only if self.ours else {})}
        if case.ours in ("node_pool", "kubeconfig"):
            options = {"resource_group": RESOURCE_GROUP, "cluster_name": cluster, **options}
        if case.ours == "node_pool":
            options = {"name": POOL, **options}
        keywords = {"check_mode": case.check, "diff": True, "ignore_errors": True}
        return {"name": case.name, module: options, **keywords}


def observe(
    cases: Sequence[Case], contestant: Contestant, azure: Emulated, limit: float = LIMIT_SECONDS
) -> list[Observation]:
    """Bring about what is there before, run the tasks, and look at what came of each.

    Args:
        cases: Run in one run of Ansible, each on a cluster of its own.
        contestant: Whose modules are run.
        azure: A sandbox with at least so many clusters; it is left clean.
        limit: Seconds for each case.
    """
    settings = azure.state.request("GET", "/settings")["settings"]
    clusters = list(azure.clusters())[: len(cases)]
    tasks = [contestant.task(case, cluster) for case, cluster in zip(cases, clusters, strict=True)]
    azure.set(**QUICK)
    for case in cases:
        azure.set(**case.settings)
    try:
        before = _prepared(cases, azure, clusters)
        for case, cluster in zip(cases, clusters, strict=True):
            _plant(case.faults, azure, cluster)
        mark = azure.mark()
        ran = contestant.ansible.run([task for task in tasks if task], limit=limit * len(cases))
        sent = azure.sent(mark)
        results = {task["task"]: {**task["result"], "failed": task["status"] == "ignored"} for task in ran.tasks}
        if ran.status and not results:
            raise AssertionError(f"no task ended:\n{ran.output}")
        return [
            Observation(
                result=results.get(case.name),
                seconds=ran.seconds if len(cases) == 1 else 0.0,
                writes=tuple(each for each in sent if is_pool_write(each, azure.pool_path(POOL, cluster))),
                before=there,
                after=azure.pool(POOL, cluster),
                missing="" if task else "no module",
            )
            for case, cluster, task, there in zip(cases, clusters, tasks, before, strict=True)
        ]
    finally:
        azure.clear_faults()
        for cluster in clusters:
            azure.remove_pools(cluster)
        azure.set(**settings)


def _prepared(cases: Sequence[Case], azure: Emulated, clusters: list[str]) -> list[Json | None]:
    """Bring about what is there before, on all clusters at the same time; returns the pools' properties."""
    for case, cluster in zip(cases, clusters, strict=True):
        _plant(case.broken, azure, cluster)
        if case.there is not None:
            azure.make_pool(POOL, case.there, cluster)
    for case, cluster in zip(cases, clusters, strict=True):
        if case.there is not None:
            azure.settled(POOL, cluster)
        future = {} if "future_fields" in case.settings else dict.fromkeys(azure.setting("future_fields"))
        if case.there is not None and (touched := {**future, **case.touched}):
            azure.act("pool", cluster=cluster, pool=POOL, properties=touched)
    azure.clear_faults()
    return [azure.pool(POOL, cluster) for cluster in clusters]


def _plant(rules: Sequence[Json], azure: Emulated, cluster: str) -> None:
    path = azure.pool_path(POOL, cluster) + r"(\?|$)"
    for rule in rules:
        azure.fault({**rule, "path": rule["path"].replace("{pool}", path)})
