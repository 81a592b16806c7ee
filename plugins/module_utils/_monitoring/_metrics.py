# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The seven GPU metrics of Container Insights, and where else each can be had."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure

CONTAINER_INSIGHTS = "container_insights"
PROMETHEUS = "prometheus"
SOURCES = (CONTAINER_INSIGHTS, PROMETHEUS)

MIB = 1024.0 * 1024.0

CLUSTER_DIMENSION = ("cluster_id", "cluster_name")
CONTAINER_DIMENSION = (*CLUSTER_DIMENSION, "container_name")
GPU_DIMENSION = ("gpu_id", "gpu_model", "gpu_vendor")

ACCELERATOR_METRICS_ENDED = (1, 25)
"""The kubelet's accelerator metrics, from which three of the seven were taken, ended with this release."""


@dataclass(frozen=True)
class Counterpart:
    """The Prometheus metrics that tell the same.

    Attributes:
        names: Their values are added. Each is asked for by itself: Azure takes one metric in a query.
        selector: Matchers besides that of the cluster.
        scale: By which the sum is multiplied.
        exporter: Who measures it.
    """

    names: tuple[str, ...]
    selector: str = ""
    scale: float = 1.0
    exporter: str = "kube-state-metrics"


@dataclass(frozen=True)
class Metric:
    """One of the seven.

    Attributes:
        name: Container Insights' name.
        unit: Of its values.
        dimensions: What a series of it is told apart by, besides the node.
        accelerator: Taken from the kubelet's accelerator metrics, so that it can't come on today's clusters.
        counterpart: What Managed Prometheus has instead.
    """

    name: str
    unit: str
    dimensions: tuple[str, ...]
    counterpart: Counterpart
    accelerator: bool = False


_GPU_RESOURCE = 'resource="nvidia_com_gpu"'

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "containerGpuDutyCycle",
            "percent",
            (*CONTAINER_DIMENSION, *GPU_DIMENSION),
            Counterpart(("DCGM_FI_DEV_GPU_UTIL",), exporter="DCGM exporter"),
            accelerator=True,
        ),
        Metric(
            "containerGpuLimits",
            "GPUs",
            CONTAINER_DIMENSION,
            Counterpart(("kube_pod_container_resource_limits",), _GPU_RESOURCE),
        ),
        Metric(
            "containerGpuRequests",
            "GPUs",
            CONTAINER_DIMENSION,
            Counterpart(("kube_pod_container_resource_requests",), _GPU_RESOURCE),
        ),
        Metric(
            "containerGpumemoryTotalBytes",
            "bytes",
            (*CONTAINER_DIMENSION, *GPU_DIMENSION),
            Counterpart(("DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"), scale=MIB, exporter="DCGM exporter"),
            accelerator=True,
        ),
        Metric(
            "containerGpumemoryUsedBytes",
            "bytes",
            (*CONTAINER_DIMENSION, *GPU_DIMENSION),
            Counterpart(("DCGM_FI_DEV_FB_USED",), scale=MIB, exporter="DCGM exporter"),
            accelerator=True,
        ),
        Metric(
            "nodeGpuAllocatable",
            "GPUs",
            (*CLUSTER_DIMENSION, "gpu_vendor"),
            Counterpart(("kube_node_status_allocatable",), _GPU_RESOURCE),
        ),
        Metric(
            "nodeGpuCapacity",
            "GPUs",
            (*CLUSTER_DIMENSION, "gpu_vendor"),
            Counterpart(("kube_node_status_capacity",), _GPU_RESOURCE),
        ),
    )
}
"""By name, in the order of the article."""


@dataclass
class Series:
    """One metric with one value for each of its dimensions.

    Attributes:
        metric: Which.
        source: One of ``SOURCES``.
        dimensions: Those of the metric, ``node``, and what else the source tells.
        points: Start of the interval (UTC) and the average in it, in order of time.
        value: The latest value.
        time: Of the latest value; from Prometheus, the end of the interval that it is in.
        minimum: The lowest value.
        maximum: The highest value.
    """

    metric: Metric
    source: str
    dimensions: dict[str, str]
    points: list[tuple[datetime.datetime, float]] = field(default_factory=list)
    value: float = 0.0
    time: datetime.datetime = datetime.datetime.min.replace(tzinfo=datetime.timezone.utc)
    minimum: float = float("inf")
    maximum: float = float("-inf")

    def add(
        self, start: datetime.datetime, average: float, latest: tuple[datetime.datetime, float], low: float, high: float
    ) -> None:
        """Adds an interval."""
        self.points.append((start, average))
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        if latest[0] >= self.time:
            self.time, self.value = latest

    def as_result(self) -> dict[str, Any]:
        """Returns it as a module returns it; times are ISO 8601 in UTC."""
        average = sum(value for _start, value in self.points) / len(self.points)
        return {
            "name": self.metric.name,
            "unit": self.metric.unit,
            "source": self.source,
            "dimensions": self.dimensions,
            "value": self.value,
            "time": metric_time_text(self.time),
            "average": average,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "points": [[metric_time_text(start), value] for start, value in self.points],
        }


