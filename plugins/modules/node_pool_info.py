#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``aks.gpu.node_pool_info``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_pool_info
short_description: Lists the node pools of an AKS cluster
version_added: 0.1.0
author: aks.gpu authors (@aks-gpu)
description:
  - Lists the node pools of a cluster, or one of them.
extends_documentation_fragment:
  - aks.gpu.azure
  - aks.gpu.azure.cluster
  - aks.gpu.attributes
  - aks.gpu.attributes.reads
options:
  name:
    description: The node pool to return. By default all of them. A pool that isn't there gives an empty list.
    type: str
seealso:
  - module: aks.gpu.node_pool
"""

EXAMPLES = r"""
- name: Look at the node pools of a cluster
  aks.gpu.node_pool_info:
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
  register: pools

- name: Show their states
  ansible.builtin.debug:
    msg: "{{ pools.node_pools | items2dict(key_name='name', value_name='provisioning_state') }}"
"""

RETURN = r"""
node_pools:
  description:
    - The pools.
    - Every option of M(aks.gpu.node_pool) is a key of a pool, and every other field that Azure returns, in
      snake_case.
  returned: success
  type: list
  elements: dict
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
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._info import (
    NODE_POOL_INFO_ARGUMENTS,
    plan_node_pool_info,
)


def main() -> None:
    """Runs the module."""
    run(NODE_POOL_INFO_ARGUMENTS, plan_node_pool_info)


if __name__ == "__main__":
    main()
