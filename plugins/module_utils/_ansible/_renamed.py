# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Public names that changed before the first release. The old name is refused, and the message has the new one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._values import is_unset

VARIABLES: dict[str, dict[str, str]] = {
    "gpu_monitoring": {"gpu_monitoring_only_own": "gpu_monitoring_only_created_by_us"},
    "gpu_verify": {"gpu_verify_look_only": "gpu_verify_read_only"},
    "mnist": {"mnist_run_again": "mnist_recreate"},
    "node_pool": {"node_pool_only_own": "node_pool_only_created_by_us"},
}
"""By role, each old name of a variable with the new one."""

OPTIONS: dict[str, dict[str, str]] = {
    "evidence": {"probe_asked": "probe_requested"},
    "evidence_report": {"unless_going": "only_if_all_failed"},
    "manifest": {"only_own": "only_created_by_us"},
    "monitoring": {"only_own": "only_created_by_us"},
    "node_pool": {"only_own": "only_created_by_us"},
}
"""By module, each old name of an option with the new one. meta/runtime.yml has the names of filters."""


def renamed_variables(roles: Iterable[str], variables: Mapping[str, Any]) -> list[str]:
    """Returns a sentence without its full stop for each variable that is set by its old name.

    Args:
        roles: The roles, by name.
        variables: The variables of a host. One that is unset or empty text is ignored.
    """
    return [
        f"The variable {old} has been renamed to {new}"
        for role in roles
        for old, new in VARIABLES.get(role, {}).items()
        if not is_unset(variables.get(old))
    ]


def renamed_options(module: str, options: Iterable[str]) -> list[str]:
    """Returns a sentence without its full stop for each option that a task sets by its old name.

    Args:
        module: The module, by its name without the collection's.
        options: The names of the options that the task sets.
    """
    names = set(options)
    return [
        f"The option {old} of {module} has been renamed to {new}"
        for old, new in OPTIONS.get(module, {}).items()
        if old in names
    ]
