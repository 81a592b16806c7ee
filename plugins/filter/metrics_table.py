# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GPU metrics as a table for people."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

DOCUMENTATION = r"""
name: metrics_table
short_description: GPU metrics as a table
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Lays out what M(aks.gpu.gpu_metrics_info) returned, a row for each cluster and one for each series, and then the
    messages.
options:
  _input:
    description: What M(aks.gpu.gpu_metrics_info) returned.
    type: dict
    required: true
  most_series:
    description: How many series are shown.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Show the metrics
  ansible.builtin.debug:
    msg: "{{ found | aks.gpu.metrics_table }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

GIBIBYTE = 2**30
WIDTH = 118
"""Characters of a line of a message."""

CLUSTER_ROW = "%-24s %8s %11s %8s %7s %10s %22s"
CLUSTER_HEADINGS = ("CLUSTER", "CAPACITY", "ALLOCATABLE", "REQUESTS", "LIMITS", "DUTY CYCLE", "MEMORY USED")
SERIES_ROW = "%-29s %-30s %-38s %10s %10s"
SERIES_HEADINGS = ("METRIC", "NODE", "CONTAINER, GPU", "LATEST", "AVERAGE")


def metrics_table(value: Mapping[str, Any], most_series: int = 60) -> list[str]:
    """Returns the lines of a table.

    Args:
        value: What ``gpu_metrics_info`` returned.
        most_series: How many series are shown.
    """
    return [*_cluster_lines(value), "", *_series_lines(value["metrics"], most_series), *_message_lines(value)]


def _cluster_lines(value: Mapping[str, Any]) -> Iterator[str]:
    yield CLUSTER_ROW % CLUSTER_HEADINGS
    for cluster in value["clusters"]:
        counts = (_number_text(cluster[name]) for name in ("capacity", "allocatable", "requests", "limits"))
        memory = _number_text(cluster["memory_used"], "bytes")
        if cluster["memory_total"] is not None:
            memory += f" of {_number_text(cluster['memory_total'], 'bytes')}"
        yield CLUSTER_ROW % (cluster["name"], *counts, _number_text(cluster["duty_cycle"], "percent"), memory)


def _series_lines(series: list[Mapping[str, Any]], most_series: int) -> Iterator[str]:
    yield SERIES_ROW % SERIES_HEADINGS
    for each in series[:most_series]:
        dimensions, unit = each["dimensions"], each["unit"]
        gpu = f"GPU {str(dimensions['gpu_id'])[:12]}" if dimensions.get("gpu_id") else ""
        what = ", ".join(text for text in (dimensions.get("container") or "", gpu) if text)
        row = (
            each["name"],
            dimensions["node"][:30],
            what[:38],
            _number_text(each["value"], unit),
            _number_text(each["average"], unit),
        )
        yield SERIES_ROW % row + (" *" if each["source"] == "prometheus" else "")
    if len(series) > most_series:
        yield f"... and {len(series) - most_series} more series"
    if any(each["source"] == "prometheus" for each in series):
        yield "* from Managed Prometheus; the others from Container Insights"


def _message_lines(value: Mapping[str, Any]) -> Iterator[str]:
    for message in value["messages"]:
        yield ""
        for line in f"{message['kind'].replace('_', ' ')}: {message['text']}".splitlines():
            yield from textwrap.wrap(line, WIDTH, expand_tabs=False, replace_whitespace=False) or [""]


def _number_text(value: float | None, unit: str = "") -> str:
    if value is None:
        return "-"
    if unit == "bytes":
        return f"{round(value / GIBIBYTE, 1)} GiB"
    if unit == "percent":
        return f"{round(value)} %"
    return re.sub(r"[.]0$", "", str(round(value, 1)))


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"metrics_table": metrics_table}
