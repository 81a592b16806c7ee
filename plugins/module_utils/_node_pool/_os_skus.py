# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which operating systems of AKS nodes run NVIDIA GPUs.

Only what is documented as unsupported is judged: an OS SKU or a GPU that is not in these tables passes, and AKS has the
last word. Sources: https://learn.microsoft.com/en-us/azure/aks/use-nvidia-gpu (Flatcar, OS Guard),
https://learn.microsoft.com/en-us/azure/aks/nvidia-gpu-operator (Windows), and for Azure Linux
https://github.com/Azure/AKS/issues/4602 (AKS's refusal), https://github.com/microsoft/azurelinux/issues/17192 and
https://github.com/Azure/karpenter-provider-azure/blob/main/pkg/utils/supported-gpus.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass

LINUX = "Linux"
WINDOWS = "Windows"


@dataclass(frozen=True)
class OsSku:
    """An OS SKU.

    Attributes:
        name: In Azure's spelling.
        os_type: ``Linux`` or ``Windows``.
        nvidia: Whether it runs NVIDIA GPUs at all; None when that is not documented.
        excluded: GPUs that it doesn't run, as ``_vm_sizes`` names them.
    """

    name: str
    os_type: str = LINUX
    nvidia: bool | None = True
    excluded: tuple[str, ...] = ()


BEFORE_VOLTA = ("Tesla K80", "Tesla M60", "Tesla P40", "Tesla P100")

OS_SKUS: dict[str, OsSku] = {
    sku.name.lower(): sku
    for sku in (
        OsSku("Ubuntu"),
        OsSku("Ubuntu2204"),
        OsSku("Ubuntu2404"),
        OsSku("AzureLinux", excluded=BEFORE_VOLTA),
        OsSku("AzureLinux3", excluded=BEFORE_VOLTA),
        OsSku("CBLMariner", excluded=BEFORE_VOLTA),
        OsSku("Mariner", excluded=BEFORE_VOLTA),
        OsSku("AzureLinuxOSGuard", nvidia=False),
        OsSku("Flatcar", nvidia=False),
        OsSku("AzureContainerLinux", nvidia=None),
        OsSku("Windows2019", WINDOWS),
        OsSku("Windows2022", WINDOWS),
        OsSku("Windows2025", WINDOWS, nvidia=None),
    )
}
"""By name in lower case."""
