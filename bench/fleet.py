# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: what a fleet costs, and what one wait costs in a large cluster, one table: figure, bar, verdict.

Clusters are emulated, in numbers without control planes; `job` starts real ones. Ratios come from runs one after the
other on the same machine, the best of some; CPU is that of ansible-playbook with all that it started, the emulator's
apart. Reads and tokens are counted in the emulator's record of requests, with AKS's documented throttles on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import main_job
import scale
from emulated import Emulated, emulated
from environment import SetUpError, link_collection, say
from measured_run import Contestant, Cost, inventory_of, play, run
from peer_environments import peer_collections, peer_python
from peers import peer_settings, print_table

from playbooks import without_foreign_settings

Json = dict[str, Any]

SIZE = "Standard_NC4as_T4_v3"
POOL = {
    "vmSize": SIZE, "count": 1, "mode": "User", "enableAutoScaling": True, "minCount": 1, "maxCount": 3,
    "nodeTaints": ["sku=gpu:NoSchedule"], "tags": {"aks.gpu.created-by": "aks.gpu"},
}  # fmt: skip
"""What site.yml makes when nothing else is said."""

CLUSTER = {"resource_group": "{{ aks_resource_group }}", "cluster_name": "{{ aks_cluster_name }}"}
OURS = {"name": "Node pool", "aks.gpu.node_pool": {**CLUSTER, "name": "gpunp", "vm_size": SIZE}}
PEERS = {
    "name": "Node pool",
    "azure.azcollection.azure_rm_aksagentpool": {**CLUSTER, "name": "gpunp", "vm_size": SIZE, "mode": "User"},
}
DEBUG = {"name": "Debug", "ansible.builtin.debug": {"msg": "Nothing."}}

SITE = ("aks.gpu.site", "--skip-tags", "kubernetes")
"""The part of the main job that Azure does."""


@dataclass(frozen=True)
class Row:
    """One line of the table. `reached`: None when there is no bar."""

    figure: str
    value: str
    wanted: str
    reached: bool | None

    def cells(self) -> tuple[str, ...]:
        """Returns the line of the table."""
        return self.figure, self.value, self.wanted, {True: "reached", False: "MISSED", None: ""}[self.reached]


@dataclass(frozen=True)
class Bench:
    """What all rows share.

    Attributes:
        runs: Of each side of a ratio; the best counts.
        full: Whether the peer does all of the slow work itself; else a part of it, scaled.
        scale: Multiplies the numbers of clusters, for a machine that is busy.
    """

    runs: int
    full: bool
    scale: float

    def clusters(self, count: int) -> int:
        """Returns a number of clusters, scaled."""
        return max(2, round(count * self.scale))

    def ours(self, azure: Emulated) -> Contestant:
        """This collection, in this Python."""
        return Contestant(Path(sys.executable), link_collection(), {**without_foreign_settings(), **azure.environment})

    def peer(self, azure: Emulated) -> Contestant:
        """azure.azcollection in an environment of its own."""
        python = peer_python()
        environment = {**without_foreign_settings(), **azure.environment, **peer_settings(azure)}
        return Contestant(python, peer_collections(python), environment)

    def best(self, *measures: Callable[[], Cost]) -> list[Cost]:
        """Runs all measures in turn, so many times, and returns the quickest run of each."""
        rounds = [[measure() for measure in measures] for _round in range(self.runs)]
        return [min(each, key=lambda cost: cost.wall) for each in zip(*rounds, strict=True)]


@contextlib.contextmanager
def fleet(count: int, *, provisioned: bool = True) -> Iterator[Emulated]:
    """So many clusters, with or without a GPU pool; the throttles are on."""
    with emulated("--clusters", str(count)) as azure:
        if provisioned:
            azure.set(clock_speed=1000.0)
            for name in azure.clusters():
                azure.make_pool("gpunp", POOL, cluster=name)
            azure.settled("gpunp", cluster=azure.clusters()[-1])
            azure.set(clock_speed=1.0)
        azure.set(throttles=True)
        yield azure


