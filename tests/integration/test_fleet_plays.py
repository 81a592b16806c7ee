# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays of users over a fleet: Ansible's keywords mean what they say, and the snapshot is as new as they want it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from emulated import Emulated
from environment import COLLECTIONS
from test_snapshot import ASKED, CLUSTERS, Json, azure, fleet, requests, results, running, task, theirs

from playbooks import Ran, python_under_test, without_foreign_settings

__all__ = ["azure", "running"]

LAST = CLUSTERS[-1].lower()
ROLE = {
    "aks_resource_group": ASKED["resource_group"],
    "node_pool_enable_auto_scaling": False,
    "node_pool_count": 1,
    "node_pool_node_taints": [],
    "node_pool_node_labels": ASKED["node_labels"],
}


def role(title: str, **keywords: Any) -> Json:
    return {"name": title, "ansible.builtin.import_role": {"name": "aks.gpu.node_pool"}, **keywords}


def changed(ran: Ran, title: str) -> dict[str, bool]:
    return {each["host"]: each["result"]["changed"] for each in ran.tasks if each["task"] == title}


@pytest.mark.parametrize(
    ("given", "strategy"),
    [("environment", "free"), ("environment", "ansible.builtin.host_pinned"), ("template", "free")],
)
def test_hosts_that_go_at_their_own_pace_look_for_themselves(
    azure: Emulated, tmp_path: Path, strategy: str, given: str
) -> None:
    """The last host does the task when the others have long done it, and sees what has happened since."""
    late = {"when": f"inventory_hostname == '{LAST}'"}
    tasks = [
        task("Before"),
        {"name": "Late", "ansible.builtin.command": "sleep 2", **late},
        theirs(azure, **late),
        task("After"),
    ]
    ran = fleet(azure, tmp_path, tasks, **_strategy(given, strategy))
    assert ran.status == 0, ran.output
    assert changed(ran, "After") == {name.lower(): name.lower() == LAST for name in CLUSTERS}


@pytest.mark.parametrize(("given", "strategy"), [("environment", "ansible.builtin.linear"), ("template", "linear")])
def test_hosts_in_step_share_one_list(azure: Emulated, tmp_path: Path, strategy: str, given: str) -> None:
    mark = azure.mark()
    ran = fleet(azure, tmp_path, [task("Again")], "--forks", "1", **_strategy(given, strategy))
    assert ran.status == 0, ran.output
    assert requests(azure, mark)["LIST"] == 1


def _strategy(given: str, name: str) -> Json:
    if given == "environment":
        return {"settings": {"ANSIBLE_STRATEGY": name}}
    return {
        "strategy": "{{ pace }}",
        "vars": {"pace": name, "ansible_python_interpreter": "{{ ansible_playbook_python }}"},
    }


@pytest.mark.parametrize(("serial", "first"), [("50%", 2), ([1, "100%"], 1)])
def test_a_later_batch_sees_what_an_earlier_one_did(azure: Emulated, tmp_path: Path, serial: Any, first: int) -> None:
    others = (
        "{{ ansible_play_hosts_all | difference(ansible_play_batch) | map('extract', hostvars, 'aks_cluster_name') }}"
    )
    tasks = [
        task("Again", task_register="found"),
        theirs(azure, "{{ item }}", loop=others, run_once=True, when="inventory_hostname == ansible_play_hosts_all[0]"),
    ]
    mark = azure.mark()
    ran = fleet(azure, tmp_path, tasks, serial=serial)
    assert ran.status == 0, ran.output
    assert changed(ran, "Again") == {name.lower(): n >= first for n, name in enumerate(CLUSTERS)}
    assert requests(azure, mark)["LIST"] == (2 if first > 1 else 1)


def test_a_role_that_is_included_again_looks_anew(azure: Emulated, tmp_path: Path) -> None:
    include = {"ansible.builtin.include_role": {"name": "aks.gpu.node_pool"}, "vars": ROLE}
    ran = fleet(azure, tmp_path, [{"name": "A", **include}, theirs(azure), {"name": "B", **include}])
    assert ran.status == 0, ran.output
    told = [each["result"]["changed"] for each in ran.tasks if "node_pool" in each["result"]]
    assert told == [False] * 4 + [True] * 4


