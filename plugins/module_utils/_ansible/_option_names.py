# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that a text for the user names: by the name by which that user can set them.

A text names an option as the documentation of modules does: ``O(repair=true)`` or ``O(repair)``. The user of the
module reads ``repair: true`` for it. The user of a role reads ``node_pool_repair: true``, which can be set there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

ROLE_VARIABLE = "AKS_GPU_ROLE"
"""Environment variable by which an action plugin says of which role of the collection the task is."""

SHARED_VARIABLES = {
    "cluster_name": "aks_cluster_name",
    "gpu_stack": "gpu_stack",
    "kubeconfig": "aks_kubeconfig",
    "only_run": "aks_gpu_only_run",
    "resource_group": "aks_resource_group",
    "run": "aks_gpu_run",
    "run_command": "aks_run_command",
    "subscription_id": "aks_subscription_id",
}
"""Options that are the same variable in every role."""

ROLE_OPTIONS: dict[str, frozenset[str]] = {
    "device_plugin": frozenset({"state", "wait_timeout"}),
    "gpu_monitoring": frozenset(
        {"create_azure_monitor_workspace", "create_workspace", "only_created_by_us", "wait_timeout"}
    ),
    "gpu_operator": frozenset({"state", "wait_timeout"}),
    "gpu_verify": frozenset({"wait_timeout"}),
    "mnist": frozenset({"force_conflicts", "state", "wait", "wait_timeout"}),
    "node_pool": frozenset(
        {
            "availability_zones",
            "count",
            "enable_auto_scaling",
            "ignore_pod_disruption_budget",
            "max_count",
            "min_count",
            "mode",
            "only_created_by_us",
            "os_sku",
            "repair",
            "scale_set_priority",
            "state",
            "wait",
            "wait_timeout",
        }
    ),
    "preview_feature": frozenset({"state", "wait_timeout"}),
}
"""By role, the options that texts name and that are the role's variable ``<role>_<option>``."""

_MARK = re.compile(r"(?<![A-Za-z])O\(([a-z][a-z_.]*)(?:=([^()\s]*))?\)")

Named = Callable[[str], "str | None"]
"""Returns what the user calls an option, or None where only the module has it."""


def _itself(option: str) -> str | None:
    return option


def named_in_role(role: str) -> Named:
    """Returns what says how the user of a role of this collection calls the options of the role's modules."""
    own = ROLE_OPTIONS.get(role, frozenset())
    return lambda option: f"{role}_{option}" if option in own else SHARED_VARIABLES.get(option)


def named_here() -> Named:
    """Returns what says how the user of this task calls the options of its module."""
    role = os.environ.get(ROLE_VARIABLE)
    return named_in_role(role) if role else _itself


def with_names(text: str, named: Named = _itself) -> str:
    """Returns a text with the names of options in the place of their marks.

    Args:
        text: The text.
        named: Says how the user calls an option; by default as the module does.
    """

    def replaced(found: re.Match[str]) -> str:
        option, value = found.groups()
        name = named(option)
        setting = (name or option) if value is None else f"{name or option}: {value}"
        return setting if name else f"{setting} (an option of the module, not of the role)"

    return _MARK.sub(replaced, text)


def all_with_names(value: Any, named: Named) -> Any:
    """Returns a value with the names of options in every text inside of it."""
    if isinstance(value, str):
        return with_names(value, named)
    if isinstance(value, Mapping):
        return {key: all_with_names(item, named) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [all_with_names(item, named) for item in value]
    return value
