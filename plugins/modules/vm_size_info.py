#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``aks.gpu.vm_size_info``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_size_info
short_description: Lists the GPU sizes of an Azure region
version_added: 0.1.0
author: aks.gpu authors (@aks-gpu)
description:
  - Lists the VM sizes with GPUs that a region offers, whether the subscription may use them, and how much of the
    quota is left.
extends_documentation_fragment:
  - aks.gpu.azure
  - aks.gpu.attributes
  - aks.gpu.attributes.reads
options:
  location:
    description: The region, such as V(westus2).
    type: str
    required: true
  names:
    description:
      - The sizes to return, whether the region has them or not. By default all sizes with GPUs that the region has.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Find the GPU sizes that can be used in a region
  aks.gpu.vm_size_info:
    location: westus2
  register: sizes

- name: Show those that the subscription may use
  ansible.builtin.debug:
    msg: "{{ sizes.vm_sizes | selectattr('available') | map(attribute='name') }}"
"""

RETURN = r"""
vm_sizes:
  description: The sizes.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The size.
      returned: always
      type: str
      sample: Standard_NC4as_T4_v3
    location:
      description: The region.
      returned: always
      type: str
      sample: westus2
    offered:
      description: Whether the region has the size.
      returned: always
      type: bool
      sample: true
    available:
      description: Whether the subscription may use it there.
      returned: always
      type: bool
      sample: true
    gpus:
      description: GPUs of a node; a part of a GPU counts as one. It is null for an unknown size that the region
        doesn't have.
      returned: always
      type: int
      sample: 1
    gpu_model:
      description: The GPU, where this collection knows the size; else null.
      returned: always
      type: str
      sample: NVIDIA T4
    vendor:
      description: V(nvidia) or V(amd), where this collection knows the size; else null.
      returned: always
      type: str
      sample: nvidia
    vcpus:
      description: vCPUs of a node; null when the region doesn't have the size.
      returned: always
      type: int
      sample: 4
    memory_gb:
      description: Memory of a node in GiB; null when unknown.
      returned: always
      type: float
      sample: 28.0
    family:
      description: The family that has the quota; null when the region doesn't have the size.
      returned: always
      type: str
      sample: Standard NCASv3_T4 Family
    zones:
      description: Availability zones that have it and that the subscription may use.
      returned: always
      type: list
      elements: str
      sample: ["1", "2"]
    restrictions:
      description: Why the subscription may not use it.
      returned: always
      type: list
      elements: dict
      contains:
        type:
          description: C(Location) or C(Zone).
          returned: always
          type: str
          sample: Location
        reason_code:
          description: Azure's reason.
          returned: always
          type: str
          sample: NotAvailableForSubscription
        zones:
          description: The zones that are meant.
          returned: always
          type: list
          elements: str
          sample: []
    retired:
      description: The day on which Azure took the size off, where this collection knows of one; else null.
      returned: always
      type: str
      sample: "2023-08-31"
    successor:
      description: What to take instead of a retired size; else null.
      returned: always
      type: str
      sample: Standard_NC4as_T4_v3
    quota:
      description: The family's quota of vCPUs; null when Azure lists none.
      returned: always
      type: dict
      contains: &quota
        name:
          description: What it is a quota of.
          returned: always
          type: str
          sample: Standard NCASv3_T4 Family vCPUs
        limit:
          description: vCPUs allowed.
          returned: always
          type: int
          sample: 24
        used:
          description: vCPUs in use.
          returned: always
          type: int
          sample: 4
        left:
          description: vCPUs left.
          returned: always
          type: int
          sample: 20
    regional_quota:
      description: The region's quota of vCPUs; null when Azure lists none.
      returned: always
      type: dict
      contains: *quota
"""

from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._compute_skus import (
    VM_SIZE_INFO_ARGUMENTS,
    plan_vm_size_info,
)


def main() -> None:
    """Runs the module."""
    run(VM_SIZE_INFO_ARGUMENTS, plan_vm_size_info)


if __name__ == "__main__":
    main()
