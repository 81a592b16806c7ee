# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Summaries, plots and idle GPUs of metrics."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._monitoring._metrics import (
    PROMETHEUS,
    SOURCES,
    Series,
    Span,
    metric_time_text,
)
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._workspaces import (
    MonitoredCluster,
)

FRESH_SECONDS = 150
"""A series that has ended so much earlier than its cluster's newest sample tells of something that is gone."""


def metrics_summary(
    cluster: MonitoredCluster, series: list[Series], idle_percent: float, whole: frozenset[str]
) -> dict[str, Any]:
    """Returns what matters most of a cluster, from the latest values of what still is there.

    Args:
        cluster: The cluster.
        series: Of all clusters.
        idle_percent: A GPU that is used less is idle.
        whole: The metrics of which no series means none; of the others it means that nothing is known.
    """
    own = [each for each in series if each.dimensions["cluster_id"].lower() == cluster.id.lower()]
    newest = {
        source: max(each.time for each in own if each.source == source) for source in {each.source for each in own}
    }
    fresh = datetime.timedelta(seconds=FRESH_SECONDS)
    live = [each for each in own if newest[each.source] - each.time <= fresh]

    def of(name: str) -> list[Series]:
        for source in SOURCES:
            found = [each for each in live if each.metric.name == name and each.source == source]
            if found:
                return found
        return []

    def total(name: str) -> float | None:
        found = of(name)
        return sum(each.value for each in found) if found else None

    def held(name: str) -> float | None:
        return total(name) or (0.0 if name in whole and of("nodeGpuCapacity") else None)

    duty = of("containerGpuDutyCycle")
    return {
        "id": cluster.id,
        "name": cluster.name,
        "kubernetes_version": cluster.kubernetes_version,
        "container_insights": cluster.insights,
        "workspace": cluster.workspace_id,
        "prometheus": cluster.prometheus,
        "capacity": total("nodeGpuCapacity"),
        "allocatable": total("nodeGpuAllocatable"),
        "requests": held("containerGpuRequests"),
        "limits": held("containerGpuLimits"),
        "duty_cycle": sum(each.value for each in duty) / len(duty) if duty else None,
        "memory_used": total("containerGpumemoryUsedBytes"),
        "memory_total": total("containerGpumemoryTotalBytes"),
        "capacity_by_node": {each.dimensions["node"]: each.value for each in of("nodeGpuCapacity")},
        "newest": {source: metric_time_text(when) for source, when in newest.items()},
        "idle": list(_idle(live, idle_percent)),
        "plots": list(_plots(own)),
    }


_PLOTTED_GPUS = ("containerGpuDutyCycle", "containerGpumemoryUsedBytes")


_PLOTTED_SUMS = ("nodeGpuCapacity", "containerGpuRequests")


_PLOTTED_DIMENSIONS = ("node", "gpu_id", "pod", "container")


def _plots(own: list[Series]) -> Iterable[dict[str, Any]]:
    """Returns what a report draws: capacity against requests as sums, duty cycle and memory of each GPU."""
    for name in (*_PLOTTED_SUMS, *_PLOTTED_GPUS):
        source = next(
            (each for each in SOURCES if any(one.metric.name == name and one.source == each for one in own)), ""
        )
        series = [each for each in own if each.metric.name == name and each.source == source]
        if name in _PLOTTED_GPUS:
            for each in series:
                shown = {key: each.dimensions[key] for key in _PLOTTED_DIMENSIONS if each.dimensions.get(key)}
                yield _plot(each.metric.name, each.metric.unit, shown, dict(each.points))
        elif series:
            sums: dict[datetime.datetime, float] = {}
            for each in series:
                for start, value in each.points:
                    sums[start] = sums.get(start, 0.0) + value
            yield _plot(name, series[0].metric.unit, {}, sums)


def _plot(
    name: str, unit: str, dimensions: dict[str, str], points: Mapping[datetime.datetime, float]
) -> dict[str, Any]:
    pairs = [[metric_time_text(start), value] for start, value in sorted(points.items())]
    return {"name": name, "unit": unit, "dimensions": dimensions, "points": pairs}


def _idle(live: list[Series], percent: float) -> Iterable[dict[str, Any]]:
    """Returns the containers that hold GPUs and have not used them in the time that was asked for."""
    for source in SOURCES:
        duty: dict[tuple[str, ...], list[Series]] = {}
        for each in live:
            if each.metric.name == "containerGpuDutyCycle" and each.source == source:
                duty.setdefault(_container(each), []).append(each)
        for each in live:
            if each.metric.name != "containerGpuRequests" or each.source != source or each.value <= 0:
                continue
            used = duty.get(_container(each))
            if used and max(one.maximum for one in used) < percent:
                yield {
                    "source": source,
                    **{
                        name: each.dimensions[name]
                        for name in ("node", "namespace", "pod", "pod_uid", "container")
                        if name in each.dimensions
                    },
                    "gpus": each.value,
                    "duty_cycle": max(one.maximum for one in used),
                }


def _container(series: Series) -> tuple[str, ...]:
    """What a container is known by in both metrics of one source."""
    dimensions = series.dimensions
    if series.source == PROMETHEUS:
        return dimensions.get("namespace", ""), dimensions.get("pod", ""), dimensions.get("container", "")
    return (dimensions["container_name"],)


def idle_text(idle: Mapping[str, Any], span: Span) -> str:
    pod = f"{idle['namespace']}/{idle['pod']}" if "pod" in idle else f"Pod {idle.get('pod_uid', '')}"
    return (
        f"{pod}, container {idle['container']}, holds {idle['gpus']:g} GPU{'' if idle['gpus'] == 1 else 's'} of node "
        f"{idle['node']} and doesn't use {'it' if idle['gpus'] == 1 else 'them'}: its duty cycle is "
        f"{idle['duty_cycle']:.0f} % at most {span.text}."
    )
