#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wait_for_gpus
short_description: Wait until the GPUs of a node pool can be used, or say why they can't
version_added: 0.1.0
author:
  - The aks.gpu authors (@aks-gpu)
description:
  - Watches the nodes of a node pool, the device plugin and its Pods until every node is Ready and offers the
    GPUs that are expected.
  - While it waits, and when it fails, it says what is in the way, in the cluster's own words, and what to do.
  - It ends early when waiting is of no use.
  - In check mode it returns the state as it is, at once.
extends_documentation_fragment:
  - aks.gpu.attributes
  - aks.gpu.attributes.reads
  - aks.gpu.kubernetes
  - aks.gpu.kubernetes.in_cluster
  - aks.gpu.azure
options:
  node_pool:
    description:
      - The node pool whose nodes are meant. By default all nodes that AKS labels
        C(kubernetes.azure.com/accelerator).
    type: str
  nodes:
    description:
      - How many nodes there have to be at least. Every other node that the pool has is waited for as well.
      - V(0) for a pool that its autoscaler may have emptied; without nodes the wait is over then.
      - By default the count that O(pool) has, else V(1). For a pool with an autoscaler that is its C(min_count).
    type: int
  gpus_per_node:
    description:
      - How many of O(resource_name) each node has to offer. With MIG or time slicing that is not the number of
        its GPUs.
      - By default the number of GPUs of O(vm_size), where that is known, else any number above zero.
    type: int
  resource_name:
    description:
      - The resource that the device plugin advertises.
    type: str
    default: nvidia.com/gpu
  vm_size:
    description:
      - The VM size of the pool. By default that of O(pool).
    type: str
  gpu_stack:
    description:
      - Who brings the device plugin. It decides what is looked for when GPUs are missing.
    type: str
    choices: [device_plugin, gpu_image, managed, operator]
  ignored_daemon_sets:
    description:
      - DaemonSets to pass over, each as C(namespace/name), when one is taken for a device plugin that hands out no GPUs
        of NVIDIA, or none on these nodes.
    type: list
    elements: str
    default: []
  pool:
    description:
      - What M(aks.gpu.node_pool) or M(aks.gpu.node_pool_info) returned for the pool, so that a pool that
        failed, is still being created, or has no GPU driver is told apart.
    type: dict
  node_pools:
    description:
      - The names of the node pools that the cluster has. A task whose O(node_pool) is not one of them fails at once.
      - By default they are not known, and a node pool that is missing is waited for.
    type: list
    elements: str
    default: []
  return_details:
    description:
      - Whether RV(nodes) have everything. Otherwise they have the label C(kubernetes.azure.com/accelerator) and the
        conditions by which a node is judged, those that are well without C(reason) and C(message), and neither
        C(taints) nor C(free), and RV(device_plugins) is empty. A failed task returns all.
    type: bool
    default: true
  wait_timeout:
    description:
      - How long to wait altogether, in seconds.
    type: int
    default: 1800
  grace:
    description:
      - How long a problem that rarely goes away by itself may last, in seconds, such as an image that can't be
        pulled, a device plugin that crashes, or none at all. Nodes that are missing or not Ready have until
        O(wait_timeout).
    type: int
    default: 300
seealso:
  - module: aks.gpu.node_pool
  - module: aks.gpu.wait_for_job
"""

EXAMPLES = r"""
- name: Wait for the GPUs of a pool
  aks.gpu.wait_for_gpus:
    kubeconfig: "{{ credentials.path }}"
    node_pool: gpunp
    nodes: 1
    vm_size: Standard_NC4as_T4_v3

- name: Seven slices of each A100
  aks.gpu.wait_for_gpus:
    node_pool: migpool
    resource_name: nvidia.com/mig-1g.10gb
    gpus_per_node: 7
