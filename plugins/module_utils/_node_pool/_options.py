# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of a node pool, by the way to them."""

from __future__ import annotations

VM_SIZE = ("vm_size",)
TAINTS = ("node_taints",)
LABELS = ("node_labels",)
MODE = ("mode",)
ZONES = ("availability_zones",)
PRIORITY = ("scale_set_priority",)
EVICTION = ("scale_set_eviction_policy",)
PRICE = ("spot_max_price",)
MIG = ("gpu_instance_profile",)
OS_SKU = ("os_sku",)
SUBNET = ("vnet_subnet_id",)
POD_SUBNET = ("pod_subnet_id",)
MAX_PODS = ("max_pods",)
