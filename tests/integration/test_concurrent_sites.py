# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs of site.yml on one cluster at the same time: Azure turns one of them away, and both converge.

What it answers then is 409 EtagMismatch: Azure/terraform-azurerm-aks#604 (2024-11-15) and
microsoft/retina#1212 (2025-01-13).
Only what Azure does is run: there is no Kubernetes here.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from emulated import CLUSTER, RESOURCE_GROUP, Emulated, emulated
from environment import COLLECTIONS
from fault_cells import ETAG_MISMATCH

from playbooks import Ansible, Ran, python_under_test, without_foreign_settings

Json = dict[str, Any]

NAMES = ("gpuone", "gputwo")
WHERE = {"aks_resource_group": RESOURCE_GROUP, "aks_cluster_name": CLUSTER}


@pytest.fixture
def azure() -> Iterator[Emulated]:
    with emulated() as sandbox:
        sandbox.set(clock_speed=20.0)
        yield sandbox


@pytest.fixture
def ansible(azure: Emulated) -> Ansible:
    environment = {**without_foreign_settings(), **azure.environment}
    return Ansible(python_under_test(), COLLECTIONS, environment, by_server=True)


def site(ansible: Ansible, folder: Path, name: str) -> Ran:
    """site.yml with a pool of that name."""
    variables = {
        **WHERE,
        "node_pool_name": name,
        "node_pool_vm_size": "Standard_NC4as_T4_v3",
        "node_pool_enable_auto_scaling": "false",
        "node_pool_count": "2",
    }
    given = [argument for item in variables.items() for argument in ("-e", "=".join(item))]
    folder.mkdir()
    return ansible.command(["ansible-playbook", "aks.gpu.site", "--skip-tags", "kubernetes", *given], folder, 180.0, {})


def removal(ansible: Ansible, folder: Path, name: str) -> Ran:
    """What cleanup.yml does to that pool."""
    del folder
    role = {"name": "aks.gpu.node_pool", "rolespec_validate": False}
    variables = {**WHERE, "node_pool_name": name, "__node_pool_default_only_created_by_us": True}
    tasks = [
        {"name": part, "ansible.builtin.import_role": {**role, "tasks_from": part}, "vars": variables}
        for part in ("remove", "wait_removed")
    ]
    return ansible.run(tasks, limit=180.0)


def at_once(run: Callable[[Ansible, Path, str], Ran], ansible: Ansible, folder: Path) -> list[Ran]:
    """Both at the same time."""
    folder.mkdir()
    with concurrent.futures.ThreadPoolExecutor(len(NAMES)) as threads:
        return list(threads.map(lambda name: run(ansible, folder / name, name), NAMES))


def hits(azure: Emulated) -> list[int]:
    return [fault["hits"] for fault in azure.faults()]


def test_both_converge(azure: Emulated, ansible: Ansible, tmp_path: Path) -> None:
    azure.fault({"method": "PUT", "path": f"/agentPools/{NAMES[1]}", "status": 409, "body": ETAG_MISMATCH, "times": 2})
    for ran in at_once(site, ansible, tmp_path / "first"):
        assert ran.status == 0, ran.output
    assert hits(azure) == [2]
    pools = azure.pools()
    assert {name: (pools[name]["count"], pools[name]["provisioningState"]) for name in NAMES} == dict.fromkeys(
        NAMES, (2, "Succeeded")
    )
    assert pools["nodepool1"]["count"] == 1
    azure.clear_faults()
    mark = azure.mark()
    for ran in at_once(site, ansible, tmp_path / "second"):
        assert ran.status == 0, ran.output
    assert [each["url"] for each in azure.sent(mark) if each["method"] in ("PUT", "DELETE", "PATCH")] == []

    azure.fault(
        {"method": "DELETE", "path": f"/agentPools/{NAMES[0]}", "status": 409, "body": ETAG_MISMATCH, "times": 2}
    )
    for ran in at_once(removal, ansible, tmp_path / "removal"):
        assert ran.status == 0, ran.output
    assert hits(azure) == [2]
    assert set(azure.pools()) == {"nodepool1"}
