#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``aks.gpu.node_pool``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_pool
short_description: Manages a GPU node pool of an AKS cluster
version_added: 0.1.0
author: aks.gpu authors (@aks-gpu)
description:
  - Creates, updates and deletes a node pool, and waits for that.
  - An option that is not set is left as it is. An option that is set belongs to the task; an empty list or dictionary
    means that nothing shall be in it.
  - What AKS adds by itself, such as the taint of Spot nodes, and what the autoscaler does with O(count), is no
    difference.
  - Options that AKS takes only at creation are compared as well. A difference is refused by name before anything is
    written.
  - The letter case of the choices, of sizes and of ARM ids, and the order of zones and taints, don't matter.
  - Fields of the pool that have no option here keep their values.
extends_documentation_fragment:
  - aks.gpu.azure
  - aks.gpu.azure.cluster
  - aks.gpu.attributes
  - aks.gpu.attributes.writes
options:
  name:
    description: The node pool. Up to 12 lower-case letters and digits, beginning with a letter; 6 for Windows.
    type: str
    required: true
  state:
    description:
      - Whether the pool shall be there.
      - V(absent) drains the nodes and deletes the pool.
    type: str
    choices: [present, absent]
    default: present
  return_details:
    description:
      - Whether RV(node_pool) has every field. Otherwise it has C(id), C(name), C(provisioning_state), C(etag),
        C(vm_size) and C(count), and once RV(settled) is true what M(aks.gpu.wait_for_gpus) and M(aks.gpu.evidence)
        read of it.
    type: bool
    default: true
  return_node_pools:
    description:
      - Whether to read the cluster as well, and to return RV(node_pools).
    type: bool
    default: false
  wait:
    description:
      - Whether to wait until Azure has done it. What somebody else has started on the pool is awaited too.
      - With V(false) the task starts the work and returns; a later task with V(true) waits for it. A change that AKS
        takes only in several requests waits for all of them but the last.
    type: bool
    default: true
  wait_timeout:
    description: The most seconds that the whole task may take.
    type: int
    default: 3600
  preflight:
    description:
      - Whether to ask Azure, before a pool is created, for what would make it fail. That is, whether the region and
        its zones offer the size to the subscription, whether the size has GPUs that fit the stack, whether the quotas
        suffice for O(max_count) or O(count), whether the cluster is running and allows it, whether the preview
        feature that the stack needs is registered, and whether the principal may create pools. All problems are
        reported at once.
      - The AKS GPU image is refused, unless the subscription may still use a size in this region that Azure retired
        before it. In a cloud that still has the image but none of these sizes, take V(false).
      - What the principal may not ask is not judged.
    type: bool
    default: true
  repair:
    description:
      - Whether to write a pool again whose last operation has failed or was canceled. Without it, such a pool fails
        the task.
    type: bool
    default: false
  abort:
    description:
      - Whether to end an operation that is under way on the pool, instead of waiting for it. The pool is then written
        again or deleted.
    type: bool
    default: false
  ignore_pod_disruption_budget:
    description:
      - Whether O(state=absent), or O(replaces) for the old pool, may evict Pods against their disruption budgets.
    type: bool
    default: false
  only_created_by_us:
    description:
      - With O(state=absent), whether to leave a pool that this module did not create, and to say so.
      - The module knows its own pools by the tag C(aks.gpu.created-by), which it sets at creation. O(tags) neither
        removes it nor needs to name it.
    type: bool
    default: false
  run:
    description:
      - The name of the run that the task belongs to, at most 256 characters. A pool that is created gets it as the tag
        C(aks.gpu.run). A pool that is there keeps the one that it has, and O(tags) neither removes it nor needs to name
        it.
    type: str
  only_run:
    description:
      - With O(state=absent), whether to leave a pool whose tag C(aks.gpu.run) is not O(run), and to say so.
      - It requires O(run).
    type: bool
    default: false
  settings:
    description:
      - Options of this module as one dictionary, for a pool that is kept as data. They take the place of options
        beside it.
      - What is empty text or null in it is left out. A list may be comma-separated text.
      - All options but those that name the pool and its cluster, and those of the sign-in.
      - For a fleet this is faster than a template for each option.
    type: dict
  gpu_stack:
    description:
      - How V(nvidia.com/gpu) is to get onto the nodes. It sets options of a new pool that are not set otherwise, and
        is checked against the pool when there is one.
      - V(device_plugin) sets O(gpu_profile.driver=Install); a DaemonSet has to be applied to the cluster.
      - V(gpu_image) sends the header C(UseGPUDedicatedVHD=true). Azure retired this image on 2025-01-10.
      - V(managed) sets O(gpu_profile.nvidia.management_mode=Managed). It excludes the autoscaler.
      - V(operator) sets O(gpu_profile.driver=None); the NVIDIA GPU Operator has to be installed.
    type: str
    choices: [device_plugin, gpu_image, managed, operator]
  replaces:
    description:
      - The pool whose place this one takes; the way out of an option that AKS takes only at creation.
      - When this pool is there and each of its nodes offers its GPUs, the autoscaler of the old pool is stopped, its
        nodes are cordoned and drained as the disruption budgets of the Pods allow, and the old pool is deleted. Until
        then the old pool is as it was. A run that was killed half-way goes on in the next run; once the old pool is
        gone, there is nothing to do.
      - It needs O(wait=true), the credentials of the cluster's user, and both pools' quota for a while. Where the
        cluster authenticates by Microsoft Entra ID, C(kubelogin) signs in as the task itself does. Whether the nodes
        can be read is tried before anything is created.
    type: str
  custom_headers:
    description:
      - HTTP headers of the request that creates the pool, as C(az aks nodepool add --aks-custom-headers) sends them.
        AKS doesn't return them, so they are never compared.
    type: dict
  vm_size:
    description: The VM size. Needed to create a pool, and only taken then.
    type: str
  count:
    description:
      - Nodes; by default a new pool begins with one. With the autoscaler a new pool begins with O(count) or
        O(min_count), and afterwards the number is the autoscaler's.
      - A stopped pool has no nodes, and AKS reports V(0) for it. The option is not compared then, and a start brings
        back the number from before.
    type: int
  enable_auto_scaling:
    description: Whether the cluster autoscaler changes the number of nodes. V(true) needs O(min_count) and
      O(max_count).
    type: bool
  min_count:
    description: The fewest nodes that the autoscaler leaves.
    type: int
  max_count:
    description: The most nodes that the autoscaler adds.
    type: int
  scale_down_mode:
    description: What happens to nodes that are taken away, V(Delete) or V(Deallocate).
    type: str
  mode:
    description: V(User), or V(System) for a pool that may run the cluster's own Pods.
    type: str
  node_taints:
    description: Taints, each as C(key=value:Effect), such as V(sku=gpu:NoSchedule).
    type: list
    elements: str
  node_labels:
    description: Labels of the nodes. Those of C(kubernetes.azure.com/) are AKS's own and are refused.
    type: dict
  tags:
    description: Tags of the pool's Azure resources.
    type: dict
  availability_zones:
    description: Zones of the region, or V(auto) to leave the choice to AKS. Only taken at creation.
    type: list
    elements: raw
  os_type:
    description: V(Linux) or V(Windows). Only taken at creation.
    type: str
  os_sku:
    description:
      - The flavour of the operating system, such as V(Ubuntu) or V(AzureLinux).
      - O(preflight) refuses those that AKS documents as having no NVIDIA GPUs, V(Flatcar) and V(AzureLinuxOSGuard).
    type: str
  os_disk_size_gb:
    description: The size of the system disk in GiB; V(0) for the default of the VM size. Only taken at creation.
    type: int
  os_disk_type:
    description: V(Managed) or V(Ephemeral). Only taken at creation.
    type: str
  kubelet_disk_type:
    description: Where the kubelet keeps its data, V(OS) or V(Temporary). Only taken at creation.
    type: str
  max_pods:
    description: The most Pods on a node. Only taken at creation.
    type: int
  vnet_subnet_id:
    description: The ARM id of the subnet of the nodes. Only taken at creation.
    type: str
  pod_subnet_id:
    description: The ARM id of the subnet of the Pods. Only taken at creation.
    type: str
  enable_node_public_ip:
    description: Whether each node has a public address. Only taken at creation.
    type: bool
  scale_set_priority:
    description: V(Regular) or V(Spot). Only taken at creation.
    type: str
  scale_set_eviction_policy:
    description: What happens to evicted Spot nodes, V(Delete) or V(Deallocate). Only taken at creation.
    type: str
  spot_max_price:
    description:
      - The most US dollars an hour for a Spot node; V(-1) for up to the on-demand price. Only taken at creation.
      - AKS keeps five digits after the decimal point and may return V(0.57699) for V(0.577). Prices that differ by less
        than 0.000015 are equal.
    type: float
  gpu_profile:
    description: What AKS installs for the GPUs.
    type: dict
    suboptions:
      driver:
        description:
          - V(Install) for the driver of AKS, V(None) for none. Only taken at creation.
        type: str
      nvidia:
        description: What is special to NVIDIA.
        type: dict
        suboptions:
          management_mode:
            description:
              - V(Managed) lets AKS install the device plugin and the DCGM exporter as well, V(Unmanaged) doesn't.
                Only taken at creation.
            type: str
  gpu_instance_profile:
    description: How the GPUs are split, V(MIG1g), V(MIG2g), V(MIG3g), V(MIG4g) or V(MIG7g). Only taken at creation.
    type: str
  capacity_reservation_group_id:
    description: The ARM id of a capacity reservation group that provides the VMs.
    type: str
  proximity_placement_group_id:
    description: The ARM id of a proximity placement group.
    type: str
  host_group_id:
    description: The ARM id of a dedicated host group. Only taken at creation.
    type: str
  upgrade_settings:
    description: How nodes are replaced in an upgrade.
    type: dict
    suboptions:
      max_surge:
        description: Nodes added for the time of an upgrade, as a number or a percentage.
        type: raw
      max_unavailable:
        description: Nodes that may be missing during an upgrade, as a number or a percentage.
        type: raw
      drain_timeout_in_minutes:
        description: How long a node may take to drain.
        type: int
      node_soak_duration_in_minutes:
        description: How long to wait after a node was drained.
        type: int
      undrainable_node_behavior:
        description: What happens to a node that can't be drained, V(Cordon) or V(Schedule).
        type: str
  orchestrator_version:
    description:
      - The Kubernetes version, such as V(1.36.2), or V(1.36) for any patch of it.
      - AKS upgrades to newer patch releases by itself. A pool with a newer patch release than the option names is left
        as it is, with a warning.
    type: str
  power_state:
    description:
      - V(Running) starts a stopped pool, V(Stopped) stops it. A stopped pool takes no other change than
        O(orchestrator_version).
    type: str
