# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one wait costs in a large cluster, with large logs, and at a server that ends its watches: figure, bar, verdict.

Each module runs in a process of its own, before a stand-in API server in another one (`scale_server.py`); CPU and
memory are those of the module's process alone. `make bench` has these rows too.

    python bench/scale.py [ROW ...] [--scale 0.1]
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import large_cluster
from environment import COLLECTIONS, SetUpError, link_collection, say
from peers import print_table

Json = dict[str, Any]

HERE = Path(__file__).parent
NODES = 5000
LOG_BYTES = 10**9
BAR_BYTES = 8 * 10**6
WATCHED_SECONDS = 30
SETTLED_SECONDS = 3.0
"""From when on the requests of watches that end at once are counted: the first lists and watches are before."""

ROUNDS = 5
"""Of judging; the quickest counts."""


@dataclass(frozen=True)
class Measured:
    """One line of the table."""

    figure: str
    value: str
    wanted: str
    reached: bool


@dataclass(frozen=True)
class Run:
    """What a module returned, and what its process took: seconds of CPU, MB (10^6 bytes) at its largest."""

    result: Json
    cpu: float
    memory: float
    wall: float


class Server:
    """A stand-in API server that runs."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.kubeconfig = {
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }

    def requests(self) -> list[tuple[float, str]]:
        """The requests so far: seconds since its start, path."""
        with urllib.request.urlopen(f"{self.url}/bench/requests") as answer:
            return [(float(when), str(path)) for when, path in json.load(answer)["requests"]]


@contextlib.contextmanager
def serving(**settings: Any) -> Iterator[Server]:
    """Runs a stand-in API server; `scale_server.py` says with which settings."""
    usual = {"nodes": 1, "plugin_runs": True, "watches": "hold", "log": "none", "log_bytes": 0, "chunk_bytes": 16384}
    command = [sys.executable, str(HERE / "scale_server.py"), json.dumps({**usual, **settings})]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield Server(int(process.stdout.readline()))
        finally:
            process.kill()


def run(server: Server, module: str, options: Json) -> Run:
    """Runs a module in a process of its own.

    Raises:
        SetUpError: It did not end with a result.
    """
    name = f"ansible_collections.aks.gpu.plugins.modules.{module}"
    arguments = json.dumps({"kubeconfig": server.kubeconfig, **options})
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    places = (str(link_collection()), environment.get("PYTHONPATH", ""))
    environment["PYTHONPATH"] = os.pathsep.join(places)
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        command = [sys.executable, str(HERE / "one_task.py"), name, arguments]
        subprocess.run(command, stdout=output, stderr=errors, env=environment, check=False)
        wall = time.monotonic() - began
        output.seek(0)
        errors.seek(0)
        try:
            result = json.loads(output.read().decode().strip().splitlines()[-1])
            took = json.loads(errors.read().decode().strip().splitlines()[-1])
        except (ValueError, IndexError) as error:
            errors.seek(0)
            raise SetUpError(f"{module} gave no result: {errors.read().decode()[-2000:]}") from error
    return Run(result, took["cpu"], took["peak_mib"] * 2**20 / 1e6, wall)


def large(scale: float) -> list[Measured]:
    """The first verdict in a cluster of 5,000 nodes and 150,000 Pods, where all is well and where no plugin runs."""
    nodes = _scaled(NODES, scale)
    rows = []
    for runs in (True, False):
        with serving(nodes=nodes, plugin_runs=runs) as server:
            wanted = {"node_pool": large_cluster.POOL, "nodes": nodes, "gpus_per_node": large_cluster.GPUS}
            took = run(server, "wait_for_gpus", {**wanted, "wait_timeout": 900, "_ansible_check_mode": True})
        _require(took, took.result["gpus_ready"] is runs and len(took.result["nodes"]) == nodes)
        rows.append(
            Measured(
                f"first verdict, {nodes} nodes, {nodes * large_cluster.PODS_PER_NODE} Pods, "
                f"{'all well' if runs else 'no plugin runs'}",
                f"{took.cpu:.0f} s CPU, {took.memory:.0f} MB, {took.wall:.0f} s",
                "<= 60 s CPU, <= 1000 MB",
                took.cpu <= 60 and took.memory <= 1000,
            )
        )
    return rows


def judging(scale: float) -> list[Measured]:
    """How the CPU of a verdict grows from 2,500 to 5,000 nodes, for GPUs and for a Job with a Pod on each node."""
    few, many = _scaled(NODES // 2, scale), _scaled(NODES, scale)
    rows = []
    for what, judge in _JUDGED.items():
        link_collection()
        # In a process of its own, so that what one leaves behind is not what the next one pays for.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _find_collection) as process:
            small, big = (process.submit(judge, count).result() for count in (few, many))
        growth = big / small
        rows.append(
            Measured(
                f"judging {what}, {few} -> {many} nodes",
                f"{small * 1000:.0f} -> {big * 1000:.0f} ms CPU, {growth:.2f}x",
                "<= 2.2x",
                growth <= 2.2,
            )
        )
    return rows


def log_followed(scale: float) -> list[Measured]:
    """The memory of following a log of 1 GB, as fast as it comes."""
    size = _scaled(LOG_BYTES, scale)
    took = _followed(log="lines", log_bytes=size)
    value = f"{took.memory:.0f} MB, {took.cpu:.0f} s CPU, {size / took.wall / 1e6:.0f} MB/s"
    return [Measured(f"a log of {size // 10**6} MB followed", value, "<= 300 MB", took.memory <= 300)]


def bars(scale: float) -> list[Measured]:
    """The CPU of 8 MB of progress bars without a line end, beyond that of the same Job with a short log."""
    size = _scaled(BAR_BYTES, scale)
    without = _followed(log="lines", log_bytes=1).cpu
    rows = []
    for chunk, said in ((16384, "in blocks of 16 KiB"), (1, "one bar at a time")):
        cost = _followed(log="bars", log_bytes=size, chunk_bytes=chunk).cpu - without
        figure = f"{size / 1e6:g} MB of progress bars, {said}"
        rows.append(Measured(figure, f"{cost:.2f} s CPU beside {without:.2f} s", "<= 2 s", cost <= 2))
    return rows


def ended_watches(scale: float) -> list[Measured]:
    """The requests of a wait whose watches all end at once."""
    seconds = max(10, round(WATCHED_SECONDS * scale))
    with serving(nodes=2, plugin_runs=False, watches="end") as server:
        options = {"node_pool": large_cluster.POOL, "nodes": 2, "wait_timeout": seconds, "grace": 3600}
        took = run(server, "wait_for_gpus", options)
        requests = server.requests()
    _require(took, took.result.get("failed") is True and "could not be used within" in took.result["msg"])
    first = requests[0][0] + SETTLED_SECONDS
    later = [when for when, _path in requests if when > first]
    rate = (len(later) - 1) / (later[-1] - later[0]) if len(later) > 1 else 0.0
    value = f"{rate:.2f} requests a second ({len(later)}, after {len(requests) - len(later)} to begin with)"
    return [Measured(f"watches that end at once, {seconds} s", value, "<= 2 a second", rate <= 2)]


ROWS: dict[str, Callable[[float], list[Measured]]] = {
    "large": large,
    "judging": judging,
    "log": log_followed,
    "bars": bars,
    "watches": ended_watches,
}


def _followed(**settings: Any) -> Run:
    with serving(**settings) as server:
        took = run(server, "wait_for_job", {"name": "work", "namespace": "default", "wait_timeout": 3000})
    _require(took, took.result.get("job", {}).get("complete") is True)
    return took


def _find_collection() -> None:
    sys.path.insert(0, str(COLLECTIONS))


def _judged_gpus(nodes: int, *, runs: bool) -> float:
    from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_nodes import evaluate_state, watched
    from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_observations import Expectation
    from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._watch import State

    expected = Expectation(node_pool=large_cluster.POOL, nodes=nodes, gpus_per_node=large_cluster.GPUS)
    queries = watched(expected)
    places = range(large_cluster.GPUS + 1)  # The other Pods of a node are not kept.
    numbers = (where * large_cluster.PODS_PER_NODE + place for where in range(nodes) for place in places)
    made = {
        "nodes": (large_cluster.node(each, gpus=large_cluster.GPUS if runs else 0) for each in range(nodes)),
        "pods": (large_cluster.pod(each, running=runs) for each in numbers),
        "daemon_sets": iter([large_cluster.daemon_set()]),
    }
    state = State({name: {} for name in queries})
    for name, objects in made.items():
        for found in objects:
            kept = queries[name].keep(found)
            if kept is not None:
                state.objects[name][found["metadata"]["uid"]] = kept
    verdict = evaluate_state(expected, state)
    assert (verdict.done, len(verdict.nodes)) == (runs, nodes)
    return _quickest(lambda: evaluate_state(expected, state))


def _judged_well(nodes: int) -> float:
    return _judged_gpus(nodes, runs=True)


def _judged_ill(nodes: int) -> float:
    return _judged_gpus(nodes, runs=False)


def _judged_job(nodes: int) -> float:
    from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._job_logs import JobLogs
    from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._jobs import evaluate_job, job_result

    job = {"metadata": {"name": "work", "namespace": "default", "uid": "job"}, "spec": {"completions": nodes}}
    pods = [large_cluster.pod(each * large_cluster.PODS_PER_NODE + 1) for each in range(nodes)]
    message = "0/5000 nodes are available: 5000 node(s) had untolerated taint {sku: gpu}."
    waits = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    for found in pods[::2]:
        del found["spec"]["nodeName"], found["spec"]["tolerations"]
        found["status"] = {"phase": "Pending", "conditions": [waits]}
    events = [
        {"involvedObject": {"uid": found["metadata"]["uid"]}, "reason": "FailedMount", "message": "m"} for found in pods
    ]
    evidence = JobLogs()
    evidence.take((f"{found['metadata']['uid']}/trainer/0", "step 1") for found in pods)
    every_node = [large_cluster.node(each) for each in range(nodes)]

    def judge() -> None:
        assert evaluate_job(job, pods, events, every_node, evidence).problems
        job_result("default", "work", job, pods, evidence)

    return _quickest(judge)


_JUDGED: dict[str, Callable[[int], float]] = {
    "GPUs, all well": _judged_well,
    "GPUs, no plugin runs": _judged_ill,
    "a Job, half of its Pods without a node": _judged_job,
}


def _quickest(judge: Callable[[], object]) -> float:
    times = []
    for _round in range(ROUNDS):
        gc.collect()
        began = time.process_time()
        judge()
        times.append(time.process_time() - began)
    return min(times)


def _scaled(number: int, scale: float) -> int:
    return max(2, round(number * scale))


def _require(took: Run, as_wanted: bool) -> None:
    if not as_wanted:
        raise SetUpError(f"The module did not do what is measured: {json.dumps(took.result)[:2000]}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scale.py", description=__doc__.partition("\n")[0])
    parser.add_argument("rows", nargs="*", help=f"only these: {', '.join(ROWS)}; default: all")
    parser.add_argument("--scale", type=float, default=1.0, help="times the sizes (default: %(default)s)")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    say(f"  {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    table: list[Measured] = []
    for name in options.rows or ROWS:
        rows = ROWS[name](options.scale)
        for row in rows:
            say(f"  {row.figure}: {row.value}")
        table += rows
    say("")
    cells = [(each.figure, each.value, each.wanted, "reached" if each.reached else "MISSED") for each in table]
    print_table(("figure", "measured", "bar", "verdict"), cells)
    return 0 if all(each.reached for each in table) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetUpError as error:
        sys.exit(f"make bench: {error}")
