# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``node_pool_info``: pools as they are."""

from __future__ import annotations

from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._azure._arguments import AZURE_ARGUMENTS, CLUSTER_OPTIONS
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError
from ansible_collections.aks.gpu.plugins.module_utils._azure._session import open_session
from ansible_collections.aks.gpu.plugins.module_utils._azure._subscription import (
    cluster,
    missing_cluster,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import to_result
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._node_pool_client import NodePoolClient

NODE_POOL_INFO_ARGUMENTS = AZURE_ARGUMENTS.merge(ArgumentSpec(options={**CLUSTER_OPTIONS, "name": {"type": "str"}}))


def plan_node_pool_info(task: Task) -> Plan:
    """Lists the pools of a cluster, or one. Raises ``AzureError``; a cluster that isn't there is one."""
    session = open_session(task)
    client, subscription_id = session.client, session.subscription_id
    group, name = task.params["resource_group"], task.params["cluster_name"]
    if task.params["name"]:
        pool = NodePoolClient(session, group, name, task.params["name"]).read()
        if pool is None:
            cluster(client, subscription_id, group, name)
        return Plan(changed=False, result={"node_pools": [] if pool is None else [to_result(pool)]})
    try:
        pools = client.list(
            client.aks.agent_pools.list, group, name, activity=f"Listing the node pools of cluster {name}"
        )
    except AzureError as error:
        if error.status == 404:
            raise missing_cluster(client, subscription_id, group, name, error) from error
        raise
    return Plan(changed=False, result={"node_pools": [to_result(pool) for pool in pools]})
