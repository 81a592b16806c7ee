# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task in a cluster that it names as Azure does: it gets the credentials by itself, and shares them with the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._aks._run_command import executor
from ansible_collections.aks.gpu.plugins.module_utils._aks._run_command_client import RunCommandClient
from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._azure._arguments import AZURE_ARGUMENTS
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import access_of
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._arguments import KUBERNETES_ARGUMENTS
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Client, Connect

RUN_COMMAND = ("never", "auto", "always")

IN_CLUSTER_ARGUMENTS = ArgumentSpec(
    options={
        "resource_group": {"type": "str", "aliases": ["resource_group_name"]},
        "cluster_name": {"type": "str"},
        "kubeconfig_directory": {"type": "path"},
        "run_command": {"type": "str", "choices": list(RUN_COMMAND), "default": "never"},
    },
    required_together=(("resource_group", "cluster_name"),),
)
"""Documented in the fragment ``aks.gpu.kubernetes.in_cluster``; for modules that have the options of Azure, too."""

CLUSTER_ARGUMENTS = KUBERNETES_ARGUMENTS.merge(AZURE_ARGUMENTS, IN_CLUSTER_ARGUMENTS)
"""All options by which a module reaches a cluster."""


def plan_in_cluster(task: Task, plan: Callable[[Task, Connect], Plan]) -> Plan:
    """Plans a task that has its kubeconfig, or the credentials of the cluster that it names.

    Where nobody else can reach the API server, Azure runs the commands in the cluster.

    A file of ``kubeconfig_directory`` is written when the plan is carried out. It is a cache, and no change of what the
    task is about.

    Args:
        task: Its options hold those of Kubernetes, of Azure and of ``IN_CLUSTER_ARGUMENTS``.
        plan: Plans what the module does in the cluster, given the task and what returns a client of the cluster.
    """
    params = task.params
    if params["kubeconfig"] or params["host"] or not params["cluster_name"]:
        return plan(task, partial(connect_to_cluster, task))
    # Only here: a task with a kubeconfig does not pay for Azure's libraries.
    from ansible_collections.aks.gpu.plugins.module_utils._aks._credentials import source_of
    from ansible_collections.aks.gpu.plugins.module_utils._aks._kubeconfig_plan import for_one_task

    asked = task.with_options(
        state="present",
        admin=False,
        path=None,
        directory=params["kubeconfig_directory"],
        merge=False,
        context=None,
        set_current_context=False,
        login="auto",
        return_content=False,
        wait_timeout=None,
    )
    kubeconfig, keep = for_one_task(asked, source_of(asked))
    task = task.with_options(kubeconfig=kubeconfig)
    planned = plan(task, partial(connect_to_cluster, task))
    return planned if keep is None else replace(planned, apply=partial(_carry_out, keep, planned))


def connect_to_cluster(task: Task) -> Client:
    """Returns a client of the cluster that the options of a task name.

    Args:
        task: Its options hold those of ``IN_CLUSTER_ARGUMENTS``.

    Raises:
        InvalidKubeconfig: There is none, or it can't be used.
    """
    access = access_of(task.params, task.temporary_directory, task.secret, task.execute)
    if access.run_command is None:
        return Client(access)
    return RunCommandClient(access, executor(task, access.run_command.cluster_id, access.run_command.server_id))


def _carry_out(keep: Callable[[], object], planned: Plan) -> dict[str, Any]:
    keep()
    return planned.result if planned.apply is None else planned.apply()
