# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of GPU sizes without asking Azure.

The live list of a region (Compute resource SKUs) goes before this table wherever it can be asked. Sources:
https://learn.microsoft.com/en-us/azure/virtual-machines/sizes/overview and, for the ends,
https://learn.microsoft.com/en-us/azure/virtual-machines/sizes/retirement/retired-sizes-list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NVIDIA = "nvidia"
AMD = "amd"

MINIMUM_SIZE = "Standard_NC4as_T4_v3"
"""The smallest GPU size that is on offer today."""


@dataclass(frozen=True)
class Family:
    """A series of VM sizes with GPUs.

    Attributes:
        pattern: Matches the names of its sizes, in lower case, without ``standard_``.
        model: The GPU.
        vendor: ``nvidia`` or ``amd``.
        gpus: GPUs of a size, by the number in its name; a partitioned GPU counts as the one device that a node sees.
        mig: Whether the GPU can be split into MIG instances; None when that is not known.
        retired: The day on which Azure took the series off, or None.
        successor: What to take instead of a retired size.
    """

    pattern: str
    model: str
    vendor: str
    gpus: dict[int, int]
    mig: bool | None = False
    retired: str | None = None
    successor: str | None = None


FAMILIES: tuple[Family, ...] = (
    Family(r"nc\d+as_t4_v3", "NVIDIA T4", NVIDIA, {4: 1, 8: 1, 16: 1, 64: 4}),
    Family(r"nc\d+ads_a100_v4", "NVIDIA A100", NVIDIA, {24: 1, 48: 2, 96: 4}, mig=True),
    Family(r"nc\d+ads_h100_v5", "NVIDIA H100", NVIDIA, {40: 1}, mig=True),
    Family(r"nc\d+adis_h100_v5", "NVIDIA H100", NVIDIA, {80: 2}, mig=True),
    # Of confidential computing, with the whole GPU.
    Family(r"ncc\d+ads_h100_v5", "NVIDIA H100", NVIDIA, {40: 1}, mig=None),
    # From 24 to 72 vCPUs a fraction of a GPU, which the node sees as one device.
    Family(
        r"nc\d+l?ds_xl_rtxpro6000bse_v6",
        "NVIDIA RTX PRO 6000",
        NVIDIA,
        {24: 1, 36: 1, 72: 1, 128: 1, 144: 1, 256: 2, 288: 2},
        mig=None,
    ),
    Family(r"nd\d+rs_v2", "NVIDIA V100", NVIDIA, {40: 8}),
    Family(r"nd\d+am?sr(_a100)?_v4", "NVIDIA A100", NVIDIA, {96: 8}, mig=True),
    Family(r"nd\d+isrf?_h100_v5", "NVIDIA H100", NVIDIA, {96: 8}, mig=True),
    Family(r"nd\d+isrf?_h200_v5", "NVIDIA H200", NVIDIA, {96: 8}, mig=True),
    Family(r"nd\d+isrf?(_ndr)?_gb200_v6", "NVIDIA GB200", NVIDIA, {128: 4}, mig=None),
    Family(r"nd\d+isrf?(_ndr)?_gb300_v6", "NVIDIA GB300", NVIDIA, {128: 4}, mig=None),
    Family(r"nv\d+adm?s_a10_v5", "NVIDIA A10", NVIDIA, {6: 1, 12: 1, 18: 1, 36: 1, 72: 2}),
    Family(r"nd\d+isr_mi300x_v5", "AMD Instinct MI300X", AMD, {96: 8}),
    Family(r"nv\d+adm?s_v710_v5", "AMD Radeon Pro V710", AMD, {4: 1, 8: 1, 12: 1, 24: 1, 28: 1}),
    Family(r"ng\d+adm?s_v620_v1", "AMD Radeon PRO V620", AMD, {8: 1, 16: 1, 32: 1}),
    Family(r"nc(6|12|24)r?(_promo)?", "Tesla K80", NVIDIA, {6: 1, 12: 2, 24: 4}, False, "2023-08-31", MINIMUM_SIZE),
    Family(r"nc\d+r?s_v2", "Tesla P100", NVIDIA, {6: 1, 12: 2, 24: 4}, False, "2023-08-31", MINIMUM_SIZE),
    Family(r"nd(6|12|24)r?s", "Tesla P40", NVIDIA, {6: 1, 12: 2, 24: 4}, False, "2023-08-31", MINIMUM_SIZE),
    Family(r"nv(6|12|24)(_promo)?", "Tesla M60", NVIDIA, {6: 1, 12: 2, 24: 4}, False, "2023-09-06", MINIMUM_SIZE),
    Family(r"nc\d+r?s_v3", "Tesla V100", NVIDIA, {6: 1, 12: 2, 24: 4}, False, "2025-09-30", "Standard_NC24ads_A100_v4"),
    Family(
        r"nv(12|24|48)s_v3", "Tesla M60", NVIDIA, {12: 1, 24: 2, 48: 4}, False, "2026-09-30", "Standard_NV36ads_A10_v5"
    ),
    Family(
        r"nv\d+as_v4", "AMD Radeon Instinct MI25", AMD, {4: 1, 8: 1, 16: 1, 32: 1}, False, "2026-09-30", MINIMUM_SIZE
    ),
)


_VENDORS = (
    (re.compile(r"_(?:mi\d|v6\d\d|v7\d\d)"), AMD),
    (re.compile(r"_(?:t\d|a\d{2,3}|h\d{3}|g?b\d{3}|l\d{1,2}s?|rtx\w*)(?:_|$)"), NVIDIA),
)
"""What stands for the GPU in the name of a size → its vendor."""


@dataclass(frozen=True)
class SizeFacts:
    """What is known of one size.

    Attributes:
        name: As given.
        gpus: GPUs that a node of the size has; None when it is a GPU size that is not in the table.
        model: The GPU, or None.
        vendor: ``nvidia``, ``amd``, or None.
        mig: Whether it can be split into MIG instances; None when unknown.
        retired: The day on which Azure took it off, or None.
        successor: What to take instead, or None.
    """

    name: str
    gpus: int | None
    model: str | None = None
    vendor: str | None = None
    mig: bool | None = None
    retired: str | None = None
    successor: str | None = None


def vm_size_facts(name: str) -> SizeFacts:
    """Returns what is known of a size from its name alone.

    A name that begins with ``Standard_NC``, ``NCC``, ``ND``, ``NG`` or ``NV`` is a GPU size even if it is too new for
    the table; any other has no GPUs. The vendor of one that is not in the table is known where the name says the GPU.

    Args:
        name: Such as ``Standard_NC4as_T4_v3``; letter case is ignored.
    """
    short = name.lower().removeprefix("standard_")
    number = re.match(r"[a-z]+(\d+)", short)
    for family in FAMILIES:
        if re.fullmatch(family.pattern, short):
            gpus = family.gpus.get(int(number.group(1))) if number else None
            return SizeFacts(name, gpus, family.model, family.vendor, family.mig, family.retired, family.successor)
    if re.match(r"n(?:cc?|[dgv])\d", short):
        return SizeFacts(name, None, None, next((vendor for sign, vendor in _VENDORS if sign.search(short)), None))
    return SizeFacts(name, 0, mig=False)