notes:
  - Pools of one cluster are best written in turn. When AKS refuses a request because another operation is in
    progress, the task waits for that one until O(wait_timeout).
  - After a task was killed, the next run goes on with what Azure is doing.
  - Node pools of the type C(VirtualMachines) are not managed. The task fails and changes nothing.
seealso:
  - module: aks.gpu.node_pool_info
  - module: aks.gpu.vm_size_info
  - module: aks.gpu.wait_for_gpus
  - name: Use GPUs on AKS
    description: Microsoft's own guide.
    link: https://learn.microsoft.com/en-us/azure/aks/use-nvidia-gpu
"""

EXAMPLES = r"""
- name: A pool of one to three nodes with a T4 each
  aks.gpu.node_pool:
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
    name: gpunp
    gpu_stack: device_plugin
    vm_size: Standard_NC4as_T4_v3
    count: 1
    enable_auto_scaling: true
    min_count: 1
    max_count: 3
    node_taints: sku=gpu:NoSchedule

- name: A pool whose GPU software AKS manages
  aks.gpu.node_pool:
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
    name: managed
    gpu_stack: managed
    vm_size: Standard_NC24ads_A100_v4
    count: 2

- name: Let the autoscaler go up to ten nodes, and leave everything else as it is
  aks.gpu.node_pool:
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
    name: gpunp
    max_count: 10

