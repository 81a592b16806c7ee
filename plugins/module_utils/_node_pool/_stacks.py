# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The four ways in which ``nvidia.com/gpu`` gets onto a node, as data.

Documented at https://learn.microsoft.com/en-us/azure/aks/use-nvidia-gpu and
https://learn.microsoft.com/en-us/azure/aks/aks-managed-gpu-nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import (
    AUTOSCALER,
    BY_OPTION,
    Values,
    values_equal,
)

DRIVER = ("gpu_profile", "driver")
MANAGEMENT = ("gpu_profile", "nvidia", "management_mode")
OS_TYPE = ("os_type",)
TAGS = ("tags",)
GPU_IMAGE_HEADER = "UseGPUDedicatedVHD"
MANAGED_TAG = "EnableManagedGPUExperience"
"""The tag that makes a pool one of managed GPUs as well, whatever its fields say."""


@dataclass(frozen=True)
class Stack:
    """A GPU stack of a node pool.

    Attributes:
        name: The value of the option ``gpu_stack``.
        fields: What a new pool gets where the user says nothing else.
        forbids: Values that contradict it, on a new pool and on one that exists.
        headers: Headers of the request that creates the pool.
        feature: The preview feature of the subscription that it needs, or None.
        warning: Shown whenever a pool is created with it, or None.
        retired: The day since which Azure refuses new pools with it, or None.
    """

    name: str
    fields: Values = field(default_factory=dict)
    forbids: Values = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    feature: str | None = None
    warning: str | None = None
    retired: str | None = None


STACKS: dict[str, Stack] = {
    stack.name: stack
    for stack in (
        Stack(
            "device_plugin",
            fields={DRIVER: "Install"},
            forbids={DRIVER: "None", MANAGEMENT: "Managed", OS_TYPE: "Windows"},
        ),
        Stack(
            "gpu_image",
            forbids={DRIVER: "None", MANAGEMENT: "Managed", OS_TYPE: "Windows"},
            headers={GPU_IMAGE_HEADER: "true"},
            feature="GPUDedicatedVHDPreview",
            warning=(
                "Azure retired the AKS GPU image on 2025-01-10 and refuses new node pools with it. Its successor is "
                "gpu_stack: managed; gpu_stack: device_plugin serves as well."
            ),
            retired="2025-01-10",
        ),
        Stack(
            "managed",
            fields={MANAGEMENT: "Managed"},
            forbids={DRIVER: "None", MANAGEMENT: "Unmanaged", OS_TYPE: "Windows", AUTOSCALER: True},
            feature="ManagedGPUExperiencePreview",
        ),
        Stack("operator", fields={DRIVER: "None"}, forbids={DRIVER: "Install", MANAGEMENT: "Managed"}),
    )
}


def managed_by_tag(tags: Mapping[str, Any] | None) -> bool:
    """Says whether the tags of a pool make it one of managed GPUs."""
    return any(key.lower() == MANAGED_TAG.lower() and str(text).lower() == "true" for key, text in (tags or {}).items())


def stack_of(values: Values, headers: Mapping[str, str]) -> Stack | None:
    """Returns the stack that fields, tags and headers of a new pool amount to, or None when they name none."""
    if values_equal(BY_OPTION[MANAGEMENT], values.get(MANAGEMENT), "Managed") or managed_by_tag(values.get(TAGS)):
        return STACKS["managed"]
    if any(name.lower() == GPU_IMAGE_HEADER.lower() and text.lower() == "true" for name, text in headers.items()):
        return STACKS["gpu_image"]
    if values_equal(BY_OPTION[DRIVER], values.get(DRIVER), "None"):
        return STACKS["operator"]
    return None
