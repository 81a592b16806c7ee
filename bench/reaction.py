# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long it takes from a change in the cluster until a wait has seen it: ours, kubernetes.core's, and kubectl's.

A real control plane; two changes: a Job completes, a node begins to offer its GPU. Each is waited for in turn by our
module and by kubernetes.core.k8s_info with until and retries, both in a playbook whose next task says that the wait is
over, and by `kubectl wait`, whose end says so. The change comes at a random moment, so that no poll is lucky each time.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml
from aks_sandbox.testing import Sandbox
from environment import COLLECTIONS, Pip, SetUpError, kept_environment, say
from peer_environments import ANSIBLE, pinned
from peers import print_table

from playbooks import without_foreign_settings

Json = dict[str, Any]

COLLECTION = "ansible_collections/kubernetes/core/"
GOAL_SECONDS = 0.5
"""From the change to our reaction, at most."""

SETTLE_SECONDS = 6.0
"""Until every contestant waits."""

RANDOM_SECONDS = 5.0
"""The change comes within so long after that: one interval of kubernetes.core's polls."""

OVER = "TASK [It is over]"
GPU = "nvidia.com/gpu"


def peer_python() -> Path:
    """The Python of an environment with kubernetes.core, the Python client it needs, and our ansible-core.

    Raises:
        SetUpError: It could not be made.
    """
    core, client = pinned("ansible-core"), pinned("kubernetes")

    def install(pip: Pip) -> None:
        with tempfile.TemporaryDirectory(prefix="aks-gpu-peer-") as folder:
            pip("download", "--no-deps", "--ignore-requires-python", "--dest", folder, ANSIBLE)
            with zipfile.ZipFile(next(Path(folder).glob("ansible-*.whl"))) as wheel:
                wheel.extractall(pip.home, [name for name in wheel.namelist() if name.startswith(COLLECTION)])
        pip("install", core, client)

    return kept_environment("peer-kubernetes", [ANSIBLE, core, client], "kubernetes.core and its client", install)


class Cluster:
    """The API server as its administrator, by plain requests: the change is made by one of them."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        files = {}
        for name, data in (
            ("ca", cluster["certificate-authority-data"]),
            ("crt", user["client-certificate-data"]),
            ("key", user["client-key-data"]),
        ):
            files[name] = folder / name
            files[name].touch(0o600)
            files[name].write_bytes(base64.b64decode(data))
        self._server = cluster["server"]
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(files["ca"])
        self._session.cert = (str(files["crt"]), str(files["key"]))

    def send(self, method: str, path: str, body: Json | None = None) -> Json:
        """Send a request, and return the object that is the answer."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        answer = self._session.request(method, self._server + path, json=body, headers={"Content-Type": kind})
        answer.raise_for_status()
        return dict(answer.json())


@dataclass(frozen=True)
class Change:
    """Something that is waited for.

    Attributes:
        name: What it is.
        prepare: Makes it still to come.
        happen: Lets it happen, by one request.
        ours: Our task that waits for it, without the kubeconfig.
        theirs: kubernetes.core's, likewise, with until.
        kubectl: The words of `kubectl wait`.
    """

    name: str
    prepare: Callable[[], None]
    happen: Callable[[], None]
    ours: Json
    theirs: Json
    kubectl: tuple[str, ...]