- name: Take all taints off, but those that AKS has set
  aks.gpu.node_pool:
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
    name: gpunp
    node_taints: []

- name: Give the workload another VM size, by a new pool that takes the place of gpunp
  aks.gpu.node_pool:
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
    name: gpunp2
    replaces: gpunp
    gpu_stack: device_plugin
    vm_size: Standard_NC8as_T4_v3
    count: 1
    node_taints: sku=gpu:NoSchedule

- name: Pools that are kept as data
  aks.gpu.node_pool:
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
    name: "{{ item.name }}"
    settings: "{{ item.settings }}"
  loop:
    - name: gpunp
      settings: {gpu_stack: device_plugin, vm_size: Standard_NC4as_T4_v3, count: 1}
    - name: managed
      settings: {gpu_stack: managed, vm_size: Standard_NC24ads_A100_v4, count: 2}

- name: Delete the pool
  aks.gpu.node_pool:
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
    name: gpunp
    state: absent
"""

RETURN = r"""
settled:
  description: Whether the pool is as asked and nothing is under way, so that there is nothing to wait for.
  returned: success
  type: bool
  sample: true
node_pools:
  description:
    - C(name) of each node pool of the cluster, and C(own), whether it has the tag C(aks.gpu.created-by). Null without
      O(return_node_pools=true), and in check mode where something would be done.
  returned: success
  type: list
  elements: dict
  sample:
    - name: gpunp
      own: true