"""

RETURN = r"""
nodes:
  description:
    - The nodes of the pool, by name. A failed task returns them too.
  returned: when the cluster could be looked at
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      returned: always
      sample: aks-gpunp-28993262-vmss000000
    node_pool:
      description: Its node pool.
      type: str
      returned: always
      sample: gpunp
    vm_size:
      description: Its VM size.
      type: str
      returned: always
      sample: Standard_NC4as_T4_v3
    ready:
      description: Whether the kubelet says that it is Ready.
      type: bool
      returned: always
      sample: true
    capacity:
      description: How many of O(resource_name) it has.
      type: int
      returned: always
      sample: 1
    allocatable:
      description: How many of them Pods may have.
      type: int
      returned: always
      sample: 1
    in_use:
      description: How many of them Pods and ResourceClaims hold. Null when Pods could not be listed.
      type: int
      returned: always
      sample: 0
    free:
      description: How many of them Pods may have and none holds. Null when Pods could not be listed.
      type: int
      returned: always
      sample: 1
    device_plugin:
      description: Pod of a device plugin's DaemonSet that runs on it, as C(namespace/name); null when there is none.
      type: str
      returned: always
      sample: gpu-resources/nvidia-device-plugin-daemonset-x8tqk
    gpus_from:
      description:
        - Who offers its GPUs. V(managed) on a node with managed GPUs, else V(daemon_set) when a device plugin's
          DaemonSet is meant for it, else V(node), as with the AKS GPU image. V(dra) when NVIDIA's DRA driver hands them
          out, and nothing else does. Null when it offers none, or when DaemonSets could not be listed.
      type: str
      returned: always
      choices: [daemon_set, managed, dra, node]
      sample: daemon_set
    daemon_sets:
      description:
        - The DaemonSets of device plugins, and of NVIDIA's DRA driver, that make a Pod for it, each as
          C(namespace/name).
      type: list
      elements: str
      returned: always
      sample: [gpu-resources/nvidia-device-plugin-daemonset]
    labels:
      description: Its labels.
      type: dict
      returned: always
      sample: {accelerator: nvidia, agentpool: gpunp}
    taints:
      description: Its taints.
      type: list
      elements: str
      returned: always
      sample: ["sku=gpu:NoSchedule"]
    conditions:
      description: Its conditions, with C(type), C(status), C(reason), C(message).
      type: list
      elements: dict
      returned: always
      sample:
        - type: Ready
          status: "True"
          reason: KubeletReady
          message: kubelet is posting ready status
    node_image_version:
      description: The AKS node image.
      type: str
      returned: always
      sample: AKSUbuntu-2204gen2containerd-202608.01.0
    kubelet_version:
      description: The kubelet's version.
      type: str
      returned: always
      sample: v1.36.3
problems:
  description:
    - What is wrong, the most telling first. On success only what does not keep GPUs from working.
  returned: when the cluster could be looked at
  type: list
  elements: dict
  contains:
    subject:
      description: What has the problem.
      type: str
      returned: always
      sample: Node aks-gpunp-28993262-vmss000000
    cause:
      description: A word for programs.
      type: str
      returned: always
      sample: NotTolerated
    message:
      description: The cluster's own words, where it has some.
      type: str
      returned: always
      sample: DaemonSet gpu-resources/plugin makes no Pod for it, it does not tolerate the taint sku=gpu:NoSchedule
    advice:
      description: What to do; empty where waiting is all there is to do.
      type: str
      returned: always
      sample: Add the toleration to the DaemonSet.
    permanent:
      description: Whether waiting is of no use.
      type: bool
      returned: always
      sample: false
    log_tail:
      description: The last lines of the log of the container that has the problem.
      type: list
      elements: str
      returned: always
      sample: []
gpus_ready:
  description:
    - Whether every node is Ready with the GPUs that are expected. In check mode it may be false.
  returned: when the cluster could be looked at
  type: bool
  sample: true
expected:
  description:
    - What the pool was judged by.
  returned: when the cluster could be looked at
  type: dict
  contains:
    nodes:
      description: The fewest nodes.
      type: int
      returned: always
      sample: 1
    gpus_per_node:
      description: How many of O(resource_name) each node has to offer; null for any number above zero.
      type: int
      returned: always
      sample: 1
    resource_name:
      description: What the GPUs are called.
      type: str
      returned: always
      sample: nvidia.com/gpu
device_plugins:
  description:
    - The DaemonSets that hand out NVIDIA's GPUs in the cluster, whatever they are called, each as C(namespace/name).
  returned: when the cluster could be looked at
  type: list
  elements: str
  sample: [gpu-resources/nvidia-device-plugin-daemonset]
pool_device_plugins:
  description:
    - Those that would make a Pod for a new node of O(pool), by its labels and taints. Without O(pool), none.
    - The labels of a new node are those that AKS has put on a node of the cluster, with what differs by pool.
  returned: when the cluster could be looked at
  type: list
  elements: str
  sample: [gpu-resources/nvidia-device-plugin-daemonset]
possible_device_plugins:
  description:
    - DaemonSets that may put another device plugin on a new node of O(pool). They select a label that can't be
      foreseen, or register devices at the kubelet of which nothing says what they are.
  returned: when the cluster could be looked at
  type: list
  elements: str
  sample: []
cluster_policies:
  description:
    - The ClusterPolicies of NVIDIA's GPU Operator in the cluster, by name.
  returned: when the cluster could be looked at
  type: list
  elements: str
  sample: []
gpu_clusters:
  description:
    - The GPUClusters of NVIDIA's GPU Operator in the cluster, by name. With one, the operator hands GPUs out by DRA.
  returned: when the cluster could be looked at
  type: list
  elements: str
  sample: []
not_looked_at:
  description:
    - Collections that could not be read, because this identity may not, or not in time. What is in them is not known.
      A warning names the missing right of each, in the API server's words.
  returned: when the cluster could be looked at
  type: list
  elements: str
  sample: []
"""

from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._wait_for_gpus import (
    WAIT_FOR_GPUS_ARGUMENTS,
    plan_wait_for_gpus,
)


def main() -> None:
    """Runs the module."""
    run(WAIT_FOR_GPUS_ARGUMENTS, plan_wait_for_gpus)


if __name__ == "__main__":
    main()
