# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``kubeconfig``: Azure has the credentials, and a kubeconfig gets them."""

from __future__ import annotations

from ansible_collections.aks.gpu.plugins.module_utils._aks import _kubeconfig_plan
from ansible_collections.aks.gpu.plugins.module_utils._aks._credentials import source_of
from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._azure._arguments import AZURE_ARGUMENTS, CLUSTER_OPTIONS
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes import _kubelogin

KUBECONFIG_ARGUMENTS = AZURE_ARGUMENTS.merge(
    ArgumentSpec(
        options={
            **CLUSTER_OPTIONS,
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "admin": {"type": "bool", "default": False},
            "path": {"type": "path"},
            "directory": {"type": "path"},
            "merge": {"type": "bool", "default": False},
            "context": {"type": "str"},
            "set_current_context": {"type": "bool", "default": False},
            "login": {"type": "str", "choices": ["auto", *_kubelogin.KUBELOGIN_METHODS], "default": "auto"},
            "run_command": {"type": "str", "choices": ["never", "auto", "always"], "default": "never"},
            "return_content": {"type": "bool", "default": False},
        },
        mutually_exclusive=(("path", "directory"),),
        required_if=(("merge", True, ("path",)),),
    )
)


def plan_kubeconfig(task: Task) -> Plan:
    """Plans what the module ``kubeconfig`` does."""
    return _kubeconfig_plan.plan_kubeconfig_files(task, source_of(task))
