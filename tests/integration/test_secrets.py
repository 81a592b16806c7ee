# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret shows, or stays behind: not on the screen at -vvv, nor in logs, results, process lists and files.

Looked for are the principal's secret, its tokens, the cluster's key and token, all of them in base64 too, as Azure
hands out kubeconfigs. Both ways a module can run, for runs that succeed, fail, reach their deadline, and are killed.
"""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from emulated import CLUSTER, RESOURCE_GROUP, Emulated, emulated
from environment import COLLECTIONS
from processes import kill_tree
from secrets_harness import WRONG, Planted, Processes, only_in_private_directories

from playbooks import Ansible, Ran, without_foreign_settings

Json = dict[str, Any]

WHERE = {"resource_group": RESOURCE_GROUP, "cluster_name": CLUSTER}
POOL = {**WHERE, "name": "gpunp", "vm_size": "Standard_NC4as_T4_v3", "count": 1}
SIGN_IN = {
    "subscription_id": "{{ lookup('ansible.builtin.env', 'PLANTED_SUBSCRIPTION') }}",
    "tenant": "{{ lookup('ansible.builtin.env', 'PLANTED_TENANT') }}",
    "client_id": "{{ lookup('ansible.builtin.env', 'PLANTED_CLIENT') }}",
    "secret": "{{ lookup('ansible.builtin.env', 'PLANTED_SECRET') }}",
}
"""Credentials as options of a task, which is what -vvv shows."""

WAYS = pytest.mark.parametrize("way", ["always", "never"])


@pytest.fixture(scope="module")
def azure() -> Iterator[Emulated]:
    with emulated() as sandbox:
        sandbox.set(clock_speed=20.0)
        yield sandbox


@pytest.fixture(autouse=True)
def _clean(azure: Emulated) -> Iterator[None]:
    yield
    azure.clear_faults()
    azure.remove_pools()


class Run:
    """Runs of Ansible whose every trace lies in one folder."""

    def __init__(self, azure: Emulated, folder: Path, way: str) -> None:
        self.azure = azure
        self.folder = folder
        kubeconfig = azure.state.request("GET", f"/kubeconfig/{CLUSTER}")["kubeconfig"]
        self.planted = Planted(azure.environment["AZURE_SECRET"], kubeconfig)
        environment = azure.environment
        values = {name: value for name, value in environment.items() if not name.startswith("AKS_SANDBOX_")}
        self._environment = {
            **without_foreign_settings(),
            **values,
            "AKS_GPU_IN_PROCESS": way,
            "ANSIBLE_LOG_PATH": str(folder / "ansible.log"),
            "ANSIBLE_REMOTE_TEMP": str(folder / "home" / ".ansible" / "tmp"),
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "PLANTED_SUBSCRIPTION": environment["AZURE_SUBSCRIPTION_ID"],
            "PLANTED_TENANT": environment["AZURE_TENANT"],
            "PLANTED_CLIENT": environment["AZURE_CLIENT_ID"],
            "PLANTED_SECRET": environment["AZURE_SECRET"],
            "PLANTED_WRONG": WRONG,
        }
        for name in ("home", "tmp"):
            (folder / name).mkdir()

    def __call__(self, *tasks: Json, **more: Any) -> Ran:
        """Run tasks at -vvv with --diff; nothing planted is in what they print or in a process list.

        What they left behind is in `left`, besides the files that they were asked to write.
        """
        playbook = self.folder / "play.yml"
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
            "tasks": list(tasks),
        }
        playbook.write_text(yaml.safe_dump([play]))
        ansible = Ansible(Path(sys.executable), COLLECTIONS, self._environment)
        command = [str(Path(sys.executable).parent / "ansible-playbook"), str(playbook), "-vvv", "--diff"]
        with Processes() as processes:
            ran = ansible.command(command, self.folder, 90, {}, **more)
        way = "in a process of its own" if self._environment["AKS_GPU_IN_PROCESS"] == "never" else "inside Ansible"
        assert way in ran.output
        assert not self.planted.found(ran.output.encode()), ran.output
        assert not [names for line in processes.seen if (names := self.planted.found(line))]
        return ran

    def left(self, *kept: Path) -> dict[str, list[str]]:
        return self.planted.left(self.folder, kept=kept)


@pytest.fixture
def run(azure: Emulated, tmp_path: Path, way: str) -> Run:
    return Run(azure, tmp_path, way)


@WAYS
def test_success(run: Run) -> None:
    file = run.folder / "asked-for.kubeconfig"
    ran = run(
        {"name": "private", "aks.gpu.kubeconfig": {**WHERE, **SIGN_IN}, "register": "private"},
        {"name": "file", "aks.gpu.kubeconfig": {**WHERE, "path": str(file)}},
        {"name": "content", "aks.gpu.kubeconfig": {**WHERE, "return_content": True}, "register": "content"},
        {"name": "facts", "ansible.builtin.set_fact": {"where": "{{ private }}"}},
        {"name": "shown", "ansible.builtin.debug": {"var": "where"}},
        {
            "name": "used",
            "ansible.builtin.assert": {"that": "content.kubeconfig | length > 0"},
        },
        {"name": "pool", "aks.gpu.node_pool": {**POOL, **SIGN_IN}},
        {"name": "feature", "aks.gpu.feature": {"name": "ManagedGPUExperiencePreview", **SIGN_IN}},
        {"name": "sizes", "aks.gpu.vm_size_info": {"location": "westus2", **SIGN_IN}},
        {"name": "gone", "aks.gpu.node_pool": {**POOL, **SIGN_IN, "state": "absent"}},
    )
    assert ran.status == 0, ran.output
    assert run.planted.found(file.read_bytes())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run.left(file) == {}


@WAYS
def test_failure(run: Run, azure: Emulated) -> None:
    wrong = {**SIGN_IN, "secret": "{{ lookup('ansible.builtin.env', 'PLANTED_WRONG') }}"}
    azure.fault({"method": "GET", "path": "/skus", "status": 500})
    azure.fault(
        {"method": "PUT", "path": "/agentPools/gpubad", "operation": {"code": "AllocationFailed", "message": "no"}}
    )
    failing = (
        {"name": "sign-in", "aks.gpu.node_pool": {**POOL, **wrong}},
        {"name": "options", "aks.gpu.node_pool": {**POOL, **SIGN_IN, "min_count": 3, "max_count": 1}},
        {"name": "cluster", "aks.gpu.kubeconfig": {**WHERE, **SIGN_IN, "cluster_name": "another"}},
        {"name": "operation", "aks.gpu.node_pool": {**POOL, **SIGN_IN, "name": "gpubad"}},
        {"name": "write", "aks.gpu.kubeconfig": {**WHERE, **SIGN_IN, "path": "/proc/nowhere/kubeconfig"}},
    )
    ran = run(*({**task, "ignore_errors": True} for task in failing))
    assert [task["status"] for task in ran.tasks] == ["ignored"] * len(failing), ran.output
    assert run.left() == {}


@WAYS
def test_deadline(run: Run, azure: Emulated) -> None:
    azure.fault({"method": "PUT", "path": "/agentPools/gpunp", "operation": {"endless": True}})
    ran = run(
        {"name": "credentials", "aks.gpu.kubeconfig": WHERE},
        {"name": "pool", "aks.gpu.node_pool": {**POOL, **SIGN_IN, "wait_timeout": 2}},
    )
    assert ran.tasks[-1]["status"] == "failed"
    assert run.left() == {}


@WAYS
def test_killed(run: Run, azure: Emulated) -> None:
    """What a SIGKILL leaves is in directories that nobody else can enter."""
    azure.fault({"method": "PUT", "path": "/agentPools/gpunp", "operation": {"endless": True}})

    def kill(process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 60
        while azure.pool("gpunp") is None and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.5)
        kill_tree(process.pid)

    ran = run(
        {"name": "credentials", "aks.gpu.kubeconfig": WHERE},
        {"name": "pool", "aks.gpu.node_pool": {**POOL, **SIGN_IN}},
        while_running=kill,
    )
    assert ran.status == -signal.SIGKILL
    left = run.left()
    assert left, "the run's private directory should be among what was left, else this test sees nothing"
    only_in_private_directories(run.folder, left)
