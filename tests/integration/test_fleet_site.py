# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Azure part of site.yml on a fleet: all pools are started before any is waited for, and one may fail.

What is settled is left alone, and a run that is killed is taken up by the next.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from emulated import RESOURCE_GROUP, Emulated, emulated
from environment import COLLECTIONS
from processes import kill_tree
from test_snapshot import requests

from playbooks import Ansible, Ran, Started, python_under_test, without_foreign_settings

Json = dict[str, Any]

COUNT = 6
SPEED = 20.0
CREATION_SECONDS = 12.0
"""Of the real clock: longer than it takes to start all of them, shorter than two of them in turn."""

POOL = {
    "vmSize": "Standard_NC4as_T4_v3",
    "count": 1,
    "mode": "User",
    "enableAutoScaling": True,
    "minCount": 1,
    "maxCount": 3,
    "nodeTaints": ["sku=gpu:NoSchedule"],
}
"""What site.yml makes when nothing else is said, made by others."""

START = "GPU node pool: make it what it should be"
WAIT = "GPU node pool: wait for it"


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


def site(
    azure: Emulated,
    folder: Path,
    *arguments: str,
    while_running: Callable[[Started], object] | None = None,
    **settings: str,
) -> Ran:
    """site.yml on every cluster, two at a time, as far as Azure is concerned."""
    hosts = {name.lower(): {"aks_cluster_name": name} for name in azure.clusters()}
    shared = {"aks_resource_group": RESOURCE_GROUP, "node_pool_vm_size": "Standard_NC4as_T4_v3"}
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": shared}}))
    environment = {**without_foreign_settings(), **azure.environment}
    ansible = Ansible(python_under_test(), COLLECTIONS, environment, by_server=True)
    command = ["ansible-playbook", "aks.gpu.site", "-i", str(inventory), "--skip-tags", "kubernetes", "--forks", "2"]
    return ansible.command([*command, *arguments], folder, 180, settings, while_running)


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
    ran = site(azure, tmp_path, ANSIBLE_RETRY_FILES_ENABLED="true", ANSIBLE_RETRY_FILES_SAVE_PATH=str(tmp_path))
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


def until(condition: Callable[[], object], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for never came"
        time.sleep(0.05)


def provision(azure: Emulated) -> None:
    """Every cluster gets the pool that site.yml would make."""
    azure.set(clock_speed=200.0, create_seconds=6.0)
    for name in azure.clusters():
        azure.make_pool("gpunp", POOL, cluster=name)
    for name in azure.clusters():
        azure.settled("gpunp", cluster=name)
    azure.set(clock_speed=SPEED, create_seconds=CREATION_SECONDS * SPEED)


def done(ran: Ran, title: str) -> set[str]:
    """The hosts on which a task was not skipped."""
    ends = [each for each in ran.tasks if each["task"].endswith(f" : {title}")]
    assert len(ends) == COUNT
    return {each["host"] for each in ends if each["status"] != "skipped"}


def test_again_it_lists_once_and_reads_one_pool(azure: Emulated, tmp_path: Path) -> None:
    """The first cluster can't know yet that there will be more."""
    provision(azure)
    mark = azure.mark()
    ran = site(azure, tmp_path)
    assert ran.status == 0, ran.output
    assert requests(azure, mark) == {"LIST": 1, "GET agentPools": 1}
    assert sum(each["url"].endswith("/token") for each in azure.sent(mark)) == 1
    assert done(ran, START) == done(ran, WAIT) == set()


def test_only_what_is_settled_is_passed_over(azure: Emulated, tmp_path: Path) -> None:
    """Counts within the limits are the autoscaler's and images are AKS's; a check decides as the run does."""
    provision(azure)
    _same, counted, updated, updating, failed, drifted = azure.clusters()
    azure.act("count", cluster=counted, pool="gpunp", count=3)
    azure.act("pool", cluster=updated, pool="gpunp", properties={"nodeImageVersion": "AKSUbuntu-2204gen2-new"})
    azure.act("pool", cluster=drifted, pool="gpunp", properties={"maxCount": 5})
    azure.act("pool", cluster=failed, pool="gpunp", properties={"provisioningState": "Failed"})
    azure.act("pool", cluster=updating, pool="gpunp", properties={"provisioningState": "Updating"})
    unsettled = {each.lower() for each in (updating, failed, drifted)}

    mark = azure.mark()
    checked = site(azure, tmp_path, "--check", "-e", "node_pool_repair=true")
    assert checked.status == 0, checked.output
    assert done(checked, START) == unsettled
    assert not [each for each in azure.sent(mark) if each["method"] in ("PUT", "DELETE", "PATCH")]

    (tmp_path / "results.jsonl").unlink()
    mark = azure.mark()

    def end_the_update(_process: Started) -> None:
        until(lambda: len(creations(azure, mark)) == 2 and requests(azure, mark)["LIST"] >= 3)
        azure.act("pool", cluster=updating, pool="gpunp", properties={"provisioningState": "Succeeded"})

    ran = site(azure, tmp_path, "-e", "node_pool_repair=true", while_running=end_the_update)
    assert ran.status == 0, ran.output
    assert done(ran, START) == done(ran, WAIT) == unsettled
    assert creations(azure, mark).keys() == {failed, drifted}
    assert {state(azure, name) for name in azure.clusters()} == {"Succeeded"}
    found = {name: azure.pool("gpunp", name) or {} for name in azure.clusters()}
    assert (found[counted]["count"], found[drifted]["maxCount"]) == (3, 3)
    assert found[updated]["nodeImageVersion"] == "AKSUbuntu-2204gen2-new"


def test_a_run_that_is_killed_is_taken_up_by_the_next(azure: Emulated, tmp_path: Path) -> None:
    """Killed while the answer to a write is awaited: nothing is written twice, its files are nobody's."""
    azure.set(create_seconds=4 * SPEED)
    azure.fault({"method": "PUT", "path": "/agentPools/", "nth": 2, "hang_after": 30})
    temporary = tmp_path / "temporary"

    def kill(process: Started) -> None:
        until(lambda: sum(state(azure, name) is not None for name in azure.clusters()) >= 3)
        kill_tree(process.pid)

    killed = site(azure, tmp_path, while_running=kill, ANSIBLE_LOCAL_TEMP=str(temporary))
    assert killed.status != 0
    there = {name for name in azure.clusters() if state(azure, name) is not None}
    assert 3 <= len(there) < COUNT
    (left,) = temporary.iterdir()
    files = {path: path.stat() for path in left.rglob("*") if path.is_file()}
    assert files
    assert left.stat().st_mode & 0o777 == 0o700

    azure.clear_faults()
    (tmp_path / "results.jsonl").unlink()
    mark = azure.mark()
    ran = site(azure, tmp_path, ANSIBLE_LOCAL_TEMP=str(temporary))
    assert ran.status == 0, ran.output
    written = Counter(
        each["url"].partition("/managedClusters/")[2].partition("/")[0]
        for each in azure.sent(mark)
        if each["method"] in ("PUT", "DELETE", "PATCH")
    )
    assert written == dict.fromkeys(set(azure.clusters()) - there, 1)
    assert {state(azure, name) for name in azure.clusters()} == {"Succeeded"}
    assert list(temporary.iterdir()) == [left]
    assert all(path.stat().st_mtime == stat.st_mtime for path, stat in files.items())
