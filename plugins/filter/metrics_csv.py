# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Metrics as CSV, for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: metrics_csv
short_description: The metrics of aks.gpu.gpu_metrics_info as CSV
version_added: 0.2.0
author: the aks.gpu authors
description:
  - Returns a line for each point of each series, after a line of headings.
  - Text that a spreadsheet would take for a formula, such as a label that begins with C(=), is preceded by C(').
options:
  _input:
    description: The return value C(metrics) of the module M(aks.gpu.gpu_metrics_info).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Keep the metrics
  ansible.builtin.copy:
    content: "{{ found.metrics | aks.gpu.metrics_csv }}"
    dest: /tmp/metrics.csv
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The text of a CSV file.
  type: str
"""

DIMENSIONS = (
    "cluster_name",
    "cluster_id",
    "node",
    "namespace",
    "pod",
    "container",
    "container_name",
    "gpu_id",
    "gpu_model",
    "gpu_vendor",
)
HEADINGS = ("time", "metric", "unit", "source", *DIMENSIONS, "value")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Beginnings of a formula: https://owasp.org/www-community/attacks/CSV_Injection."""


def metrics_csv(metrics: Any) -> str:
    """Returns metrics as CSV.

    Args:
        metrics: Series with ``name``, ``unit``, ``source``, ``dimensions`` and ``points``, which are pairs of a time
            and a value.

    Raises:
        AnsibleFilterError: It is something else.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADINGS)
    try:
        for each in metrics:
            named = [each["name"], each["unit"], each["source"]]
            placed = [each["dimensions"].get(name) for name in DIMENSIONS]
            for point in each["points"]:
                writer.writerow([_cell(value) for value in (point[0], *named, *placed, point[1])])
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise AnsibleFilterError("aks.gpu.metrics_csv takes the metrics of aks.gpu.gpu_metrics_info.") from error
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Returns a value as a cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA):
        return f"'{value}"
    return value


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"metrics_csv": metrics_csv}
