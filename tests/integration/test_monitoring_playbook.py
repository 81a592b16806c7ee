# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role gpu_monitoring and the playbook metrics.yml on a fleet of a sandbox without Kubernetes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aks_sandbox.testing import Sandbox
from harness import Ansible
from monitoring_harness import POOL, Monitored, monitoring_environment

Json = dict[str, Any]

WORKSPACES = ("logs-one", "logs-two")


@pytest.fixture(scope="module")
def fleet() -> Iterator[list[Monitored]]:
    """Three clusters, two in the same workspace, with half an hour of metrics that will be there when it is on."""
    settings = {"clock_speed": 20.0, "metrics_interval_seconds": 3600.0}
    with Sandbox.started("fleet", clusters=3, kubernetes=False, settings=settings) as sandbox:
        found = [Monitored(sandbox, f"{sandbox.cluster}{number or ''}") for number in (0, 2, 3)]
        for number, cluster in enumerate(found):
            started = cluster.arm.ask(
                "PUT", f"{cluster.path}/agentPools/gpunp", {"properties": {**POOL, "count": number + 1}}
            )
            assert cluster.arm.wait(started)["status"] == "Succeeded"
        for name in WORKSPACES:
            found[0].workspace(name)
        yield found


@pytest.fixture
def ansible(fleet: list[Monitored], tmp_path: Path) -> Ansible:
    sandbox = fleet[0].sandbox
    sandbox.clear_faults()
    return Ansible(sandbox, tmp_path)


def inventory(fleet: list[Monitored]) -> Json:
    hosts = {
        each.name: {
            "aks_resource_group": each.sandbox.resource_group,
            "aks_cluster_name": each.name,
            "gpu_monitoring_workspace": WORKSPACES[number // 2],
        }
        for number, each in enumerate(fleet)
    }
    return {"all": {"hosts": hosts}}


def role_play(entry: str = "main") -> list[Json]:
    role = {"name": "aks.gpu.gpu_monitoring", "tasks_from": entry}
    return [
        {
            "hosts": "all",
            "connection": "local",
            "gather_facts": False,
            "tasks": [{"name": "Monitor", "ansible.builtin.import_role": role}],
        }
    ]


def test_the_role_and_the_playbook(fleet: list[Monitored], ansible: Ansible, tmp_path: Path) -> None:
    sandbox = fleet[0].sandbox
    environment = monitoring_environment(sandbox)
    places = inventory(fleet)
    mark = sandbox.mark()
    with sandbox.having(refuse_writes=True):
        predicted = ansible.playbook(role_play(), inventory=places, check=True, environment=environment)
    assert predicted.changed == 3
    assert sandbox.writes(mark) == []
    assert ansible.playbook(role_play(), inventory=places, environment=environment).changed == 3
    assert ansible.playbook(role_play(), inventory=places, environment=environment).changed == 0
    assert ansible.playbook(role_play(), inventory=places, check=True, environment=environment).changed == 0
    assert all(each.cluster()["properties"]["azureMonitorProfile"]["containerInsights"]["enabled"] for each in fleet)

    sandbox.act("gpu_pod", cluster=fleet[0].name, pool="gpunp", name="trainer", gpus=1)
    for cluster in fleet:
        sandbox.act("metrics_history", cluster=cluster.name, minutes=20)
    mark = sandbox.mark()
    directory = tmp_path / "metrics"  # where Ansible was started, and not the folder of the playbook
    run = ansible.playbook(
        "aks.gpu.metrics",
        {"gpu_monitoring_directory": "metrics", "gpu_monitoring_since": "30m"},
        inventory=places,
        environment=environment,
    )
    queries = [each for each in sandbox.traffic(mark) if each["url"].partition("?")[0].endswith("/query")]
    assert len(queries) == len(WORKSPACES)
    lines = run["Show the metrics"]["msg"]
    table = "\n".join(lines)
    assert lines[0].split() == [
        "CLUSTER",
        "CAPACITY",
        "ALLOCATABLE",
        "REQUESTS",
        "LIMITS",
        "DUTY",
        "CYCLE",
        "MEMORY",
        "USED",
    ]
    assert [line.split()[:5] for line in lines[1:4]] == [
        ["myAKSCluster", "1", "1", "1", "1"],
        ["myAKSCluster2", "2", "2", "0", "0"],
        ["myAKSCluster3", "3", "3", "0", "0"],
    ]
    assert "can't come from Container Insights on Kubernetes 1.25" in " ".join(table.split())
    document = json.loads((directory / "metrics.json").read_text())
    assert {each["name"] for each in document["clusters"]} == {each.name for each in fleet}
    with (directory / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    points = sum(len(each["points"]) for each in document["metrics"])
    assert len(rows) == points > 0
    assert {row["cluster_name"] for row in rows} == {each.name for each in fleet}
    assert all(float(row["value"]) >= 0 for row in rows)
    again = ansible.playbook(
        "aks.gpu.metrics", {"gpu_monitoring_since": "30m"}, inventory=places, environment=environment
    )
    assert again.changed == 0


def test_the_modules_four_times_as_actions(fleet: list[Monitored], ansible: Ansible) -> None:
    """As Ansible runs them, inside its own process."""
    cluster = fleet[2]
    environment = monitoring_environment(cluster.sandbox)
    off = {**cluster.place, "container_insights": False}
    on = {**cluster.place, "container_insights": True, "workspace": "logs-two"}
    ansible.module("aks.gpu.monitoring", off, environment=environment)
    results = [
        ansible.module("aks.gpu.monitoring", on, check=check, environment=environment)
        for check in (True, False, False, True)
    ]
    assert [each["changed"] for each in results] == [True, True, False, False]
    assert not any(each["failed"] for each in results)
    read = ansible.module("aks.gpu.gpu_metrics_info", cluster.place, check=True, environment=environment)
    assert not read["failed"]
    assert not read["changed"]
