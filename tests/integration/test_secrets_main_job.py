# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job at -vvv with --diff and a log shows no secret and leaves none, whichever way its modules run.

It succeeds and cleans up, fails at sign-in and in an operation, reaches a deadline, and is killed.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aks_sandbox.testing import Sandbox
from azure.core.exceptions import ResourceExistsError
from environment import COLLECTIONS
from harness import QUICK, clean, pools, reset
from processes import kill_tree
from secrets_harness import WRONG, Planted, Processes, only_in_private_directories

from playbooks import Ansible, Ran, without_foreign_settings

WAYS = pytest.mark.parametrize("way", ["always", "never"])
LIMIT_SECONDS = 400.0


class MainJob:
    """Runs of aks.gpu's playbooks whose every trace lies in one folder."""

    def __init__(self, sandbox: Sandbox, folder: Path, way: str) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.way = way
        self.planted = Planted(sandbox.variables["AZURE_SECRET"], sandbox.kubeconfig(admin=False))
        values = {name: value for name, value in sandbox.variables.items() if not name.startswith("AKS_SANDBOX_")}
        self._environment = {
            **without_foreign_settings(),
            **values,
            "AKS_GPU_IN_PROCESS": way,
            "ANSIBLE_LOG_PATH": str(folder / "ansible.log"),
            "ANSIBLE_REMOTE_TEMP": str(folder / "home" / ".ansible" / "tmp"),
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
        }
        for name in ("home", "tmp"):
            (folder / name).mkdir()

    def __call__(self, playbook: str, environment: dict[str, str] | None = None, **more: Any) -> Ran:
        """Run a playbook; nothing planted is in what it prints or in a process list."""
        variables = {
            "aks_subscription_id": self.sandbox.subscription,
            "aks_resource_group": self.sandbox.resource_group,
            "aks_cluster_name": self.sandbox.cluster,
            **more.pop("variables", {}),
        }
        command = [str(Path(sys.executable).parent / "ansible-playbook"), f"aks.gpu.{playbook}", "-vvv", "--diff"]
        command += ["-e", json.dumps(variables)]
        ansible = Ansible(Path(sys.executable), COLLECTIONS, {**self._environment, **(environment or {})})
        with Processes() as processes:
            ran = ansible.command(command, self.folder, LIMIT_SECONDS, {}, **more)
        way = "in a process of its own" if self.way == "never" else "inside Ansible"
        assert way in ran.output, ran.output
        assert not self.planted.found(ran.output.encode()), ran.output
        assert not [names for line in processes.seen if (names := self.planted.found(line))]
        return ran

    def left(self) -> dict[str, list[str]]:
        """Files that hold something planted."""
        return self.planted.left(self.folder)


@pytest.fixture
def job(shared_sandbox: Sandbox, tmp_path: Path, way: str) -> Iterator[MainJob]:
    reset(shared_sandbox)
    yield MainJob(shared_sandbox, tmp_path, way)
    for name, pool in pools(shared_sandbox).items():
        if name != "nodepool1" and pool["properties"]["provisioningState"] not in ("Succeeded", "Failed", "Canceled"):
            with contextlib.suppress(ResourceExistsError):  # what AKS answers where the operation has just ended
                shared_sandbox.container_service("owner").agent_pools.begin_abort_latest_operation(
                    shared_sandbox.resource_group, shared_sandbox.cluster, name
                ).result()
    clean(shared_sandbox)


@WAYS
def test_success(job: MainJob) -> None:
    for playbook in ("site", "cleanup"):
        ran = job(playbook)
        assert ran.status == 0, ran.output
        assert job.left() == {}


@WAYS
def test_failures(job: MainJob) -> None:
    ran = job("site", {"AZURE_SECRET": WRONG, "AZURE_CLIENT_SECRET": WRONG})
    assert ran.status != 0
    assert "AADSTS7000215" in ran.output
    assert job.left() == {}
    job.sandbox.fault("PUT", "agentPools/gpunp", operation={"code": "AllocationFailed", "message": "No capacity."})
    ran = job("site")
    assert ran.status != 0
    assert "AllocationFailed" in ran.output
    assert job.left() == {}


@WAYS
def test_deadline(job: MainJob) -> None:
    job.sandbox.fault("PUT", "agentPools/gpunp", operation={"endless": True})
    ran = job("site", variables={"node_pool_wait_timeout": 3})
    assert ran.status != 0
    assert "after 3 s" in ran.output
    assert job.left() == {}


@WAYS
def test_killed_while_the_workload_runs(job: MainJob) -> None:
    """What a SIGKILL leaves is in directories that nobody else can enter."""
    job.sandbox.set(**{**QUICK, "workload_seconds": 600.0})

    def kill(process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if "samples-tf-mnist-demo" in job.sandbox.kubectl("get", "pods", "--field-selector=status.phase=Running"):
                time.sleep(1.0)
                break
            time.sleep(0.3)
        kill_tree(process.pid)

    ran = job("site", while_running=kill)
    assert ran.status == -signal.SIGKILL
    left = job.left()
    assert left, "the run's private directory should be among what was left, else this test sees nothing"
    only_in_private_directories(job.folder, left)