def job_completes(cluster: Cluster) -> Change:
    """A Job that no controller manages, so that its status is ours to write."""
    path = "/apis/batch/v1/namespaces/default/jobs"
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "example.invalid/work:1"}]}
    job = {"metadata": {"name": "work"}, "spec": {"managedBy": "example.com/bench", "template": {"spec": pod}}}

    def prepare() -> None:
        with contextlib.suppress(requests.HTTPError):
            cluster.send("DELETE", f"{path}/work", {"propagationPolicy": "Background"})
            while cluster.send("GET", f"{path}/work"):
                time.sleep(0.1)
        cluster.send("POST", path, job)
        cluster.send("PATCH", f"{path}/work/status", {"status": {"startTime": _now()}})

    def happen() -> None:
        conditions = [
            {"type": name, "status": "True", "reason": "CompletionsReached", "lastTransitionTime": _now()}
            for name in ("SuccessCriteriaMet", "Complete")
        ]
        status = {"conditions": conditions, "completionTime": _now(), "succeeded": 1}
        cluster.send("PATCH", f"{path}/work/status", {"status": status})

    complete = (
        "found.resources[0].status.conditions | default([]) | selectattr('type', 'eq', 'Complete') | list | length > 0"
    )
    return Change(
        "a Job completes",
        prepare,
        happen,
        {"aks.gpu.wait_for_job": {"name": "work", "namespace": "default", "wait_timeout": 120}},
        {"kubernetes.core.k8s_info": {"api_version": "batch/v1", "kind": "Job", "name": "work", "namespace": "default"},
         "register": "found", "until": complete},
        ("--for=condition=complete", "job/work"),
    )  # fmt: skip


def node_offers_gpu(cluster: Cluster) -> Change:
    """A node of the system pool, which has none, is made to offer one."""
    nodes = cluster.send("GET", "/api/v1/nodes?labelSelector=agentpool%3Dnodepool1")["items"]
    node = nodes[0]["metadata"]["name"]
    path = f"/api/v1/nodes/{node}/status"

    def offer(count: str | None) -> None:
        cluster.send("PATCH", path, {"status": {"capacity": {GPU: count}, "allocatable": {GPU: count}}})

    options = {"node_pool": "nodepool1", "nodes": 1, "gpus_per_node": 1, "wait_timeout": 120, "grace": 120}
    return Change(
        "a node offers its GPU",
        lambda: offer(None),
        lambda: offer("1"),
        {"aks.gpu.wait_for_gpus": options},
        {"kubernetes.core.k8s_info": {"api_version": "v1", "kind": "Node", "name": node},
         "register": "found", "until": f"found.resources[0].status.allocatable['{GPU}'] | default('0') == '1'"},
        ("--for=jsonpath={.status.allocatable.nvidia\\.com/gpu}=1", f"node/{node}"),
    )  # fmt: skip


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@dataclass(frozen=True)
class Contestant:
    """Something that waits.

    Attributes:
        name: What it is.
        command: Returns its command line for a change.
        environment: Its environment.
        sign: What it prints when the wait is over; empty: its end is the sign.
    """

    name: str
    command: Callable[[Change], list[str]]
    environment: dict[str, str]
    sign: str


def contestants(kubeconfig: Path, kubectl: str, peer: Path, folder: Path) -> list[Contestant]:
    """Ours, kubernetes.core's at its default pace and at a quick one, kubectl's."""
    common = {**without_foreign_settings(), "NO_PROXY": "localhost", "no_proxy": "localhost", "PYTHONUNBUFFERED": "1",
              "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false"}  # fmt: skip

    def playbook(python: Path, task: Json, name: str) -> list[str]:
        over = {"name": "It is over", "ansible.builtin.debug": {"msg": "It is over"}}
        play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"name": "Wait", **task}, over]}
        path = folder / f"{name}.yml"
        path.write_text(yaml.safe_dump([play]))
        return [str(python.parent / "ansible-playbook"), str(path)]

    def ours(change: Change) -> list[str]:
        ((module, options),) = change.ours.items()
        return playbook(Path(sys.executable), {module: {**options, "kubeconfig": str(kubeconfig)}}, "ours")

    def theirs(delay: int) -> Callable[[Change], list[str]]:
        def command(change: Change) -> list[str]:
            task = {**change.theirs, "retries": 120 // delay, "delay": delay}
            options = {**task["kubernetes.core.k8s_info"], "kubeconfig": str(kubeconfig)}
            return playbook(peer, {**task, "kubernetes.core.k8s_info": options}, f"theirs-{delay}")

        return command

    def waiting(change: Change) -> list[str]:
        return [kubectl, "--kubeconfig", str(kubeconfig), "wait", "--timeout=120s", *change.kubectl]

    their_settings = {**common, "ANSIBLE_COLLECTIONS_PATH": str(peer.parents[1])}
    return [
        Contestant("aks.gpu", ours, {**common, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS)}, OVER),
        Contestant("kubernetes.core.k8s_info, until, delay: 5 (the default)", theirs(5), their_settings, OVER),
        Contestant("kubernetes.core.k8s_info, until, delay: 1", theirs(1), their_settings, OVER),
        Contestant("kubectl wait", waiting, common, ""),
    ]


