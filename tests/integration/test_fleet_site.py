# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Azure part of site.yml on a fleet: all pools are started before any is waited for, and one may fail."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emulated import RESOURCE_GROUP, Emulated, emulated
from environment import COLLECTIONS

from playbooks import Ansible, Ran, without_foreign_settings

Json = dict[str, Any]

COUNT = 6
SPEED = 20.0
CREATION_SECONDS = 12.0
"""Of the real clock: longer than it takes to start all of them, shorter than two of them in turn."""


@pytest.fixture(scope="module")
def running() -> Iterator[Emulated]:
    with emulated("--clusters", str(COUNT)) as sandbox:
        yield sandbox


@pytest.fixture
def azure(running: Emulated) -> Iterator[Emulated]:
    running.set(clock_speed=SPEED, create_seconds=CREATION_SECONDS * SPEED)
    yield running
    running.clear_faults()
    running.set(clock_speed=200.0, create_seconds=6.0)
    for name in running.clusters():
        running.remove_pools(cluster=name)


def site(azure: Emulated, folder: Path, *arguments: str, **settings: str) -> Ran:
    """site.yml on every cluster, two at a time, as far as Azure is concerned."""
    hosts = {name.lower(): {"aks_cluster_name": name} for name in azure.clusters()}
    shared = {"aks_resource_group": RESOURCE_GROUP, "node_pool_vm_size": "Standard_NC4as_T4_v3"}
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": shared}}))
    ansible = Ansible(
        Path(sys.executable), COLLECTIONS, {**without_foreign_settings(), **azure.environment}, by_server=True
    )
    command = ["ansible-playbook", "aks.gpu.site", "-i", str(inventory), "--skip-tags", "kubernetes", "--forks", "2"]
    return ansible.command([*command, *arguments], folder, 180, settings)


def creations(azure: Emulated, mark: int) -> dict[str, float]:
    """When each cluster's pool was asked for, in seconds of this machine's clock."""
    return {
        entry["url"].partition("/managedClusters/")[2].partition("/")[0]: entry["time"]
        for entry in azure.sent(mark)
        if entry["method"] == "PUT" and "/agentPools/" in entry["url"]
    }


def state(azure: Emulated, cluster: str) -> str | None:
    """The provisioning state of a cluster's GPU pool."""
    return (azure.pool("gpunp", cluster) or {}).get("provisioningState")


@pytest.mark.parametrize("strategy", ["linear", "free", "host_pinned"])
def test_all_are_started_before_any_is_waited_for(azure: Emulated, tmp_path: Path, strategy: str) -> None:
    mark = azure.mark()
    ran = site(azure, tmp_path, ANSIBLE_STRATEGY=f"ansible.builtin.{strategy}")
    assert ran.status == 0, ran.output
    started = sorted(creations(azure, mark).values())
    assert len(started) == COUNT
    assert started[-1] - started[0] < CREATION_SECONDS
    assert {state(azure, name) for name in azure.clusters()} == {"Succeeded"}

    mark = azure.mark()
    again = site(azure, tmp_path, ANSIBLE_STRATEGY=f"ansible.builtin.{strategy}")
    assert again.status == 0, again.output
    assert not [entry for entry in azure.sent(mark) if entry["method"] in ("PUT", "DELETE", "PATCH")]


def test_one_that_fails_leaves_the_others_alone_and_is_retried_by_itself(azure: Emulated, tmp_path: Path) -> None:
    first, *others = azure.clusters()
    trouble = {"code": "AllocationFailed", "message": "No capacity."}
    azure.fault({"method": "PUT", "path": f"/{first}/agentPools", "operation": trouble})
    mark = azure.mark()
    retry = {"ANSIBLE_RETRY_FILES_ENABLED": "true", "ANSIBLE_RETRY_FILES_SAVE_PATH": str(tmp_path)}
    ran = site(azure, tmp_path, **retry)
    assert ran.status != 0
    assert "No capacity." in ran.output
    assert creations(azure, mark).keys() == set(azure.clusters())
    assert {state(azure, name) for name in others} == {"Succeeded"}
    (file,) = tmp_path.glob("*.retry")
    assert file.read_text().split() == [first.lower()]

    azure.clear_faults()
    mark = azure.mark()
    again = site(azure, tmp_path, "--limit", f"@{file}", "-e", "node_pool_repair=true")
    assert again.status == 0, again.output
    assert creations(azure, mark).keys() == {first}
    assert state(azure, first) == "Succeeded"
