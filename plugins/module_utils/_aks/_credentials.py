# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the credentials of an AKS cluster come from: Azure, signed in as the task is."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._aks import _kubeconfig_plan
from ansible_collections.aks.gpu.plugins.module_utils._aks._kubelogin import login_arguments
from ansible_collections.aks.gpu.plugins.module_utils._aks._run_command import requires_run_command
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Task
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError
from ansible_collections.aks.gpu.plugins.module_utils._azure._session import open_session
from ansible_collections.aks.gpu.plugins.module_utils._azure._sign_in import choose, require_subscription
from ansible_collections.aks.gpu.plugins.module_utils._azure._subscription import (
    cluster,
    cluster_credentials,
    cluster_path,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes import _kubeconfig as kubeconfigs
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes import _kubelogin


def source_of(task: Task) -> _kubeconfig_plan.Source:
    """Joins Azure, which has the credentials, and the kubeconfig that they go to. Azure is asked later, if at all.

    Args:
        task: Its options are those of the module ``kubeconfig``.

    Raises:
        Failure: No subscription is named.
    """
    params = task.params
    group, name, admin = params["resource_group"], params["cluster_name"], params["admin"]
    choice = choose(params, os.environ)
    subscription_id = require_subscription(choice.settings)

    def fetch() -> str:
        try:
            return cluster_credentials(open_session(task).client, subscription_id, group, name, admin)
        except AzureError as error:
            if "local account" not in error.azure_message.lower():
                raise
            raise Failure(
                f"Cluster {name} has no credentials of an administrator: its local accounts are disabled.",
                hint="Leave admin out; the user signs in by Microsoft Entra ID, with kubelogin.",
                **error.details,
            ) from error

    def login() -> _kubelogin.KubeloginConfig:
        method, values, trust = login_arguments(choice, open_session(task).client.cloud, params, params["login"])
        return _kubelogin.kubelogin_config(method, values, **trust)

    def only_by_run_command(config: dict[str, Any]) -> bool:
        if params["run_command"] != "auto":
            return bool(params["run_command"] == "always")
        reason = _kubeconfig_plan.unreachable(task, config)
        return reason is not None and requires_run_command(
            cluster(open_session(task).client, subscription_id, group, name), reason
        )

    identity = kubeconfigs.Identity(cluster_path(subscription_id, group, name), group, name, admin)
    signed_in_as = "\n".join([*map(str, choice.principal), params["login"]])
    return _kubeconfig_plan.Source(identity, fetch, login, only_by_run_command, signed_in_as)
