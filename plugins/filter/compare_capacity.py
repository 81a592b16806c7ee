# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The GPUs of a cluster, compared with what its metrics say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.aks.gpu.plugins.filter.cluster_metrics import cluster_metrics

DOCUMENTATION = r"""
name: compare_capacity
short_description: The GPUs of a cluster, compared with what its metrics say
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Compares the GPU capacity of each node with the newest sample of its metric.
  - Metrics that could not be read agree with nothing, not even with a cluster without GPU nodes.
options:
  _input:
    description: What M(aks.gpu.gpu_metrics_info) returned.
    type: dict
    required: true
  nodes:
    description: The RV(aks.gpu.wait_for_gpus#module:nodes) that M(aks.gpu.wait_for_gpus) returned.
    type: list
    elements: dict
    required: true
  resource_group:
    description: The resource group of the cluster.
    type: str
    required: true
  cluster_name:
    description: The name of the cluster.
    type: str
    required: true
  idle_is_a_failure:
    description: Whether an idle GPU is a problem.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check the metrics
  ansible.builtin.assert:
    that: result.problems | length == 0
  vars:
    result: "{{ found | aks.gpu.compare_capacity(gpus.nodes, 'myResourceGroup', 'myAKSCluster') }}"
"""

RETURN = r"""
_value:
  description: C(problems), a list of sentences, and C(message), what to say where there is no problem.
  type: dict
"""

UNREAD_KINDS = frozenset({"off", "forbidden", "timeout", "missing", "ambiguous"})
"""Kinds of messages after which what was not read is not known to be none."""


def compare_capacity(
    value: Mapping[str, Any],
    nodes: list[Mapping[str, Any]],
    resource_group: str,
    cluster_name: str,
    idle_is_a_failure: bool = False,
) -> dict[str, Any]:
    """Returns the problems, and what to say where there is none.

    Args:
        value: What ``gpu_metrics_info`` returned.
        nodes: The GPU nodes of the cluster.
        resource_group: The resource group of the cluster.
        cluster_name: The name of the cluster.
        idle_is_a_failure: Whether an idle GPU is a problem.
    """
    own = cluster_metrics(value, resource_group, cluster_name)
    capacity = {str(node["name"]): float(node["capacity"]) for node in nodes}
    measured = {name: float(count) for name, count in (own.get("capacity_by_node") or {}).items()}
    different = [name for name, count in capacity.items() if measured.get(name, 0.0) != count]
    texts = {kind: _texts_of(value, cluster_name, kinds) for kind, kinds in _KINDS.items()}
    problems = []
    if not own.get("newest") and (capacity or texts["unread"]):
        every = " ".join(str(message["text"]) for message in value["messages"])
        problems.append(f"No metric of {cluster_name} could be read, so nothing can be compared: {every}")
    elif different and texts["partial"]:
        problems.append(
            f"Whether {cluster_name} has the GPUs that its metrics tell of is not known for {', '.join(different)}: "
            f"{' '.join(texts['partial'])}"
        )
    elif different:
        each = (
            f"{name} offers {int(capacity[name])}, the metrics say {int(measured.get(name, 0.0))}" for name in different
        )
        problems.append(f"{cluster_name} has other GPUs than its metrics: {'; '.join(each)}.")
    idle = " ".join(texts["idle"])
    if idle and idle_is_a_failure:
        problems.append(idle)
    count = f"{len(capacity)} node{'s' * (len(capacity) != 1)}"
    agreement = f"{cluster_name}: the metrics agree with the cluster on the GPUs of {count}."
    return {"problems": problems, "message": f"{agreement} {idle}".strip()}


_KINDS = {"unread": UNREAD_KINDS, "partial": frozenset({"partial"}), "idle": frozenset({"idle"})}


def _texts_of(value: Mapping[str, Any], cluster_name: str, kinds: frozenset[str]) -> list[str]:
    return [
        str(message["text"])
        for message in value["messages"]
        if message["kind"] in kinds and cluster_name in message["clusters"]
    ]


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"compare_capacity": compare_capacity}
