# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node offers to Pods: by which name, and how many, after MIG and sharing. Pure.

Names and numbers of MIG instances: https://docs.nvidia.com/datacenter/tesla/mig-user-guide/supported-mig-profiles.html;
of shares: https://github.com/NVIDIA/k8s-device-plugin#shared-access-to-gpus.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.aks.gpu.plugins.module_utils._azure._vm_sizes import vm_size_facts

GPU_RESOURCE = "nvidia.com/gpu"

INSTANCES = {"MIG1g": 7, "MIG2g": 3, "MIG3g": 2, "MIG4g": 1, "MIG7g": 1}
"""Instances of a GPU by AKS's name of the profile; alike for every GPU that AKS splits."""

_PROFILE_MEMORY: tuple[tuple[str, dict[str, int]], ...] = (
    (r"nd\d+asr_v4", {"MIG1g": 5, "MIG2g": 10, "MIG3g": 20, "MIG4g": 20, "MIG7g": 40}),
    (
        r"nc\d+ads_a100_v4|nd\d+amsr_a100_v4|nd\d+isrf?_h100_v5",
        {"MIG1g": 10, "MIG2g": 20, "MIG3g": 40, "MIG4g": 40, "MIG7g": 80},
    ),
    (r"nc\d+adi?s_h100_v5", {"MIG1g": 12, "MIG2g": 24, "MIG3g": 47, "MIG4g": 47, "MIG7g": 94}),
    (r"nd\d+isrf?_h200_v5", {"MIG1g": 18, "MIG2g": 35, "MIG3g": 71, "MIG4g": 71, "MIG7g": 141}),
)
"""Memory of an instance in GB, as its name has it, by the sizes whose GPU it is."""


class UnknownProfile(ValueError):
    """Nobody here knows what the MIG instances of a size are called."""


@dataclass(frozen=True)
class GpuResource:
    """What each node offers.

    Attributes:
        resource_name: What Pods ask for.
        per_node: How many of it, or None when the number of the size's GPUs is not known.
    """

    resource_name: str
    per_node: int | None


def gpu_resource(
    vm_size: str,
    *,
    gpu_instance_profile: str | None = None,
    mig_strategy: str = "none",
    replicas: int = 1,
    sharing_resource: str = GPU_RESOURCE,
    rename: bool = False,
) -> GpuResource:
    """Returns what a node with NVIDIA's device plugin offers.

    Args:
        vm_size: The size of the node.
        gpu_instance_profile: The MIG profile of its pool, as AKS calls it, or None.
        mig_strategy: The device plugin's: ``none``, ``single`` or ``mixed``.
        replicas: Shares of each GPU, or of each instance.
        sharing_resource: What is shared.
        rename: Whether shares go by a name of their own.

    Raises:
        UnknownProfile: The strategy is ``mixed``, and the name of the instances is not known.
    """
    name, count = GPU_RESOURCE, vm_size_facts(vm_size).gpus
    if gpu_instance_profile and mig_strategy != "none":
        instances = INSTANCES.get(gpu_instance_profile)
        count = count * instances if count and instances else None
        if mig_strategy == "mixed":
            name = f"nvidia.com/mig-{_profile(vm_size, gpu_instance_profile)}"
    if replicas > 1 and name == sharing_resource:
        name, count = name + (".shared" if rename else ""), count * replicas if count else None
    return GpuResource(name, count)


def _profile(vm_size: str, profile: str) -> str:
    short = vm_size.lower().removeprefix("standard_")
    for pattern, memory in _PROFILE_MEMORY:
        if re.fullmatch(pattern, short) and profile in memory:
            return f"{profile.removeprefix('MIG')}.{memory[profile]}gb"
    raise UnknownProfile(f"What the MIG instances of {vm_size} with {profile} are called is not known here.")
