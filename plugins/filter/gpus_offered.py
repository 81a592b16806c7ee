# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each node of a pool offers to Pods, after MIG and sharing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._gpu_resources import (
    GPU_RESOURCE,
    UnknownProfile,
    gpu_resource,
)

DOCUMENTATION = r"""
name: gpus_offered
short_description: What each node of a GPU node pool offers to Pods, after MIG and sharing
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Says by which name Pods ask for GPUs of a VM size, and how many a node has of it, when NVIDIA's device plugin splits
    them by MIG or shares them.
options:
  _input:
    description: The VM size.
    type: str
    required: true
  gpu_instance_profile:
    description: The MIG profile of the node pool.
    type: str
    choices: ["", MIG1g, MIG2g, MIG3g, MIG4g, MIG7g]
    default: ""
  mig_strategy:
    description: The device plugin's MIG strategy.
    type: str
    choices: ["none", single, mixed]
    default: "none"
  replicas:
    description: Into how many shares each GPU is cut.
    type: int
    default: 1
  sharing_resource:
    description: What is shared.
    type: str
    default: nvidia.com/gpu
  rename:
    description: Whether shares go by a name of their own.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Seven instances of an A100, each by the name of its profile
  ansible.builtin.debug:
    msg: "{{ 'Standard_NC24ads_A100_v4' | aks.gpu.gpus_offered(gpu_instance_profile='MIG1g', mig_strategy='mixed') }}"
    # {"resource_name": "nvidia.com/mig-1g.10gb", "per_node": 7}
"""

RETURN = r"""
_value:
  description: The C(resource_name), and C(per_node), which is null for a size that is not known.
  type: dict
"""


def gpus_offered(
    value: str,
    gpu_instance_profile: str | None = "",
    mig_strategy: str = "none",
    replicas: Any = 1,
    sharing_resource: str = GPU_RESOURCE,
    rename: Any = False,
) -> dict[str, Any]:
    """Returns what a node of a size offers.

    Args:
        value: The VM size.
        gpu_instance_profile: The MIG profile of the pool; empty for none.
        mig_strategy: ``none``, ``single`` or ``mixed``.
        replicas: Shares of each GPU; a number, also as text.
        sharing_resource: What is shared.
        rename: Whether shares go by a name of their own.

    Raises:
        AnsibleFilterError: The number is none, or the name of the instances is not known.
    """
    try:
        found = gpu_resource(
            value,
            gpu_instance_profile=gpu_instance_profile or None,
            mig_strategy=mig_strategy,
            replicas=int(replicas),
            sharing_resource=sharing_resource,
            rename=boolean(rename),
        )
    except UnknownProfile as error:
        raise AnsibleFilterError(
            f"{error} Say it yourself: gpu_verify_resource_name and mnist_resource_name."
        ) from error
    except ValueError as error:
        raise AnsibleFilterError(f"{replicas!r} is no number of shares.") from error
    return {"resource_name": found.resource_name, "per_node": found.per_node}


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"gpus_offered": gpus_offered}