@dataclass(frozen=True)
class Span:
    """What time is asked for.

    Attributes:
        start: UTC.
        end: UTC.
        interval: Seconds that one point stands for.
        open_end: Whether the end is now.
    """

    start: datetime.datetime
    end: datetime.datetime
    interval: int
    open_end: bool

    @property
    def text(self) -> str:
        """For a message."""
        return f"from {metric_time_text(self.start)} to {metric_time_text(self.end)}"


MOST_SERIES_POINTS = 11000
_NICE = (60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_AIMED_POINTS = 60


def span_of(
    since: str, start: str | None, end: str | None, interval: str | None, now: datetime.datetime | None = None
) -> Span:
    """Returns the time that the options ask for.

    Args:
        since: How far back from the end, such as ``1h``; not used with a start.
        start: ISO 8601, or None.
        end: ISO 8601, or None for now.
        interval: Such as ``5m``; None chooses one that gives about 60 points.
        now: The time now.

    Raises:
        Failure: One of them can't be read, or they contradict each other.
    """
    problems: list[str] = []

    def moment(name: str, text: str | None) -> datetime.datetime | None:
        try:
            return parse_metric_time(text) if text else None
        except ValueError:
            problems.append(f"{name}: {text!r} is no time such as 2026-11-22T18:00:00Z.")
            return None

    def seconds(name: str, text: str) -> float:
        try:
            return duration(text)
        except ValueError:
            problems.append(f"{name}: {text!r} is no duration such as 90s, 30m, 1h or 7d.")
            return 60.0

    last = moment("end", end) or (now or datetime.datetime.now(datetime.timezone.utc))
    first = moment("start", start) or last - datetime.timedelta(seconds=seconds("since", since))
    length = (last - first).total_seconds()
    if not problems and length <= 0:
        problems.append(f"start ({metric_time_text(first)}) is not before end ({metric_time_text(last)}).")
    step = (
        round(seconds("interval", interval))
        if interval
        else next((nice for nice in _NICE if length / nice <= _AIMED_POINTS), _NICE[-1])
    )
    if step < 1:
        problems.append(f"interval: {interval!r} is less than a second.")
    elif length / step > MOST_SERIES_POINTS:
        problems.append(f"interval: {interval} gives {length / step:.0f} points, {MOST_SERIES_POINTS} are possible.")
    if problems:
        raise Failure(" ".join(problems))
    return Span(first, last, step, open_end=end is None)


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(text: str) -> float:
    """Returns the seconds of a duration such as ``90s`` or ``1h30m``.

    Raises:
        ValueError: It is none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise ValueError(f"{text!r} is no duration")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def parse_metric_time(text: str) -> datetime.datetime:
    """Returns a time of ISO 8601 in UTC; Azure writes up to seven digits of a second.

    Raises:
        ValueError: It is none.
    """
    text = re.sub(r"\.(\d{1,6})\d*", lambda found: f".{found[1]:0<6}", text.strip()).replace("Z", "+00:00")
    when = datetime.datetime.fromisoformat(text)
    return (when if when.tzinfo else when.replace(tzinfo=datetime.timezone.utc)).astimezone(datetime.timezone.utc)


def metric_time_text(when: datetime.datetime) -> str:
    """Returns a time of UTC as ISO 8601, to the second."""
    return when.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_unavailable(kubernetes_version: str) -> bool:
    """Says whether a Kubernetes release is one whose kubelet has no accelerator metrics; an unreadable one has none."""
    found = re.match(r"v?(\d+)\.(\d+)", kubernetes_version)
    return found is None or (int(found[1]), int(found[2])) >= ACCELERATOR_METRICS_ENDED