def _ratio(ours: Cost, other: Cost) -> str:
    return (
        f"{ours.wall / other.wall:.2f}x wall ({ours.wall:.1f}/{other.wall:.1f} s), "
        f"{ours.cpu / other.cpu:.2f}x CPU ({ours.cpu:.1f}/{other.cpu:.1f} s); emulator {ours.emulator:.1f} s"
    )


def one_task(bench: Bench) -> list[Row]:
    """One task with nothing to do, against `debug`, and against the peer's module doing the same."""
    count = bench.clusters(100)
    with fleet(count) as azure:
        inventory, ours = inventory_of(count), bench.ours(azure)
        mine, debug = bench.best(
            lambda: run(ours, azure, play(OURS), inventory), lambda: run(ours, azure, play(DEBUG), inventory)
        )
        few = count if bench.full else max(2, count // 5)
        azure.set(throttles=False)
        theirs = run(bench.peer(azure), azure, play(PEERS), inventory_of(few))
    scaled = theirs.wall * count / few
    said = "" if few == count else f", from {few} clusters"
    worst = max(mine.wall / debug.wall, mine.cpu / debug.cpu)
    return [
        Row(f"one task, {count} clusters, nothing to do / debug", _ratio(mine, debug), "<= 2x", worst <= 2),
        Row(
            "the same / azure.azcollection",
            f"1/{scaled / mine.wall:.0f} wall ({mine.wall:.1f}/{scaled:.0f} s{said}), "
            f"1/{theirs.cpu * count / few / mine.cpu:.0f} CPU",
            "<= 1/20",
            scaled / mine.wall >= 20,
        ),
    ]


def site_again(bench: Bench) -> list[Row]:
    """site.yml's Azure part again, against as many host-tasks of `debug`."""
    count = bench.clusters(100)
    with fleet(count) as azure:
        inventory, ours = inventory_of(count), bench.ours(azure)
        again = run(ours, azure, SITE[0], inventory, *SITE[1:])
        each = again.host_tasks / count
        debugs = _debugs(again, count)
        mine, debug = bench.best(
            lambda: run(ours, azure, SITE[0], inventory, *SITE[1:]), lambda: run(ours, azure, play(*debugs), inventory)
        )
    worst = max(mine.wall / debug.wall, mine.cpu / debug.cpu)
    return [
        Row(f"site.yml again (Azure), {count} clusters / {round(each)} debug", _ratio(mine, debug), "<= 1.5x",
            worst <= 1.5),
        Row("host-tasks for each cluster (Azure)", f"{each:.1f} {dict(mine.outcomes)}", "<= 10", each <= 10),
    ]  # fmt: skip


def five_hundred(bench: Bench) -> list[Row]:
    """site.yml's Azure part again on 500 provisioned clusters of one subscription."""
    count = bench.clusters(500)
    with fleet(count) as azure:
        cost = run(bench.ours(azure), azure, SITE[0], inventory_of(count), *SITE[1:])
    reads = f"{cost.reads} reads {dict(cost.requests)}"
    return [
        Row(f"site.yml again (Azure), {count} clusters", f"{cost.wall:.0f} s ({cost.cpu:.0f} s CPU)", "<= 60 s",
            cost.wall <= 60),
        Row("reads of Azure in that run", reads, "<= 10", cost.reads <= 10),
        Row("tokens asked for in that run", str(cost.tokens), "1", cost.tokens == 1),
    ]  # fmt: skip


def growth(bench: Bench) -> list[Row]:
    """How time and memory grow with the number of clusters: beside `debug`, for Ansible's own cost grows too."""
    costs: dict[int, Cost] = {}
    debugs: dict[int, Cost] = {}
    for count in (10, 100, 1000):
        number = bench.clusters(count)
        with fleet(number) as azure:
            inventory, ours = inventory_of(number), bench.ours(azure)
            costs[number] = run(ours, azure, SITE[0], inventory, *SITE[1:])
            debugs[number] = run(ours, azure, play(*_debugs(costs[number], number)), inventory)
    walls = ", ".join(f"{number}: {cost.wall:.0f} s" for number, cost in costs.items())
    (first, second), (first_debug, second_debug) = _further(costs), _further(debugs)
    growth_of_ours, growth_of_debug = second / first, second_debug / first_debug
    memory = max(cost.memory for cost in costs.values())
    return [
        Row(
            f"growth over {', '.join(map(str, costs))} clusters",
            f"{walls}; CPU for each further cluster {first * 1000:.0f}, then {second * 1000:.0f} ms "
            f"({growth_of_ours:.2f}x); debug's {first_debug * 1000:.0f}, then {second_debug * 1000:.0f} ms "
            f"({growth_of_debug:.2f}x)",
            "linear: <= 1.25x debug's growth",
            growth_of_ours <= 1.25 * growth_of_debug,
        ),
        Row("memory of all processes", f"{memory:.0f} MB", "< 1000 MB", memory < 1000),
    ]


def _debugs(cost: Cost, clusters: int) -> list[Json]:
    """Tasks that do nothing, as many as a run had for each cluster."""
    return [{**DEBUG, "name": f"Debug {number}"} for number in range(round(cost.host_tasks / clusters))]


def _further(costs: dict[int, Cost]) -> tuple[float, float]:
    """Returns the CPU seconds of each further cluster: from the smallest number to the middle one, and on from it."""
    small, middle, large = sorted(costs)
    first = (costs[middle].cpu - costs[small].cpu) / (middle - small)
    return first, (costs[large].cpu - costs[middle].cpu) / (large - middle)


def roll_out(bench: Bench) -> list[Row]:
    """50 pools of 60 s each at forks=5."""
    count, seconds = bench.clusters(50), 60.0
    with fleet(count, provisioned=False) as azure:
        azure.set(create_seconds=seconds)
        mine = run(bench.ours(azure), azure, SITE[0], inventory_of(count), *SITE[1:])
    few = count if bench.full else 10
    with fleet(few, provisioned=False) as azure:
        azure.set(create_seconds=seconds)
        create = {**PEERS["azure.azcollection.azure_rm_aksagentpool"], "count": 1}  # type: ignore[dict-item]
        task = {"name": "Node pool", "azure.azcollection.azure_rm_aksagentpool": create}
        theirs = run(bench.peer(azure), azure, play(task), inventory_of(few))
    said = f"{theirs.wall * count / few:.0f} s" + ("" if few == count else f" (from {few})")
    return [
        Row(
            f"roll-out of {count} pools of {seconds:.0f} s, forks=5",
            f"{mine.wall:.0f} s, {mine.reads} reads; azure.azcollection {said}",
            "<= 76 s",
            mine.wall <= 1.1 * seconds + 10,
        )
    ]


def whole_job(bench: Bench) -> list[Row]:
    """The whole main job on real control planes, against az and kubectl doing the same steps."""
    compared = main_job.compare(max(2, bench.clusters(10)))
    return [Row(compared.figure, compared.value, "<= 0.5x", compared.ratio <= 0.5)]


def _of_scale(measure: Callable[[float], list[scale.Measured]]) -> Callable[[Bench], list[Row]]:
    return lambda bench: [Row(each.figure, each.value, each.wanted, each.reached) for each in measure(bench.scale)]


ROWS: dict[str, Callable[[Bench], list[Row]]] = {
    "task": one_task,
    "site": site_again,
    "500": five_hundred,
    "growth": growth,
    "rollout": roll_out,
    "job": whole_job,
    **{name: _of_scale(measure) for name, measure in scale.ROWS.items()},
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="fleet.py", description=__doc__)
    parser.add_argument("rows", nargs="*", help=f"only these: {', '.join(ROWS)}; default: all")
    parser.add_argument("--runs", type=int, default=3, help="of each side of a ratio (default: %(default)s)")
    parser.add_argument("--full", action="store_true", help="the peer does the slow work in full: half an hour more")
    parser.add_argument("--scale", type=float, default=1.0, help="times the numbers (default: %(default)s)")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    bench = Bench(options.runs, options.full, options.scale)
    say(f"  {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    table: list[Row] = []
    for name in options.rows or ROWS:
        rows = ROWS[name](bench)
        for row in rows:
            say(f"  {row.figure}: {row.value}")
        table += rows
    say("")
    print_table(("figure", "measured", "bar", "verdict"), [row.cells() for row in table])
    return 0 if all(row.reached is not False for row in table) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetUpError as error:
        sys.exit(f"make bench: {error}")
