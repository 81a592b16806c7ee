# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``manifest``: objects of a cluster, which Azure may have to reach."""

from __future__ import annotations

from ansible_collections.aks.gpu.plugins.module_utils._aks._session import CLUSTER_ARGUMENTS, plan_in_cluster
from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._ansible._runs import RUN_ARGUMENTS
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._manifest import plan_objects
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._secrets import seal_definition

MANIFEST_ARGUMENTS = CLUSTER_ARGUMENTS.merge(
    RUN_ARGUMENTS,
    ArgumentSpec(
        options={
            "definition": {"type": "raw", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "field_manager": {"type": "str", "default": "aks.gpu"},
            "force_conflicts": {"type": "bool", "default": False},
            "recreate_immutable": {"type": "bool", "default": False},
            "recreate": {"type": "list", "elements": "dict", "default": []},
            "namespaces_exist": {"type": "bool", "default": False},
            "only_created_by_us": {"type": "bool", "default": False},
            "only_if_empty": {"type": "bool", "default": False},
            "return_objects": {"type": "bool", "default": True},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 300},
        },
        seals={"definition": seal_definition},
    ),
)


def plan_manifest(task: Task) -> Plan:
    """Plans what the module ``manifest`` does."""
    return plan_in_cluster(task, plan_objects)
