# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node pool that is to be absent."""

from __future__ import annotations

from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._ansible._runs import (
    limit_of_task,
    why_kept,
)
from ansible_collections.aks.gpu.plugins.module_utils._azure._cluster_cache import CachedResource
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError
from ansible_collections.aks.gpu.plugins.module_utils._azure._ownership import (
    CREATED_BY_TAG,
    creating_run,
    is_created_by_us,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import (
    properties_of,
    to_result,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._node_pool_client import (
    DELETING,
    NodePoolClient,
    failure_of,
    is_settled,
    state_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._plan import (
    Pool,
    plan_pool,
)


def plan_absent(task: Task, access: NodePoolClient) -> Plan:
    """Plans the removal of a node pool.

    Args:
        task: Its options are those of the module ``node_pool``.
        access: The pool.
    """
    limit_of_task(task.params)
    current = access.get_cached()
    if current is None:
        access.cluster()  # a missing pool of a missing cluster is most likely a misspelt cluster
        return Plan(changed=False, result={"node_pool": None})
    reason = _why_left(task, current)
    if reason is not None:
        return Plan(
            changed=False,
            result={"node_pool": to_result(current)},
            warnings=[f"Node pool {access.name} of cluster {access.cluster_name} is left: {reason}"],
        )
    if state_of(current) == DELETING and not task.params["abort"]:
        waiting = task.params["wait"]
        return Plan(
            changed=False,
            result={"node_pool": None, "settled": False},
            apply=(lambda: _gone(access, current)) if waiting else None,
        )
    decision = plan_pool(current, None)
    return Plan(
        changed=True,
        result={"node_pool": None},
        apply=lambda: _delete(task, access, current),
        before={"name": access.name, **decision.before},
        after={},
    )


def _why_left(task: Task, current: Pool) -> str | None:
    """Returns why a removal leaves a pool, in whole sentences; None when it doesn't."""
    if task.params["only_created_by_us"] and not is_created_by_us(properties_of(current).get("tags")):
        return (
            f"aks.gpu did not create it, as it has no tag {CREATED_BY_TAG}. "
            "With O(only_created_by_us=false) it is deleted all the same."
        )
    reason = why_kept(creating_run(properties_of(current).get("tags")), task.params)
    return None if reason is None else f"{reason}."


def _delete(task: Task, access: NodePoolClient, seen: Pool) -> dict[str, Any]:
    current = access.read() if isinstance(seen, CachedResource) else seen
    if current is None or (state_of(current) == DELETING and not task.params["abort"]):
        waiting = current is not None and task.params["wait"]
        return _gone(access, current) if waiting else {"node_pool": None, "settled": current is None}
    if _why_left(task, current) is not None:
        raise Failure(f"Node pool {access.name} was replaced by somebody else meanwhile.", hint="Run again.")
    if task.params["abort"] and not is_settled(current):
        access.abort()
    try:
        answer = access.delete(task.params["ignore_pod_disruption_budget"])
    except AzureError as error:
        # Somebody else has begun to delete it since it was read.
        if error.status != 409 or "deletion was issued" not in error.azure_message or not task.params["wait"]:
            raise
        return _gone(access, None)
    if not task.params["wait"]:
        return {"node_pool": None, "settled": False}
    access.wait_for_operation(answer, f"Deleting {access.what}")
    return _gone(access, None)


def _gone(access: NodePoolClient, current: Pool | None) -> dict[str, Any]:
    """Waits until the pool is gone.

    Raises:
        NodePoolFailed: The deletion failed.
    """
    left = access.wait_until_settled(current)
    if left is not None:
        raise failure_of(left, access.name)
    return {"node_pool": None}
