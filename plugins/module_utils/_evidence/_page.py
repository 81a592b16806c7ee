# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Evidence as one page for a person: everything in one file, nothing from elsewhere, readable without a script."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import duration_text
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import ailment_of
from ansible_collections.aks.gpu.plugins.module_utils._evidence._checks import (
    FAULTY,
    IDLE,
    UNSEEN,
    VERDICTS,
    WORKS,
    listed,
)
from ansible_collections.aks.gpu.plugins.module_utils._evidence._document import Document, summary_of
from ansible_collections.aks.gpu.plugins.module_utils._evidence._libraries import environment

BADGES = {WORKS: "Works", FAULTY: "Does not work", UNSEEN: "Not looked at", IDLE: "No nodes now"}
ORDER = {FAULTY: 0, UNSEEN: 1, IDLE: 2, WORKS: 3}
NONE_TOLD, TIMES = "\u2013", " \u00d7 "
MOST_PLOTTED_POINTS = 100
MOST_SQUARES = 16
SHORT_SECONDS = 1.0
MANY_CLUSTERS = 50
"""From so many clusters on, the browser is spared the details of those that nobody opens."""
LARGEST = 1e300
"""Beyond it, and for what is no number, a point is left out of its chart."""
LEFT, BOTTOM, TOP, RIGHT = 68, 26, 14, 14


@dataclass(frozen=True)
class PageFiles:
    """What the page is made of, besides the evidence.

    Attributes:
        template: A Jinja template of HTML.
        style: CSS.
        script: JavaScript.
    """

    template: str
    style: str
    script: str


@dataclass(frozen=True)
class Frame:
    """A chart's size and its range of values.

    Attributes:
        width: In the chart's own units, which are about a pixel each.
        height: Likewise.
        lowest: The value at the bottom.
        highest: The value at the top, above the lowest.
    """

    width: int
    height: int
    lowest: float
    highest: float

    def y(self, value: float) -> float:
        """Returns where a value is; one beyond the range is at its edge."""
        share = (self.highest - min(self.highest, max(self.lowest, value))) / (self.highest - self.lowest)
        return round(TOP + (self.height - TOP - BOTTOM) * share, 1)


def page_of(evidence: Sequence[Document], run: str, files: PageFiles) -> str:
    """Returns the page.

    Args:
        evidence: The clusters.
        run: The id of the run that the page is made in; others' evidence is said to be older.
        files: The page's template, style and script.

    Raises:
        MissingLibrary: Jinja2 is not installed.
    """
    template = environment().from_string(files.template)
    digest = base64.b64encode(hashlib.sha256(files.script.encode()).digest()).decode()
    text: str = template.render(style=files.style, script=files.script, digest=digest, **view_of(evidence, run))
    return text.encode("utf-8", errors="replace").decode("utf-8")


def view_of(evidence: Sequence[Document], run: str) -> dict[str, Any]:
    """Returns what the template shows: words, numbers and coordinates, and no markup."""
    ordered = sorted(evidence, key=lambda each: (ORDER[each["verdict"]], str(each["cluster"]["name"]).lower()))
    clusters = [_cluster(index, each, run) for index, each in enumerate(ordered, 1)]
    summary = summary_of(evidence)
    return {
        "title": _title(clusters),
        "clusters": clusters,
        "tiles": _tiles(evidence, summary),
        "bar": _bar(summary),
        "when": _when(evidence),
        "many": len(evidence) > MANY_CLUSTERS,
        "causes": _causes(clusters),
        "none_told": NONE_TOLD,
        "times": TIMES,
    }


def _title(clusters: Sequence[dict[str, Any]]) -> str:
    if not clusters:
        return "No clusters"
    if len(clusters) == 1:
        return f"{clusters[0]['name']} {VERDICTS[clusters[0]['verdict']]}"
    working = sum(cluster["verdict"] in (WORKS, IDLE) for cluster in clusters)
    if working == len(clusters):
        return f"All {len(clusters):,} clusters work"
    return f"{working:,} of {len(clusters):,} clusters work"


