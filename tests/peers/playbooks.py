# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs tasks by ansible-playbook, as a user would, and returns what they gave."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from playbook_server import Process, Server

Json = dict[str, Any]
Started = subprocess.Popen[bytes] | Process


@dataclass(frozen=True)
class Ran:
    """A finished, or ended, ansible-playbook.

    Attributes:
        status: Its exit status; None when it was killed at the time limit.
        output: Standard output and standard error together.
        seconds: How long it ran.
        tasks: What each task showed to callbacks, in order: `task`, its name; `status`, ok | failed | ignored | …;
            `result`.
    """

    status: int | None
    output: str
    seconds: float
    tasks: list[Json] = field(default_factory=list)

    @property
    def last(self) -> Json | None:
        """The result of the last task that ended, `failed` among it; None: none did."""
        if not self.tasks:
            return None
        return {**self.tasks[-1]["result"], "failed": self.tasks[-1]["status"] in ("failed", "ignored")}


@dataclass(frozen=True)
class Ansible:
    """An installation of Ansible with a collection.

    Attributes:
        python: The Python that it is installed for.
        collections: The folder for the collections path.
        environment: Environment variables of every run.
        by_server: ansible-playbook is a fork of a process that has loaded its libraries (see `playbook_server`).
    """

    python: Path
    collections: Path
    environment: Mapping[str, str]
    by_server: bool = False

    def run(
        self,
        tasks: list[Json],
        *arguments: str,
        limit: float = 120.0,
        environment: Mapping[str, str] | None = None,
        while_running: Callable[[Started], object] | None = None,
    ) -> Ran:
        """Run tasks on localhost.

        Args:
            tasks: As in a playbook.
            arguments: More arguments of ansible-playbook.
            limit: Seconds after which the run and all that it started are killed.
            environment: More environment variables.
            while_running: Called with the process once it has been started.
        """
        with tempfile.TemporaryDirectory(prefix="aks-gpu-play-") as folder:
            playbook = Path(folder) / "play.yml"
            play = {
                "hosts": "localhost",
                "connection": "local",
                "gather_facts": False,
                "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
                "tasks": tasks,
            }
            playbook.write_text(json.dumps([play]))
            command = [str(self.python.parent / "ansible-playbook"), str(playbook), *arguments]
            return self.command(command, Path(folder), limit, environment or {}, while_running)

    def command(
        self,
        command: list[str],
        folder: Path,
        limit: float,
        environment: Mapping[str, str],
        while_running: Callable[[Started], object] | None = None,
    ) -> Ran:
        """Run a command of this installation in a folder of its own; arguments as of `run`."""
        results = folder / "results.jsonl"
        settings = {
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parents[1] / "integration" / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "record",
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(folder / "ansible"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "AKS_GPU_RECORD": str(results),
        }
        log = folder / "output.log"
        (folder / "ansible.cfg").touch()
        began = time.monotonic()
        with log.open("wb") as output:
            process = self._start(command, folder, {**self.environment, **settings, **environment}, output)
            with _ended(process):
                if while_running is not None:
                    while_running(process)
                try:
                    status = process.wait(max(0.1, limit - (time.monotonic() - began)))
                except subprocess.TimeoutExpired:
                    status = None
        lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
        tasks = [line for line in lines if "task" in line]
        return Ran(status, log.read_text(errors="replace"), time.monotonic() - began, tasks)

    def _start(self, command: list[str], folder: Path, environment: Mapping[str, str], output: IO[bytes]) -> Started:
        if self.by_server and Path(command[0]).name == "ansible-playbook":
            command = [str(self.python.with_name("ansible-playbook")), *command[1:]]
            return Server.of(self.python, environment).start(
                command, cwd=folder, environment=environment, output=output
            )
        return subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextlib.contextmanager
def _ended(process: Started) -> Iterator[None]:
    """Nothing of the process's session is left afterwards."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def python_under_test() -> Path:
    """The Python whose Ansible is tested: of the ``bin`` that AKS_GPU_TEST_ANSIBLE names, else this one."""
    binaries = os.environ.get("AKS_GPU_TEST_ANSIBLE")
    return Path(binaries, "python") if binaries else Path(sys.executable)


def without_foreign_settings() -> dict[str, str]:
    """The environment of this process without what steers Ansible, Azure or Python."""
    foreign = ("ANSIBLE_", "AZURE_", "ARM_", "KUBE", "PYTEST_", "PYTHONPATH", "VIRTUAL_ENV", "AKS_SANDBOX_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {
        **environment,
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": environment.get("HOME", str(Path.home())),
    }


def program(python: Path, name: str) -> str:
    """The program beside a Python, else the one on PATH."""
    beside = python.parent / name
    return str(beside) if beside.exists() else shutil.which(name) or name
