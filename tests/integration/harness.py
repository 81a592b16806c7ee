# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the integration tests drive: a sandbox, Ansible in it, and clients of others to read back what was done.

Results are read back through the official Azure SDK and the plain Kubernetes client, never through aks.gpu.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import kubernetes
import yaml
from aks_sandbox.interfaces import Settings
from aks_sandbox.testing import Sandbox
from environment import ROOT, tool_environment
from playbook_server import Server
from processes import kill_tree

SYSTEM_NAMESPACES = {"default", "kube-system", "kube-public", "kube-node-lease"}
PREVIEW_FEATURES = ("GPUDedicatedVHDPreview", "ManagedGPUExperiencePreview")
CLEAN_SECONDS = 60
QUICK: dict[str, Any] = {"clock_speed": 10.0, "workload_seconds": 1.0, "node_ready_seconds": 0.5}
"""What differs from a sandbox's default settings, so that tests are short."""

Json = dict[str, Any]


def reset(sandbox: Sandbox) -> None:
    """Every setting back to its default, but quick; no planted faults."""
    sandbox.clear_faults()
    sandbox.set(**{**Settings().as_json(), **QUICK})


def clean(sandbox: Sandbox, cluster: str | None = None) -> None:
    """Put settings, preview features and a cluster back to the start: one system pool, and nothing of a user's."""
    reset(sandbox)
    for name in PREVIEW_FEATURES:
        sandbox.act("feature", name=name, state="NotRegistered")
    cluster = cluster or sandbox.cluster
    client = sandbox.container_service("owner")
    removals = [
        client.agent_pools.begin_delete(sandbox.resource_group, cluster, name)
        for name, pool in pools(sandbox, cluster).items()
        if pool["properties"]["mode"] == "User"
    ]
    core = kubernetes.client.CoreV1Api(kubernetes_client(sandbox, cluster))
    batch = kubernetes.client.BatchV1Api(core.api_client)
    batch.delete_collection_namespaced_job("default", propagation_policy="Background")
    for name in names_of_namespaces(core) - SYSTEM_NAMESPACES:
        core.delete_namespace(name)
    for removal in removals:
        removal.result()
    deadline = time.monotonic() + CLEAN_SECONDS
    while left := names_of_namespaces(core) - SYSTEM_NAMESPACES:
        assert time.monotonic() < deadline, f"namespaces that do not go away: {left}"
        time.sleep(0.2)


def names_of_namespaces(core: kubernetes.client.CoreV1Api) -> set[str]:
    return {str(namespace.metadata.name) for namespace in core.list_namespace().items}


def kubernetes_client(sandbox: Sandbox, cluster: str | None = None) -> kubernetes.client.ApiClient:
    """The plain Kubernetes client, as the cluster's administrator."""
    config = yaml.safe_load(sandbox.kubeconfig(cluster))
    client: kubernetes.client.ApiClient = kubernetes.config.new_client_from_config_dict(config)
    return client


def pools(sandbox: Sandbox, cluster: str | None = None) -> dict[str, Json]:
    """A cluster's agent pools as the official SDK reads them, by name."""
    listed = sandbox.container_service("owner").agent_pools.list(sandbox.resource_group, cluster or sandbox.cluster)
    return {str(pool.name): pool.as_dict() for pool in listed}


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """What one task returned on one host. `status`: ok | failed | ignored | skipped | unreachable."""

    host: str
    task: str
    action: str
    status: str
    result: Json


@dataclasses.dataclass(frozen=True)
class PlaybookRun:
    """A finished run of ansible-playbook."""

    status: int
    output: str
    results: list[TaskResult]
    stats: dict[str, dict[str, int]]

    def __getitem__(self, name: str) -> Json:
        """The result of the task whose name is, or ends with, `name` (a role's tasks are called "role : task")."""
        found = [each for each in self.results if each.task == name or each.task.endswith(f" : {name}")]
        assert found, f"no task {name!r} among {[each.task for each in self.results]}\n{self.output}"
        return found[-1].result

    @property
    def changed(self) -> int:
        """How many tasks changed something, over all hosts."""
        return sum(host["changed"] for host in self.stats.values())

    @property
    def failures(self) -> list[str]:
        """The messages of all failed tasks."""
        return [str(each.result.get("msg", each.result)) for each in self.results if each.status == "failed"]