def _when(evidence: Sequence[Document]) -> str:
    if not evidence:
        return "No run has left evidence."
    began = min(str(each["run"]["started"]) for each in evidence)
    ended = max(str(each["recorded_at"]) for each in evidence)
    until = moment(ended)[11:] if began[:10] == ended[:10] else moment(ended)
    runs = len({each["run"]["id"] for each in evidence})
    if runs > 1:
        return f"{moment(began)} to {until}, from {runs} runs"
    return f"{moment(began)} to {until}, {duration_text(max(0.0, _epoch(ended) - _epoch(began)))}"


def _tiles(evidence: Sequence[Document], summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    models = [str(device["name"]) for each in evidence for device in devices_of(each)]
    asked = sum(int((node["probe"] or {}).get("asked") or 0) for each in evidence for node in each["nodes"])
    return [
        ("Clusters", f"{summary['clusters']:,}", f"{summary[WORKS]:,} work"),
        (
            "GPU nodes",
            f"{summary['nodes']:,}",
            listed(sorted({str(n["vm_size"]).removeprefix("Standard_") for e in evidence for n in e["nodes"]}), 2),
        ),
        ("GPUs offered", f"{summary['gpus']:,}", listed(sorted(set(models)), 2)),
        ("Computed right", f"{summary['gpus_passed']:,}", f"of {asked:,} probed" if asked else "none was probed"),
        ("Held by others", f"{summary['gpus_held']:,}", "left alone"),
    ]


def _bar(summary: dict[str, Any]) -> list[dict[str, Any]]:
    total = summary["clusters"] or 1
    left, parts = 0.0, []
    for verdict in (WORKS, IDLE, UNSEEN, FAULTY):
        count = summary[verdict]
        if count:
            width = 100 * count / total
            parts.append({"verdict": verdict, "count": count, "label": BADGES[verdict], "x": _n(left), "w": _n(width)})
            left += width
    return parts


def _causes(clusters: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Groups the clusters that don't work by what failed, the most frequent first."""
    groups: dict[str, dict[str, Any]] = {}
    for cluster in clusters:
        if cluster["verdict"] not in (FAULTY, UNSEEN):
            continue
        told = cluster["told"]
        group = groups.setdefault(told["key"], {**told, "clusters": []})
        group["clusters"].append({"index": cluster["index"], "name": cluster["name"]})
    return sorted(groups.values(), key=lambda group: -len(group["clusters"]))


def _note_section(evidence: Document) -> dict[str, Any]:
    """Returns what failed and why, and a key that is the same for the same failure of another cluster."""
    failure, problems = evidence["failure"], evidence["problems"]
    wrong = [check for check in evidence["checks"] if check["holds"] is False]
    explained = (failure or {}).get("problems") or (problems if failure or wrong else [])
    if failure:
        first = explained[0] if explained else None
        return {
            "key": f"{failure['step']}\0{first['cause'] if first else _without_names(failure['message'], evidence)}",
            "what": failure["step"],
            "why": f"{first['subject']}: {first['message']}" if first else failure["message"],
            "advice": first["advice"] if first else "",
        }
    return {
        "key": "\0".join(check["name"] for check in wrong),
        "what": "; ".join(check["line"] for check in wrong),
        "why": f"{explained[0]['subject']}: {explained[0]['message']}" if explained else "",
        "advice": explained[0]["advice"] if explained else "",
    }


def _without_names(message: str, evidence: Document) -> str:
    cluster = evidence["cluster"]
    for name in (cluster["name"], cluster["resource_group"], cluster["subscription_id"], evidence["host"]):
        message = message.replace(str(name), "*") if name else message
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+", "#", message)[:200]


def devices_of(evidence: Document) -> list[dict[str, Any]]:
    """Returns the GPUs that were seen: by the probes, else by the Job."""
    probed = [device for node in evidence["nodes"] if node["probe"] for device in node["probe"]["devices"]]
    return probed or ((evidence["job"] or {}).get("devices") or [])


def _cluster(index: int, evidence: Document, run: str) -> dict[str, Any]:
    cluster, job, nodes = evidence["cluster"], evidence["job"], evidence["nodes"]
    accuracy = (job or {}).get("accuracy_last")
    steps = _timeline(evidence["steps"])
    host = evidence["host"] if evidence["host"] not in (cluster["name"], "localhost") else ""
    return {
        "index": index,
        "name": str(cluster["name"]),
        "place": " · ".join(filter(None, (cluster["resource_group"], host))),
        "verdict": evidence["verdict"],
        "badge": BADGES[evidence["verdict"]],
        "headline": _without_head(evidence),
        "told": _note_section(evidence),
        "older": evidence["run"]["id"] != run,
        "node_count": len(nodes),
        "gpus": sum(int(node["allocatable"] or 0) for node in nodes),
        "model": listed(sorted({str(device["name"]) for device in devices_of(evidence)}), 3),
        "driver": listed(sorted({str(node["driver_version"]) for node in nodes if node["driver_version"]}), 3),
        "cuda": listed(sorted({str(node["cuda_version"]) for node in nodes if node["cuda_version"]}), 3),
        "accuracy": percent(accuracy) if accuracy is not None else "",
        "time": moment(evidence["recorded_at"]),
        "facts": _facts(evidence),
        "checks": evidence["checks"],
        "failure": evidence["failure"],
        "problems": evidence["problems"],
        "nodes": [_node(node) for node in nodes],
        "job": _job_section(job) if job else None,
        "curve": _curve(job, evidence["asked"]["minimum_accuracy"]) if job and job["accuracy"] else None,
        "steps": steps,
        "metrics": [chart for chart in map(_metric, evidence["metrics"]) if chart],
    }


def _without_head(evidence: Document) -> str:
    """Returns the headline without the name and the verdict, which stand beside it."""
    head = f"{evidence['cluster']['name']} {VERDICTS[evidence['verdict']]}"
    return str(evidence["headline"]).removeprefix(head).lstrip(":, ")


def _facts(evidence: Document) -> list[tuple[str, str]]:
    cluster, pool, nodes = evidence["cluster"], evidence["node_pool"], evidence["nodes"]
    facts = [
        ("Resource group", cluster["resource_group"]),
        ("Subscription", cluster["subscription_id"]),
        ("Inventory host", evidence["host"]),
        ("GPU stack", evidence["gpu_stack"]),
        ("Node pool", pool["name"]),
        ("VM size", pool["vm_size"] or listed(sorted({str(node["vm_size"]) for node in nodes}))),
        ("Kubernetes", listed(sorted({str(n["kubelet_version"]) for n in nodes if n["kubelet_version"]}))),
        ("Node image", listed(sorted({str(n["node_image_version"]) for n in nodes if n["node_image_version"]}))),
        ("Driver", listed(sorted({str(node["driver_version"]) for node in nodes if node["driver_version"]}))),
        ("CUDA up to", listed(sorted({str(node["cuda_version"]) for node in nodes if node["cuda_version"]}))),
        ("Looked at", moment(evidence["recorded_at"])),
    ]
    return [(name, str(value)) for name, value in facts if value]


def _node(node: dict[str, Any]) -> dict[str, Any]:
    probe, count = node["probe"], int(node["allocatable"] or 0)
    passed = int((probe or {}).get("passed") or 0)
    held = int(probe["held"] if probe else node["in_use"] or 0)
    asked = int((probe or {}).get("asked") or 0)
    tried = asked if probe and probe["seen"] is not None else 0
    squares = ["p"] * min(passed, tried) + ["f"] * max(0, tried - passed) + ["h"] * held
    squares = (squares + ["u"] * max(0, count - len(squares)))[:MOST_SQUARES]
    ill = [ailment for ailment in map(ailment_of, node["conditions"]) if ailment is not None]
    if not probe:
        result = "not probed"
    elif probe["problem"]:
        result = str(probe["problem"])
    else:
        result = f"{passed} of {asked} computed right"
    return {
        "name": str(node["name"]),
        "size": str(node["vm_size"] or ""),
        "ready": bool(node["ready"]),
        "count": count,
        "capacity": int(node["capacity"] or 0),
        "squares": squares,
        "more": max(0, count - MOST_SQUARES),
        "result": result + (f", {held} held by other work" if held else ""),
        "bad": bool(probe and probe["problem"]),
        "model": listed(sorted({str(device["name"]) for device in (probe or {}).get("devices") or []})),
        "driver": str(node["driver_version"] or NONE_TOLD),
        "cuda": str(node["cuda_version"] or NONE_TOLD),
        "image": str(node["node_image_version"] or NONE_TOLD),
        "health": listed(ailment.message for ailment in ill),
    }


def _job_section(job: dict[str, Any]) -> dict[str, Any]:
    facts = [
        ("Completions", f"{job['succeeded'] or 0} of {job['completions'] or 1}"),
        ("Took", duration_text(float(job["duration_seconds"] or 0))),
        ("Node", listed(str(pod["node"]) for pod in job["pods"] if pod.get("node"))),
        ("Pod", listed(str(pod["name"]) for pod in job["pods"])),
        ("Device", listed(_device_text(device) for device in job["devices"])),
        ("First accuracy", percent(job["accuracy_first"])),
        ("Last accuracy", percent(job["accuracy_last"])),
        ("Best accuracy", percent(job["accuracy_best"])),
    ]
    return {
        "name": f"{job['namespace']}/{job['name']}",
        "facts": [(name, value) for name, value in facts if value],
        "log": "\n".join(job["log_tail"]),
    }


def _device_text(device: dict[str, Any]) -> str:
    capability = device.get("compute_capability")
    parts = [
        device["name"],
        capability and f"compute capability {capability}",
        device.get("memory"),
        device.get("bus_id"),
    ]
    return " · ".join(str(part) for part in parts if part)


def _curve(job: dict[str, Any], minimum: float | None) -> dict[str, Any]:
    points = [(float(point["step"]), float(point["accuracy"])) for point in job["accuracy"]]
    frame = Frame(440, 200, 0.0, 1.0)
    told = f"{len(points)} steps, from {percent(points[0][1])} to {percent(points[-1][1])}"
    least = {"y": frame.y(minimum), "label": f"asked for: {percent(minimum)}"} if minimum is not None else None
    return {
        **plotted(points, frame),
        "label": f"Accuracy by step: {told}",
        "last": percent(points[-1][1]),
        "y_ticks": [(percent(value), frame.y(value)) for value in (0.0, 0.25, 0.5, 0.75, 1.0)],
        "minimum": least,
    }


def _metric(series: dict[str, Any]) -> dict[str, Any] | None:
    points = [(_epoch(time), float(value)) for time, value in series.get("points") or [] if value is not None]
    points = sorted(point for point in points if abs(point[1]) < LARGEST)
    if not points:
        return None
    values = [value for _time, value in points]
    lowest, highest = min(0.0, *values), max(values)
    frame = Frame(360, 135, lowest, highest if highest > lowest else lowest + max(1.0, abs(lowest)))
    dimensions = ", ".join(f"{key} {value}" for key, value in sorted((series.get("dimensions") or {}).items()))
    name, unit = str(series.get("name") or ""), str(series.get("unit") or "")
    last = amount(values[-1], unit)
    return {
        **plotted(points, frame),
        "x_ticks": [
            (clock(points[0][0]), LEFT, "start"),
            (clock(points[-1][0]), frame.width - RIGHT, "end"),
        ],
        "name": name,
        "dimensions": dimensions,
        "last": last,
        "label": f"{name}{' of ' + dimensions if dimensions else ''}: {len(points)} points, last {last}",
        "y_ticks": [(amount(value, unit), frame.y(value)) for value in (frame.lowest, frame.highest)],
    }


def plotted(points: Sequence[tuple[float, float]], frame: Frame) -> dict[str, Any]:
    """Returns a curve in the units of a chart.

    Args:
        points: At least one, of finite numbers.
        frame: The chart.
    """
    shown = thinned(sorted(points))
    first, last = shown[0][0], shown[-1][0]
    inner = frame.width - LEFT - RIGHT

    def across(x: float) -> float:
        return LEFT + inner * (x - first) / ((last - first) or 1.0)

    ticks = [(first, "start"), ((first + last) / 2, "middle"), (last, "end")] if last > first else [(first, "start")]
    return {
        "width": frame.width,
        "height": frame.height,
        "left": LEFT,
        "right": frame.width - RIGHT,
        "bottom": frame.height - BOTTOM,
        "points": " ".join(f"{_n(across(x))},{_n(frame.y(y))}" for x, y in shown),
        "end": (_n(across(last)), _n(frame.y(shown[-1][1]))),
        "count": len(shown),
        "x_ticks": [(f"{x:,.0f}", _n(across(x)), anchor) for x, anchor in ticks],
    }


def thinned(points: Sequence[tuple[float, float]], most: int = MOST_PLOTTED_POINTS) -> list[tuple[float, float]]:
    """Returns at most so many points: the first, the last, and of each stretch between the lowest and the highest."""
    if len(points) <= most:
        return list(points)
    inner = points[1:-1]
    stretches = (most - 2) // 2
    kept = {points[0], points[-1]}
    for index in range(stretches):
        stretch = inner[index * len(inner) // stretches : (index + 1) * len(inner) // stretches]
        if stretch:
            kept |= {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
    return sorted(kept)


def _timeline(steps: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Returns the steps that took a while, changed something or failed, and how many others there were."""
    if not steps:
        return None
    begins = [_epoch(step["started"]) for step in steps]
    first = min(begins)
    span = max(begin + float(step["seconds"]) for begin, step in zip(begins, steps, strict=True)) - first or 1.0
    rows, short = [], []
    for begin, step in zip(begins, steps, strict=True):
        seconds = float(step["seconds"])
        if seconds < SHORT_SECONDS and step["outcome"] in ("ok", "predicted"):
            short.append(seconds)
            continue
        left = 100 * (begin - first) / span
        rows.append(
            {
                "name": str(step["name"]).rpartition(" : ")[2],
                "role": str(step["name"]).rpartition(" : ")[0].removeprefix("aks.gpu."),
                "outcome": step["outcome"],
                "at": f"{begin - first:.1f} s" if begin - first < 60 else duration_text(begin - first),
                "took": f"{seconds:.1f} s" if seconds < 60 else duration_text(seconds),
                "left": _n(min(left, 99.0)),
                "width": _n(max(0.6, min(100 * seconds / span, 100 - min(left, 99.0)))),
            }
        )
    told = f"{'And ' if rows else ''}{len(short)} steps of less than a second that only looked"
    told += f", {sum(short):.1f} s together."
    return {"rows": rows, "short": told if short else "", "span": duration_text(span)}


def percent(value: float | None) -> str:
    """Returns a share of one as a percentage with one decimal; empty for None."""
    return "" if value is None else f"{100 * float(value):.1f}".removesuffix(".0") + " %"


def amount(value: float, unit: str) -> str:
    """Returns a value with its unit, large ones as people say them: ``1.7 GiB``, ``12.5 k``."""
    if unit.lower() in ("byte", "bytes", "b"):
        names, base, unit = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB"), 1024.0, ""
    else:
        names, base = ("", "k", "M", "G", "T", "P"), 1000.0
    power = 0
    while abs(value) >= base and power < len(names) - 1:
        value, power = value / base, power + 1
    return " ".join(
        part for part in (f"{value:,.4g}" if abs(value) < 10000 else f"{value:.2e}", names[power], unit) if part
    )


def clock(seconds: float) -> str:
    """Returns a time of day in UTC, ``10:05``, of seconds since 1970."""
    minutes = int(seconds // 60)
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"


def moment(text: str) -> str:
    """Returns a time as a person reads it: ``2026-08-01 10:00 UTC``."""
    return f"{text[:10]} {text[11:16]} UTC"


def _epoch(value: Any) -> float:
    """Returns a time in seconds, of a text of ISO 8601 or of a number.

    A text that is no time counts as the beginning of time: a chart that looks odd, but a report that is there.
    """
    if isinstance(value, (int, float)):
        return float(value)
    text = re.sub(r"\.(\d{1,6})\d*", lambda match: "." + match.group(1).ljust(6, "0"), str(value)).replace(
        "Z", "+00:00"
    )
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