def test_throttle_lets_one_after_the_other(azure: Emulated, tmp_path: Path) -> None:
    for name in CLUSTERS:
        azure.remove_pools(cluster=name)
    azure.set(create_seconds=20.0)  # a second
    mark = azure.mark()
    ran = fleet(azure, tmp_path, [{"block": [role("Pools")], "throttle": 1, "vars": ROLE}])
    assert ran.status == 0, ran.output
    puts = sorted(each["time"] for each in azure.sent(mark) if each["method"] == "PUT")
    assert len(puts) == len(CLUSTERS)
    assert all(later - earlier >= 1.0 for earlier, later in itertools.pairwise(puts)), puts


@pytest.mark.parametrize(
    ("keyword", "value", "goes_on"),
    [("any_errors_fatal", True, False), ("max_fail_percentage", 20, False), ("max_fail_percentage", 30, True)],
)
def test_one_failed_cluster_ends_the_play_where_the_user_wants_it(
    azure: Emulated, tmp_path: Path, keyword: str, value: Any, goes_on: bool
) -> None:
    locked = {"code": "ScopeLocked", "message": "The scope is locked."}
    azure.fault({"method": "PUT", "path": f"{CLUSTERS[1]}/agentPools", "status": 409, "body": locked, "times": 0})
    mark = azure.mark()
    change = {**ROLE, "node_pool_node_labels": {"team": "research"}}
    ran = fleet(azure, tmp_path, [role("Pools", vars=change), task("Next", task_check_mode=True)], **{keyword: value})
    assert ran.status != 0
    assert "ScopeLocked" in ran.output
    asked = [each["url"] for each in azure.sent(mark) if each["method"] == "PUT" and each["status"] < 300]
    assert len(asked) == len(CLUSTERS) - 1
    assert len(results(ran, "Next")) == (len(CLUSTERS) - 1 if goes_on else 0)


def test_hosts_that_fail_leave_their_list_to_the_others(azure: Emulated, tmp_path: Path) -> None:
    """A host that has failed is no longer counted to its batch."""
    mark = azure.mark()
    ran = fleet(azure, tmp_path, [task("Refused", vm_size="Standard_NC24ads_A100_v4")], "--forks", "1")
    assert [each["status"] for each in ran.tasks] == ["failed"] * len(CLUSTERS)
    assert requests(azure, mark)["LIST"] == 1


def test_the_debuggers_redo_looks_anew(azure: Emulated, tmp_path: Path) -> None:
    """Whoever has put something right by hand says `redo`."""
    azure.act("pool", cluster=CLUSTERS[-1], pool="gpunp", properties={"nodeLabels": {"team": "theirs"}})
    hosts = {name.lower(): {"aks_cluster_name": name, "ansible_connection": "local"} for name in CLUSTERS}
    (tmp_path / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    judged = task("Judge", task_check_mode=True, task_register="it", task_failed_when="it is changed")
    variables = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    play = {"hosts": "all", "gather_facts": False, "debugger": "on_failed", "vars": variables, "tasks": [judged]}
    (tmp_path / "play.json").write_text(json.dumps([play]))
    program = str(python_under_test().with_name("ansible-playbook"))
    paths = {"ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_HOME": str(tmp_path / "ansible")}
    log = tmp_path / "output.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [program, str(tmp_path / "play.json"), "-i", str(tmp_path / "inventory.json")],
            cwd=tmp_path,
            env={**without_foreign_settings(), **azure.environment, **paths, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        deadline = time.monotonic() + 60
        while "(debug)>" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        azure.act("pool", cluster=CLUSTERS[-1], pool="gpunp", properties={"nodeLabels": ASKED["node_labels"]})
        process.communicate(f"redo{os.linesep}quit{os.linesep}".encode(), timeout=60)
    assert process.returncode == 0, log.read_text()