node_pool:
  description:
    - The pool, in check mode as it would be. Null when O(state=absent), unless O(only_created_by_us) or O(only_run)
      leaves it.
    - Every option is a key of it, and every other field that Azure returns, in snake_case. With
      O(return_details=false) only few.
  returned: success
  type: dict
  contains:
    id:
      description: The ARM id.
      returned: always
      type: str
      sample: /subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/myResourceGroup/…
    name:
      description: The name.
      returned: always
      type: str
      sample: gpunp
    provisioning_state:
      description: C(Succeeded), C(Failed), C(Canceled), or what is under way, such as C(Creating).
      returned: always
      type: str
      sample: Succeeded
    power_state:
      description: C(Running) or C(Stopped).
      returned: always
      type: str
      sample: Running
    etag:
      description: The version of the pool; null while it is only predicted.
      returned: always
      type: str
      sample: "5b6b5c5e-0000-0000-0000-000000000000"
    vm_size:
      description: The VM size.
      returned: always
      type: str
      sample: Standard_NC4as_T4_v3
    count:
      description: Nodes at the moment.
      returned: always
      type: int
      sample: 1
    enable_auto_scaling:
      description: Whether the autoscaler is on.
      returned: always
      type: bool
      sample: true
    min_count:
      description: The autoscaler's lower bound, or null.
      returned: always
      type: int
      sample: 1
    max_count:
      description: The autoscaler's upper bound, or null.
      returned: always
      type: int
      sample: 3
    mode:
      description: C(System) or C(User).
      returned: always
      type: str
      sample: User
    node_taints:
      description: Taints, those of AKS among them.
      returned: always
      type: list
      elements: str
      sample: ["sku=gpu:NoSchedule"]
    node_labels:
      description: Labels.
      returned: always
      type: dict
      sample: {}
    tags:
      description: Tags.
      returned: always
      type: dict
      sample: {}
    availability_zones:
      description: Zones.
      returned: always
      type: list
      elements: str
      sample: []
    os_type:
      description: The operating system.
      returned: always
      type: str
      sample: Linux
    os_sku:
      description: The flavour of the operating system.
      returned: always
      type: str
      sample: Ubuntu
    scale_set_priority:
      description: C(Regular) or C(Spot).
      returned: always
      type: str
      sample: Regular
    gpu_profile:
      description: What AKS installs for the GPUs, with C(driver) and C(nvidia.management_mode); may be null.
      returned: always
      type: dict
      sample: {"driver": "Install"}
    gpu_instance_profile:
      description: The MIG profile, or null.
      returned: always
      type: str
    orchestrator_version:
      description: The Kubernetes version that was asked for.
      returned: always
      type: str
      sample: "1.36"
    current_orchestrator_version:
      description: The Kubernetes version that the nodes run.
      returned: always
      type: str
      sample: "1.36.2"
    node_image_version:
      description: The node image.
      returned: always
      type: str
      sample: AKSUbuntu-2204gen2containerd-202611.03.0
"""

from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._reconcile import NODE_POOL_ARGUMENTS, plan_node_pool


def main() -> None:
    """Runs the module."""
    run(NODE_POOL_ARGUMENTS, plan_node_pool)


if __name__ == "__main__":
    main()