def reaction(contestant: Contestant, change: Change) -> float:
    """Seconds from the change to the contestant's sign.

    Raises:
        SetUpError: It ended without having seen the change, or before it.
    """
    change.prepare()
    with subprocess.Popen(
        contestant.command(change), env=contestant.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, bufsize=1,
    ) as process:  # fmt: skip
        seen: list[float] = []
        lines: list[str] = []

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if contestant.sign and line.startswith(contestant.sign):
                    seen.append(time.monotonic())
            if not contestant.sign:
                seen.append(time.monotonic())

        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(SETTLE_SECONDS + random.uniform(0.0, RANDOM_SECONDS))
        early = bool(seen)
        changed = time.monotonic()
        change.happen()
        reader.join(90)
        status = process.wait(30)
    if early or status or not seen:
        raise SetUpError(f"{contestant.name} ended with {status}:\n{''.join(lines)[-2000:]}")
    return seen[0] - changed


@contextlib.contextmanager
def cluster_of(sandbox: Sandbox) -> Iterator[tuple[Cluster, Path, Path]]:
    """The cluster, its kubeconfig, and a folder."""
    with tempfile.TemporaryDirectory(prefix="aks-gpu-reaction-") as name:
        folder = Path(name)
        path = folder / "kubeconfig"
        path.touch(0o600)
        path.write_text(sandbox.kubeconfig())
        yield Cluster(path, folder), path, folder


def measure(runs: int) -> list[tuple[str, str, list[float]]]:
    """For each change and contestant, the reactions in seconds."""
    peer = peer_python()
    found = []
    with Sandbox.started("reaction") as sandbox, cluster_of(sandbox) as (cluster, kubeconfig, folder):
        all_of_them = contestants(kubeconfig, sandbox.variables["AKS_SANDBOX_KUBECTL"], peer, folder)
        for change in (job_completes(cluster), node_offers_gpu(cluster)):
            taken: dict[str, list[float]] = {each.name: [] for each in all_of_them}
            for number in range(runs):
                for contestant in all_of_them:
                    taken[contestant.name].append(reaction(contestant, change))
                say(f"  {change.name}: {number + 1} of {runs}")
            found += [(change.name, name, values) for name, values in taken.items()]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="reaction.py", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="how often each change is waited for by each (default: 5)")
    parser.add_argument("--json", type=Path, help="a file for the figures too")
    options = parser.parse_args()
    figures = measure(options.runs)
    say(f"\nFrom the change to the reaction, seconds, {options.runs} times each, {os.cpu_count()} CPUs:\n")
    rows: list[tuple[str, ...]] = [
        (change, name, f"{statistics.median(values):.2f}", f"{min(values):.2f}", f"{max(values):.2f}")
        for change, name, values in figures
    ]
    print_table(("change", "who waits", "median", "fastest", "slowest"), rows)
    if options.json:
        keys = ("change", "who", "seconds")
        options.json.write_text(json.dumps([dict(zip(keys, each, strict=True)) for each in figures], indent=1))
    slow = [value for _change, name, values in figures if name == "aks.gpu" for value in values if value > GOAL_SECONDS]
    if slow:
        say(f"\nOurs took longer than {GOAL_SECONDS} s: {', '.join(f'{value:.2f}' for value in slow)}")
    return 1 if slow else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetUpError as error:
        sys.exit(f"make bench: {error}")
