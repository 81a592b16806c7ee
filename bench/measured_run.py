# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs ansible-playbook and says what that cost: time, CPU of all its processes, memory, host-tasks, requests."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from emulated import RESOURCE_GROUP, Emulated
from environment import SetUpError
from processes import descendants

Json = dict[str, Any]

SAMPLE_SECONDS = 1.0
LIMIT_SECONDS = 3000.0


@dataclass(frozen=True)
class Cost:
    """What one run of ansible-playbook took.

    Attributes:
        wall: Seconds from its start to its end.
        cpu: Seconds of CPU of the process and of all that it started, user and system.
        emulator: Seconds of CPU of the emulated Azure meanwhile.
        memory: The largest sum of the memory of all its processes, in MB (10^6 bytes); shared pages count once.
        host_tasks: Tasks times hosts, skipped ones too.
        outcomes: Host-tasks by outcome: ok, changed, failed, skipped.
        tasks: Host-tasks by task.
        requests: What was asked of Resource Manager, by method and kind of resource.
        tokens: Tokens asked for.
        output: What it printed.
    """

    wall: float
    cpu: float
    emulator: float
    memory: float
    host_tasks: int
    outcomes: Mapping[str, int]
    tasks: Mapping[str, int]
    requests: Counter[str]
    tokens: int
    output: str = field(repr=False)

    @property
    def reads(self) -> int:
        """Reads of Resource Manager: GETs, and the POSTs that only read."""
        return sum(count for what, count in self.requests.items() if what.startswith("GET") or "Credential" in what)


@dataclass(frozen=True)
class Contestant:
    """An installation of Ansible with a collection, and the environment that its users set."""

    python: Path
    collections: Path
    environment: Mapping[str, str]


def inventory_of(count: int, **variables: Any) -> Json:
    """An inventory of the emulated clusters: a host is a cluster."""
    names = ["myAKSCluster", *(f"myAKSCluster{number}" for number in range(2, count + 1))]
    common = {"aks_resource_group": RESOURCE_GROUP, "ansible_connection": "local", **variables}
    return {"all": {"vars": common, "hosts": {name.lower(): {"aks_cluster_name": name} for name in names}}}


def play(*tasks: Json, **keywords: Any) -> list[Json]:
    """A play over all clusters, in Ansible's own Python, as the playbooks of the collection have it."""
    variables = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    return [{"hosts": "all", "gather_facts": False, "vars": variables, **keywords, "tasks": list(tasks)}]


def run(
    contestant: Contestant,
    azure: Emulated,
    playbook: str | Sequence[Json],
    inventory: Json,
    *arguments: str,
    forks: int = 5,
    environment: Mapping[str, str] | None = None,
) -> Cost:
    """Runs a playbook over an inventory.

    Args:
        contestant: Whose Ansible.
        azure: The emulated Azure.
        playbook: Its name, or plays.
        inventory: In YAML's structure.
        arguments: More words of the command line.
        forks: Ansible's forks.
        environment: More environment variables.

    Raises:
        SetUpError: A host failed: then nothing of it counts.
    """
    with tempfile.TemporaryDirectory(prefix="aks-gpu-bench-") as name:
        folder = Path(name)
        (folder / "inventory.json").write_text(json.dumps(inventory))
        (folder / "ansible.cfg").touch()
        if not isinstance(playbook, str):
            (folder / "play.json").write_text(json.dumps(list(playbook)))
            playbook = str(folder / "play.json")
        command = [str(contestant.python.parent / "ansible-playbook"), playbook, "-i", str(folder / "inventory.json")]
        settings = {
            **contestant.environment,
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "count",
            "ANSIBLE_COLLECTIONS_PATH": str(contestant.collections),
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(folder / "ansible"),
            "ANSIBLE_NOCOLOR": "true",
            "AKS_GPU_COUNT": str(folder / "count.json"),
            "PYTHONDONTWRITEBYTECODE": "",
            **(environment or {}),
        }
        return _measured([*command, "--forks", str(forks), *arguments], settings, folder, azure)


def _measured(command: list[str], environment: dict[str, str], folder: Path, azure: Emulated) -> Cost:
    log = folder / "output.log"
    mark, daemon = azure.mark(), azure.state.holder()
    assert daemon is not None
    emulator = _cpu_of(daemon)
    began = monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        with _Memory(process.pid) as memory:
            _pid, status, usage = os.wait4(process.pid, 0)
            wall = monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text(errors="replace")
    if process.returncode != 0:
        raise SetUpError(f"{' '.join(command)} ended with {process.returncode}:\n{text[:1500]} … {text[-1500:]}")
    counted = json.loads((folder / "count.json").read_text())
    sent = azure.sent(mark)
    return Cost(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        emulator=_cpu_of(daemon) - emulator,
        memory=memory.largest / 1e6,
        host_tasks=sum(counted["tasks"].values()),
        outcomes=counted["outcomes"],
        tasks=counted["tasks"],
        requests=Counter(kind for each in sent if (kind := _kind(each))),
        tokens=sum(each["url"].endswith("/token") for each in sent),
        output=text,
    )


def _kind(entry: Json) -> str | None:
    """What a request to Resource Manager was for: method and the last type of its path; None: not to it."""
    path = urlsplit(entry["url"]).path
    if not path.lower().startswith("/subscriptions/"):
        return None
    parts = path.strip("/").split("/")
    kind = parts[-1] if len(parts) % 2 else parts[-2]
    return f"{entry['method']} {kind}" + (f" ({entry['status']})" if entry["status"] >= 400 else "")


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class _Memory:
    """Looks at the memory of a process and of all that it started, once a second.

    Attributes:
        largest: Bytes, at their largest.
    """

    def __init__(self, pid: int) -> None:
        self.largest = 0
        self._pid = pid
        self._end = threading.Event()
        self._thread = ThreadPoolExecutor(1)
        self._looking = self._thread.submit(self._look)

    def __enter__(self) -> _Memory:
        return self

    def __exit__(self, *_exception: object) -> None:
        """Ends the looking, also when what is looked at was interrupted; raises what has ended it before."""
        self._end.set()
        self._thread.shutdown()
        self._looking.result()

    def _look(self) -> None:
        while not self._end.wait(SAMPLE_SECONDS):
            self.largest = max(self.largest, sum(map(_proportional, [self._pid, *descendants(self._pid)])))


def _proportional(pid: int) -> int:
    """The memory of a process, its shares of shared pages among it."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
