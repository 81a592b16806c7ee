# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook for tests, in forks of a process that has loaded the libraries below Ansible.

Two thirds of the computing of a short run is loading Python modules, and the tests make more than a thousand short
runs. Ansible itself and the collection are loaded anew by each run, for they read the environment as they load. What
looks at the command lines of processes needs the ordinary way: here a run has the server's.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import runpy
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, ClassVar

LIBRARIES = (
    "argparse", "asyncio", "concurrent.futures.thread", "configparser", "dataclasses", "decimal", "difflib",
    "getpass", "hashlib", "html", "http.client", "importlib.metadata", "importlib.resources", "inspect",
    "logging.handlers", "multiprocessing.queues", "multiprocessing.synchronize", "platform", "pwd", "shlex", "ssl",
    "subprocess", "tarfile", "tempfile", "typing", "urllib.request", "uuid", "xml.etree.ElementTree", "zipfile",
    "azure.core.pipeline.policies", "azure.core.pipeline.transport", "azure.identity", "cryptography.x509",
    "cryptography.hazmat.primitives.serialization", "jinja2.nativetypes", "msal", "packaging.version", "requests",
    "resolvelib", "yaml", "kubernetes",
)  # fmt: skip


class Process:
    """A run; what `subprocess.Popen` tells of one.

    Attributes:
        pid: Of ansible-playbook, which leads a session of its own.
    """

    def __init__(self, answers: socket.socket, args: Sequence[str]) -> None:
        self._answers = answers
        self._args = list(args)
        self._received = b""
        self.pid = int(self._line(None))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, -N after signal N; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status.

        Raises:
            subprocess.TimeoutExpired: It still runs after so many seconds.
        """
        if self.returncode is None:
            self.returncode = int(self._line(timeout))
            self._answers.close()
        return self.returncode

    def _line(self, timeout: float | None) -> bytes:
        end = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._received:
            left = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([self._answers], [], [], left)[0]:
                raise subprocess.TimeoutExpired(self._args, timeout or 0.0)
            data = self._answers.recv(64)
            if not data:
                raise ConnectionError(f"the server of runs is gone, and {self._args} with it")
            self._received += data
        line, _newline, self._received = self._received.partition(b"\n")
        return line


class Server:
    """One of them, for a Python; it ends when this process does."""

    _all: ClassVar[dict[tuple[str, ...], Server]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, python: str, environment: Mapping[str, str]) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [python, str(Path(__file__)), str(theirs.fileno())],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        atexit.register(self._close)

    def _close(self) -> None:
        self._requests.close()
        self._process.wait()

    @classmethod
    def of(cls, python: Path, environment: Mapping[str, str]) -> Server:
        """The server whose interpreter started with the variables that an interpreter reads as it starts."""
        early = {
            name: value
            for name, value in environment.items()
            if name.startswith(("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")) or name in ("HOME", "TZ")
        }
        key = (str(python), *(f"{name}={value}" for name, value in sorted(early.items())))
        with cls._lock:
            if key not in cls._all:
                cls._all[key] = cls(str(python), {**early, "PATH": environment.get("PATH", os.defpath)})
            return cls._all[key]

    def start(
        self, command: Sequence[str], *, cwd: str | Path, environment: Mapping[str, str], output: IO[bytes]
    ) -> Process:
        """Start a console script of the server's Python.

        Args:
            command: The script's path, and its arguments.
            cwd: Where it runs.
            environment: All of its variables.
            output: A file for what it prints, errors as well.
        """
        ours, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as request:
            request.write(json.dumps({"argv": list(command), "cwd": str(cwd), "env": dict(environment)}).encode())
            request.seek(0)
            with self._lock:
                socket.send_fds(self._requests, [b"run"], [request.fileno(), theirs.fileno(), output.fileno()])
        return Process(ours, command)


def serve(requests: socket.socket) -> None:
    """Fork for each request: a keeper, which tells its end, and the run below it."""
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    keepers: set[int] = set()
    while True:
        data, descriptors, _flags, _address = socket.recv_fds(requests, 16, 3)
        if not data:
            return None
        keeper = os.fork()
        if keeper == 0:
            requests.close()
            return keep(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        keepers = {pid for pid in keepers | {keeper} if not os.waitpid(pid, os.WNOHANG)[0]}


def keep(request: int, answers: int, output: int) -> None:
    """Run what is asked for in a child, and tell its pid and its exit status."""
    with os.fdopen(request, "rb") as file:
        asked = json.loads(file.read())
    run = os.fork()
    if run == 0:
        os.close(answers)
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["env"])
        sys.argv = asked["argv"]
        sys.path[0] = str(Path(sys.argv[0]).parent)
        runpy.run_path(sys.argv[0], run_name="__main__")
        return
    os.close(output)
    os.write(answers, b"%d\n" % run)
    status = os.waitstatus_to_exitcode(os.waitpid(run, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        os.write(answers, b"%d\n" % status)
    os._exit(0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
