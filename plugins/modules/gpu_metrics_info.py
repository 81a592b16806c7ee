#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``aks.gpu.gpu_metrics_info``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_metrics_info
short_description: Reads the GPU metrics of AKS clusters
version_added: 0.1.0
author: aks.gpu authors (@aks-gpu)
description:
  - Reads the seven GPU metrics of Container Insights from Log Analytics, and their counterparts from Managed
    Prometheus, for one cluster or for many.
  - For any number of clusters each Log Analytics workspace is sent one query, and each Azure Monitor workspace one for
    each Prometheus metric (Azure takes one metric in a query).
  - C(containerGpuDutyCycle), C(containerGpumemoryTotalBytes) and C(containerGpumemoryUsedBytes) can't come from
    Container Insights on Kubernetes 1.25 and later. The module says so, and returns what the DCGM exporter measures
    where Managed Prometheus has it.
  - A GPU that is held but not used is pointed out.
  - What could not be read, and why, is in RV(messages); only when none of the places answers does the module fail.
extends_documentation_fragment:
  - aks.gpu.azure
  - aks.gpu.attributes
  - aks.gpu.attributes.reads
options:
  resource_group:
    description: The resource group of the cluster.
    type: str
    aliases: [resource_group_name]
  cluster_name:
    description: The cluster. It, or O(clusters), is needed.
    type: str
  clusters:
    description: Several clusters.
    type: list
    elements: dict
    suboptions:
      subscription_id:
        description: The subscription, by default that of the sign-in.
        type: str
      resource_group:
        description: The resource group.
        type: str
        required: true
      cluster_name:
        description: The cluster.
        type: str
        required: true
  metrics:
    description: The metrics, by default all of them.
    type: list
    elements: str
    choices:
      - containerGpuDutyCycle
      - containerGpuLimits
      - containerGpuRequests
      - containerGpumemoryTotalBytes
      - containerGpumemoryUsedBytes
      - nodeGpuAllocatable
      - nodeGpuCapacity
  sources:
    description: Where to read, as far as it is switched on.
    type: list
    elements: str
    choices: [container_insights, prometheus]
    default: [container_insights, prometheus]
  nodes:
    description: The nodes, by default all.
    type: list
    elements: str
  containers:
    description: The names of containers, by default all.
    type: list
    elements: str
  since:
    description: How far to go back from O(end), such as V(30m), V(1h) or V(7d). Not used with O(start).
    type: str
    default: 1h
  start:
    description: The beginning, such as V(2026-11-22T18:00:00Z); without a zone it is UTC.
    type: str
  end:
    description: The end, by default now.
    type: str
  interval:
    description:
      - How long the time is that a point stands for, such as V(5m); it is their average. By default so that there are
        about 60 points.
    type: str
  workspace:
    description:
      - The Log Analytics workspace to ask, by ARM id or by its own id (a GUID), instead of the one that each cluster
        names.
    type: str
  azure_monitor_workspace:
    description:
      - The Azure Monitor workspace to ask, by ARM id or by its query endpoint (a URL), instead of those that the
        clusters' data collection rules lead to.
    type: str
  log_analytics_endpoint:
    description:
      - The query interface of Log Analytics, instead of the one of O(cloud_environment). Tokens are issued for it.
    type: str
  prometheus_audience:
    description:
      - What tokens for Azure Monitor workspaces are issued for, instead of the audience of O(cloud_environment).
    type: str
  query_timeout:
    description: How long a query may take, in seconds, 600 at most.
    type: int
    default: 180
  idle_percent:
    description: A container whose GPUs never had this duty cycle in all the time is idle.
    type: float
    default: 5.0
seealso:
  - module: aks.gpu.monitoring
notes:
  - It needs the role Log Analytics Reader on the Log Analytics workspaces, and Monitoring Data Reader on the Azure
    Monitor workspaces.
"""

EXAMPLES = r"""
- name: Read the GPU metrics of the last hour
  aks.gpu.gpu_metrics_info:
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
  register: gpus

- name: Show what holds GPUs without using them
  ansible.builtin.debug:
    msg: "{{ gpus.messages | selectattr('kind', 'eq', 'idle') | map(attribute='text') }}"

- name: Read those of several clusters, with one query a workspace
  aks.gpu.gpu_metrics_info:
    clusters:
      - {resource_group: myResourceGroup, cluster_name: myAKSCluster}
      - {resource_group: otherResourceGroup, cluster_name: otherAKSCluster}
    metrics: [nodeGpuCapacity, containerGpuRequests]
    since: 1d
