# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task loads, and what a user installs for it: our node_pool beside azure.azcollection's, in the same run.

Each module is run as a process of its own, on an emulated Azure and a node pool that is as asked: what a task costs
when there is nothing to do. Ours, inside Ansible's process, costs less still; that is measured elsewhere.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ansible
from emulated import CLUSTER, RESOURCE_GROUP, Emulated, emulated
from environment import COLLECTIONS, ROOT, Pip, SetUpError, kept_environment, say
from peer_environments import COLLECTION, peer_collections, peer_python
from peers import peer_settings, print_table

from playbooks import without_foreign_settings

Json = dict[str, Any]

HERE = Path(__file__).parent
POOL = {"vmSize": "Standard_NC4as_T4_v3", "count": 1, "mode": "User"}
ASKED = {"resource_group": RESOURCE_GROUP, "cluster_name": CLUSTER, "name": "gpunp", "vm_size": "Standard_NC4as_T4_v3"}


@dataclass(frozen=True)
class Measured:
    """What one collection costs.

    Attributes:
        packages: Python packages that its requirements.txt brings in.
        megabytes: Of their files (10^6 bytes).
        modules: Python modules that are loaded at the end of the task.
        mib: The process's largest resident memory.
        imported: Seconds to import the module and what it imports at its top.
        first: Seconds from the start of the process to its first request for the node pool.
        whole: Seconds of the whole process.
    """

    packages: int
    megabytes: float
    modules: int
    mib: float
    imported: float
    first: float
    whole: float


def requirements_python() -> Path:
    """The Python of an environment that holds what requirements.txt asks for, and nothing else.

    Raises:
        SetUpError: It could not be made.
    """
    requirements, constraints = ROOT / "requirements.txt", ROOT / "tests" / "constraints.txt"

    def install(pip: Pip) -> None:
        pip("install", "--requirement", requirements, "--constraint", constraints)

    files = [requirements.read_text(), constraints.read_text()]
    return kept_environment("requirements", files, "requirements.txt alone", install)


def measure(python: Path, requirements: Path, module: str, paths: list[Path], azure: Emulated, runs: int) -> Measured:
    """Run a module so many times (once more before, to warm up) and take the medians."""
    tasks = [_task(python, module, paths, azure) for _run in range(runs + 1)][1:]
    median = {name: statistics.median(task[name] for task in tasks) for name in tasks[0]}
    installed = _installed(python, requirements)
    return Measured(
        packages=installed["packages"],
        megabytes=installed["bytes"] / 1e6,
        modules=int(median["modules"]),
        mib=median["peak_mib"],
        imported=median["imported"],
        first=median["first"],
        whole=median["whole"],
    )


def _task(python: Path, module: str, paths: list[Path], azure: Emulated) -> Json:
    environment = {
        **without_foreign_settings(),
        **azure.environment,
        **peer_settings(azure),
        "PYTHONPATH": ":".join(map(str, paths)),
    }
    mark = azure.mark()
    began = time.time()
    done = subprocess.run(
        [python, HERE / "one_task.py", module, json.dumps(ASKED)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    whole = time.time() - began
    if done.returncode != 0 or '"failed": true' in done.stdout:
        raise SetUpError(f"{module} failed: {done.stdout}{done.stderr}")
    path = azure.pool_path("gpunp").lower()
    requests = (each["time"] for each in azure.sent(mark) if urlsplit(each["url"]).path.lower().startswith(path))
    return {**json.loads(done.stderr.splitlines()[-1]), "whole": whole, "first": next(requests, began) - began}


def _installed(python: Path, requirements: Path) -> Json:
    done = subprocess.run(
        [python, HERE / "installed.py", requirements], capture_output=True, text=True, check=True, env={}
    )
    answer: Json = json.loads(done.stdout)
    return answer


def table(ours: Measured, peer: Measured) -> list[tuple[str, ...]]:
    """Rows of the table: what, ours, theirs, their cost as a multiple of ours."""
    rows = [
        ("packages of requirements.txt", ours.packages, peer.packages, "{:.0f}"),
        ("their size, MB", ours.megabytes, peer.megabytes, "{:.1f}"),
        ("modules loaded by a task", ours.modules, peer.modules, "{:.0f}"),
        ("memory at its peak, MiB", ours.mib, peer.mib, "{:.0f}"),
        ("import of the module, s", ours.imported, peer.imported, "{:.2f}"),
        ("process start to first request for the pool, s", ours.first, peer.first, "{:.2f}"),
        ("whole task, nothing to do, s", ours.whole, peer.whole, "{:.2f}"),
    ]
    return [(what, form.format(a), form.format(b), f"{b / a:.1f}x") for what, a, b, form in rows]


def main() -> int:
    parser = argparse.ArgumentParser(prog="imports.py", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each, the median counts (default: %(default)s)")
    options = parser.parse_args()
    peer, alone = peer_python(), requirements_python()
    core = Path(ansible.__path__[0])
    with tempfile.TemporaryDirectory(prefix="aks-gpu-bench-") as folder, emulated() as azure:
        (Path(folder) / "ansible").symlink_to(core)
        azure.set(clock_speed=20.0)
        azure.make_pool("gpunp", POOL)
        azure.settled("gpunp")
        say(f"  {options.runs} runs of each, after one to warm up")
        ours = measure(
            alone,
            ROOT / "requirements.txt",
            "ansible_collections.aks.gpu.plugins.modules.node_pool",
            [Path(folder), COLLECTIONS],
            azure,
            options.runs,
        )
        theirs = measure(
            peer,
            peer_collections(peer) / COLLECTION / "requirements.txt",
            "ansible_collections.azure.azcollection.plugins.modules.azure_rm_aksagentpool",
            [peer_collections(peer)],
            azure,
            options.runs,
        )
    say("")
    print_table(("what", "aks.gpu", "azure.azcollection", "theirs / ours"), table(ours, theirs))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetUpError as error:
        sys.exit(f"make bench: {error}")