class Ansible:
    """Runs playbooks in a sandbox, with nothing of the user's own Ansible, by the server of `playbook_server`."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self._runs = 0

    def playbook(
        self,
        playbook: str | Sequence[Json],
        extra_vars: Mapping[str, Any] | None = None,
        *,
        check: bool = False,
        diff: bool = False,
        inventory: Path | Json | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        fails: bool = False,
    ) -> PlaybookRun:
        """Run a playbook by its name (aks.gpu.site), its path, or its plays.

        Args:
            playbook: The name or path, or a list of plays.
            extra_vars: What -e takes.
            check: Run with --check.
            diff: Run with --diff.
            inventory: A file, or an inventory in YAML's structure. None: no inventory.
            arguments: More words of the command line.
            environment: Variables over the sandbox's.
            fails: The run has to fail; otherwise it has to succeed.
        """
        playbook, record = self._next(playbook)
        if isinstance(inventory, dict):
            file = self.folder / f"inventory-{self._runs}.yml"
            file.write_text(yaml.safe_dump(inventory))
            inventory = file
        command = ["ansible-playbook", playbook, *(["-i", str(inventory)] if inventory else [])]
        command += ["-e", json.dumps(dict(extra_vars or {})), *arguments]
        command += ["--check"] * check + ["--diff"] * diff
        status, printed = self._run(command, {**self._environment(record), **(environment or {})})
        assert (status != 0) == fails, f"{shlex.join(command)}\nended with {status}:\n{printed}"
        lines = [json.loads(line) for line in record.read_text().splitlines()]
        return PlaybookRun(
            status=status,
            output=printed,
            results=[TaskResult(**line) for line in lines if "task" in line],
            stats=next((line["stats"] for line in lines if "stats" in line), {}),
        )

    def _run(self, command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        """The exit status, and all that was printed."""
        with tempfile.TemporaryFile() as output:
            script = str(Path(sys.executable).with_name(command[0]))
            server = Server.of(Path(sys.executable), environment)
            run = server.start([script, *command[1:]], cwd=self.folder, environment=environment, output=output)
            status = run.wait()
            output.seek(0)
            return status, output.read().decode()

    def killed(self, plays: Sequence[Json], when: Callable[[], bool], seconds: float = 120.0) -> None:
        """Run plays, and kill ansible-playbook with all its workers (SIGKILL) as soon as something is so."""
        playbook, record = self._next(plays)
        environment = self._environment(record)
        with subprocess.Popen(
            ["ansible-playbook", playbook],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            deadline = time.monotonic() + seconds
            try:
                while not when():
                    assert process.poll() is None, "it ended before it could be killed"
                    assert time.monotonic() < deadline, "what it should be killed at never came"
                    time.sleep(0.05)
            finally:
                kill_tree(process.pid)

    def _next(self, playbook: str | Sequence[Json]) -> tuple[str, Path]:
        """The playbook's name or path, and the record of its run."""
        self._runs += 1
        record = self.folder / f"run-{self._runs}.jsonl"
        record.touch()
        if isinstance(playbook, str):
            return playbook, record
        path = self.folder / f"run-{self._runs}.yml"
        path.write_text(yaml.safe_dump(list(playbook)))
        return str(path), record

    def _environment(self, record: Path) -> dict[str, str]:
        return {
            **tool_environment(Path(sys.executable)),
            **self.sandbox.variables,
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "integration" / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "record",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "AKS_GPU_RECORD": str(record),
        }

    def module(
        self, name: str, options: Json, *, check: bool = False, environment: Mapping[str, str] | None = None
    ) -> Json:
        """Run one task on localhost and return its result, failed or not (`result["failed"]`)."""
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [{"name": "Task", name: options, "ignore_errors": True}],
        }
        run = self.playbook([play], check=check, diff=True, environment=environment)
        return {**run["Task"], "failed": run.results[-1].status == "ignored"}

    def four(self, name: str, options: Json) -> tuple[Json, Json, Json, Json]:
        """A module in check mode, for real, for real again, and in check mode again."""
        return (
            self.module(name, options, check=True),
            self.module(name, options),
            self.module(name, options),
            self.module(name, options, check=True),
        )