"""

RETURN = r"""
metrics:
  description: The series, one for each metric, source and set of dimensions.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The metric, as Container Insights calls it; also where its counterpart was read.
      returned: always
      type: str
      sample: nodeGpuCapacity
    unit:
      description: C(percent), C(bytes) or C(GPUs).
      returned: always
      type: str
      sample: GPUs
    source:
      description: C(container_insights) or C(prometheus).
      returned: always
      type: str
      sample: container_insights
    dimensions:
      description:
        - What tells the series apart. C(node), C(cluster_id) and C(cluster_name) always; by metric C(container_name)
          (with its parts C(pod_uid) and C(container); from Prometheus also C(namespace) and C(pod)), C(gpu_id),
          C(gpu_model), C(gpu_vendor).
        - A dimension that the source does not tell is an empty string.
      returned: always
      type: dict
      sample: {"cluster_name": "myAKSCluster", "gpu_vendor": "nvidia.com/gpu", "node": "aks-gpunp-12345678-vmss000000"}
    value:
      description: The latest value.
      returned: always
      type: float
      sample: 1.0
    time:
      description: Of the latest value.
      returned: always
      type: str
      sample: "2026-11-22T18:59:42Z"
    average:
      description: The average of the points.
      returned: always
      type: float
      sample: 1.0
    minimum:
      description: The lowest value.
      returned: always
      type: float
      sample: 1.0
    maximum:
      description: The highest value.
      returned: always
      type: float
      sample: 1.0
    points:
      description: Pairs of the beginning of an interval and the average in it.
      returned: always
      type: list
      elements: list
      sample: [["2026-11-22T18:58:00Z", 1.0], ["2026-11-22T18:59:00Z", 1.0]]
clusters:
  description: Of each cluster what is on, and the latest values added up; null for what is not known.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The ARM id.
      returned: always
      type: str
      sample: /subscriptions/…/managedClusters/myAKSCluster
    name:
      description: The name.
      returned: always
      type: str
      sample: myAKSCluster
    kubernetes_version:
      description: The Kubernetes version that runs.
      returned: always
      type: str
      sample: 1.36.3
    container_insights:
      description: Whether Container Insights is on.
      returned: always
      type: bool
      sample: true
    workspace:
      description: The ARM id of its Log Analytics workspace, or null.
      returned: always
      type: str
    prometheus:
      description: Whether Managed Prometheus is on.
      returned: always
      type: bool
      sample: false
    capacity:
      description: GPUs.
      returned: always
      type: float
      sample: 2.0
    capacity_by_node:
      description: GPUs of each node.
      returned: always
      type: dict
      sample: {"aks-gpunp-12345678-vmss000000": 1.0}
    allocatable:
      description: GPUs that Kubernetes may hand out.
      returned: always
      type: float
      sample: 2.0
    requests:
      description: GPUs that containers ask for; null when that was not asked for, or not answered as a whole.
      returned: always
      type: float
      sample: 1.0
    limits:
      description: GPUs that containers are limited to; null likewise.
      returned: always
      type: float
      sample: 1.0
    duty_cycle:
      description: Average duty cycle in percent.
      returned: always
      type: float
      sample: 91.0
    memory_used:
      description: Bytes of GPU memory in use.
      returned: always
      type: float
      sample: 14559477760.0
    memory_total:
      description: Bytes of GPU memory.
      returned: always
      type: float
      sample: 15655370752.0
    newest:
      description: Time of the newest sample by source.
      returned: always
      type: dict
      sample: {"container_insights": "2026-11-22T18:59:42Z"}
    idle:
      description: Containers that hold GPUs and don't use them.
      returned: always
      type: list
      elements: dict
      sample: []
    plots:
      description:
        - Series to draw, as M(aks.gpu.evidence) takes them. C(nodeGpuCapacity) and C(containerGpuRequests) are sums of
          the cluster, duty cycle and memory are those of each GPU.
      returned: always
      type: list
      elements: dict
      sample: []
messages:
  description: What a user should know.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description:
        - C(off) (not switched on), C(not_available) (can't come on this Kubernetes version), C(empty), C(delayed),
          C(partial), C(forbidden), C(timeout), C(missing), C(ambiguous) (Prometheus can't tell clusters of one name
          apart) or C(idle).
      returned: always
      type: str
      sample: idle
    text:
      description: The message.
      returned: always
      type: str
      sample: default/sleeper, container cuda, holds 1 GPU of node … and doesn't use it …
    clusters:
      description: Names of the clusters concerned.
      returned: always
      type: list
      elements: str
      sample: [myAKSCluster]
    metrics:
      description: The metrics concerned; empty for all.
      returned: always
      type: list
      elements: str
      sample: []
queries:
  description: The queries that were sent, for use elsewhere.
  returned: success
  type: list
  elements: dict
  contains:
    source:
      description: C(container_insights) or C(prometheus).
      returned: always
      type: str
      sample: prometheus
    place:
      description: The workspace.
      returned: always
      type: str
      sample: mymonitorworkspace
    query:
      description: KQL or PromQL.
      returned: always
      type: str
      sample: avg_over_time(DCGM_FI_DEV_GPU_UTIL{cluster=~"myAKSCluster"}[60s])
    rows:
      description: Rows, or series, of the answer.
      returned: always
      type: int
      sample: 2
    partial:
      description: Whether the answer was not complete.
      returned: always
      type: bool
      sample: false
start:
  description: The beginning of the time that was asked for.
  returned: success
  type: str
  sample: "2026-11-22T18:00:00Z"
end:
  description: Its end.
  returned: success
  type: str
  sample: "2026-11-22T19:00:00Z"
interval:
  description: Seconds that a point stands for.
  returned: success
  type: int
  sample: 60
"""

from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._gpu_metrics_info import (
    GPU_METRICS_INFO_ARGUMENTS,
    plan_gpu_metrics_info,
)


def main() -> None:
    """Runs the module."""
    run(GPU_METRICS_INFO_ARGUMENTS, plan_gpu_metrics_info)


if __name__ == "__main__":
    main()
