# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node pool that takes the place of another one: the way out of an immutable option.

In turn: the new pool is ready and its GPUs are proven, the old one's autoscaler is stopped, its nodes are cordoned and
drained, the old pool is deleted. Each step asks first how things are, so a run that was killed goes on where it was.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._aks._kubelogin import login_arguments
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Task
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError
from ansible_collections.aks.gpu.plugins.module_utils._azure._sign_in import choose
from ansible_collections.aks.gpu.plugins.module_utils._azure._subscription import cluster_credentials
from ansible_collections.aks.gpu.plugins.module_utils._azure._vm_sizes import vm_size_facts
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._drain import cordon, drain
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_observations import Expectation
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._wait_for_gpus import await_gpus
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes import _kubeconfig as kubeconfigs
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes import _kubelogin
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import access_of
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Client
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import KubernetesError
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import (
    AUTOSCALER,
    BY_OPTION,
    COUNT,
    MIN_COUNT,
    Values,
    current_value,
    properties_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._node_pool_client import (
    DELETING,
    NodePoolClient,
    failure_of,
    is_settled,
    state_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._plan import Pool, plan_pool

GRACE_SECONDS = 300.0
"""How long a problem of the new pool's GPUs that hardly ever passes is waited for."""


def replacement_problems(name: str, values: Values, old: Pool | None, old_name: str, wait: bool) -> list[str]:
    """Finds what forbids a replacement, before anything is changed.

    Args:
        name: The new pool.
        values: The values that it will have.
        old: The pool that is to go, or None when it is gone.
        old_name: Its name.
        wait: The option of that name.
    """
    if old_name == name:
        return [f"replaces: {old_name} is the pool itself; the new pool needs another name."]
    if old is None:
        return []
    problems = []
    if not wait:
        problems.append("O(replaces) needs O(wait=true), because the old pool goes only when the new one is proven.")
    if not _first_nodes(values):
        problems.append("replaces needs a new pool that begins with a node at least: without one no GPU can be proven.")
    if current_value(BY_OPTION["mode",], properties_of(old)) == "System" and values.get(("mode",)) != "System":
        problems.append(f"replaces: {old_name} has mode: System; the pool that takes its place needs it as well.")
    return problems


def _first_nodes(values: Values) -> int:
    if COUNT in values:
        return int(values[COUNT])
    return int(values.get(MIN_COUNT, 1)) if values.get(AUTOSCALER) else 1


class Replacement:
    """Puts a pool that is there in the place of an old one.

    Args:
        task: The task, for its progress, deadline and private directory.
        new: The pool that stays.
        old: The pool that goes.
        stack: The GPU stack of the new pool, or None.
    """

    def __init__(self, task: Task, new: NodePoolClient, old: NodePoolClient, stack: str | None) -> None:
        self.task = task
        self.new = new
        self.old = old
        self.stack = stack

    def carry_out(self, replacing: Mapping[str, Any]) -> None:
        """Proves the new pool, empties the old one and deletes it.

        Args:
            replacing: The new pool as a module returns it.

        Raises:
            WaitFailed: The GPUs of the new pool can't be used; the old pool is as it was.
            DeadlineExceeded: The time is up; the message says what is left.
            AzureError: Azure refused.
        """
        old = self.old.read()
        if old is not None and state_of(old) != DELETING:
            client = self._kubernetes()
            self._prove(client, replacing)
            old = self._stop_autoscaler(old)
            if old is not None and state_of(old) != DELETING:
                self._empty(client)
                answer = self.old.delete(self.task.params["ignore_pod_disruption_budget"])
                self.old.wait_for_operation(answer, f"Deleting {self.old.what}")
        left = self.old.wait_until_settled()
        if left is not None:
            raise failure_of(left, self.old.name)

    def require_access(self) -> None:
        """Reads a node of the cluster, before anything is created for a replacement that could not go on.

        Raises:
            Failure: The run's own credentials don't lead to the cluster's nodes; the message says why.
            AzureError: Azure does not hand the credentials out.
        """
        try:
            self._kubernetes().request("GET", "/api/v1/nodes", query={"limit": 1})
        except KubernetesError as error:
            raise Failure(
                f"{self.old.name} can't be replaced, because the nodes of {self.new.cluster_name} can't be read: "
                f"{error.message} Nothing was changed.",
                hint=error.hint,
            ) from error

    def _kubernetes(self) -> Client:
        """Returns a client that signs in as the principal that signs in to Azure, without a person."""
        new, task = self.new, self.task
        text = cluster_credentials(new.client, new.subscription_id, new.resource_group, new.cluster_name)
        kubeconfig = kubeconfigs.parse_kubeconfig(text, f"Azure's kubeconfig of {new.cluster_name}")
        if _kubelogin.needs_login(kubeconfig):
            choice = choose(task.params, os.environ)
            method, values, trust = login_arguments(choice, new.client.cloud, task.params)
            kubeconfig = _kubelogin.convert(kubeconfig, _kubelogin.kubelogin_config(method, values, **trust))
        return Client(access_of({"kubeconfig": kubeconfig}, task.temporary_directory, task.secret, task.execute))

    def _prove(self, client: Client, pool: Mapping[str, Any]) -> None:
        """Waits until every node of the new pool offers its GPUs."""
        nodes = pool.get("min_count") if pool.get("enable_auto_scaling") else pool.get("count")
        size = str(pool.get("vm_size"))
        expected = Expectation(
            node_pool=self.new.name,
            nodes=max(1, int(nodes or 1)),
            gpus_per_node=None if pool.get("gpu_instance_profile") else vm_size_facts(size).gpus,
            vm_size=size,
            stack=self.stack,
            pool=dict(pool),
        )
        await_gpus(client, expected, self.new.client.deadline, self.task.progress, GRACE_SECONDS)

    def _stop_autoscaler(self, old: Pool) -> Pool | None:
        """Keeps the autoscaler off the old pool from now on; returns the pool, or None when it is gone."""
        while True:
            current: Pool | None = old if is_settled(old) else self.old.wait_until_settled(old)
            if current is None:
                return None
            decision = plan_pool(current, {AUTOSCALER: False})
            if not decision.steps:
                return current
            try:
                answer = self.old.update(decision.steps[0].body, current)
                self.old.wait_for_operation(answer, f"Stopping the autoscaler of {self.old.what}")
            except AzureError as error:
                if not error.stale or self.old.client.deadline.expired:
                    raise
                self.old.client.pause(1.0)
            found = self.old.read()
            if found is None:
                return None
            old = found

    def _empty(self, client: Client) -> None:
        cordon(client, self.old.name)
        if not self.task.params["ignore_pod_disruption_budget"]:
            drain(client, self.old.name, self.old.client.deadline, self.task.progress)
