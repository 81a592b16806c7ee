# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wait for the GPUs of a node pool: the module wait_for_gpus."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._aks._session import CLUSTER_ARGUMENTS, plan_in_cluster
from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded, Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, duration_text
from ansible_collections.aks.gpu.plugins.module_utils._azure._vm_sizes import vm_size_facts
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_nodes import GpuStatus, evaluate_state, watched
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_observations import Expectation, expectation_of
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._log_tails import with_log_tails
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import (
    ACCELERATOR_LABEL,
    is_telling,
    is_well,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import (
    GraceTracker,
    Problem,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Client, Connect
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import WaitFailed
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._watch import State, not_looked_at, observe

WAIT_FOR_GPUS_ARGUMENTS = CLUSTER_ARGUMENTS.merge(
    ArgumentSpec(
        options={
            "node_pool": {"type": "str"},
            "nodes": {"type": "int"},
            "gpus_per_node": {"type": "int"},
            "resource_name": {"type": "str", "default": "nvidia.com/gpu"},
            "vm_size": {"type": "str"},
            "gpu_stack": {"type": "str", "choices": ["device_plugin", "gpu_image", "managed", "operator"]},
            "ignored_daemon_sets": {"type": "list", "elements": "str", "default": []},
            "pool": {"type": "dict"},
            "node_pools": {"type": "list", "elements": "str", "default": []},
            "return_details": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 1800},
            "grace": {"type": "int", "default": 300},
        }
    ),
)


GPU_FIRST_READ_SECONDS = 60.0
"""The first look at a cluster may take so long, also where nothing is waited for."""


def plan_gpu_wait(task: Task, expected: Expectation, connect: Connect) -> Plan:
    """Plans the wait for the GPUs of a pool; in check mode the state as it is now is all there is to say.

    Args:
        task: Its options hold ``wait_timeout`` and ``grace`` in seconds, and the way to the cluster.
        expected: What to wait for.
        connect: Returns a client of the cluster.
    """
    client = connect()
    with observe(client, watched(expected)) as watch:
        state = next(iter(watch.states(task.deadline(max(GPU_FIRST_READ_SECONDS, task.params["wait_timeout"])))))
    verdict = evaluate_state(expected, state)
    known = verdict, state
    returned = _all_details if task.params["return_details"] else _essential_nodes
    wait = None if verdict.done else lambda: returned(_wait(task, client, expected, known))
    return Plan(changed=False, result=returned(_gpus_result(verdict, state)), apply=wait, warnings=not_looked_at(state))


def _all_details(result: dict[str, Any]) -> dict[str, Any]:
    return result


def _essential_nodes(result: dict[str, Any]) -> dict[str, Any]:
    """Returns a result without what nothing is judged by: most labels and conditions of nodes, taints, what is free."""
    return {**result, "nodes": [_essential_node(node) for node in result["nodes"]], "device_plugins": []}


def _essential_node(node: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: value for name, value in node.items() if name not in ("taints", "free")},
        "labels": {name: value for name, value in node["labels"].items() if name == ACCELERATOR_LABEL},
        "conditions": [_essential_condition(each) for each in node["conditions"] if is_telling(each)],
    }


def _essential_condition(condition: dict[str, Any]) -> dict[str, Any]:
    """Returns a condition, without the words of one that is well."""
    if is_well(condition):
        return {name: condition.get(name) for name in ("type", "status")}
    return condition


def _wait(task: Task, client: Client, expected: Expectation, known: tuple[GpuStatus, State]) -> dict[str, Any]:
    deadline = task.deadline(task.params["wait_timeout"])
    return await_gpus(client, expected, deadline, task.progress, task.params["grace"], known)


def await_gpus(
    client: Client,
    expected: Expectation,
    deadline: Deadline,
    progress: Callable[[str], None],
    grace: float,
    known: tuple[GpuStatus, State] | None = None,
) -> dict[str, Any]:
    """Watches a pool until its GPUs can be used, and returns what was found.

    Args:
        client: The cluster.
        expected: What to wait for.
        deadline: The end of the wait.
        progress: Told how far it is.
        grace: Seconds after which a problem that hardly ever passes ends the wait.
        known: What an earlier look has found. It stands until the cluster has been read again.

    Raises:
        WaitFailed: The time is up, or waiting does not help; the problems are in the message.
    """
    patience = GraceTracker(grace)
    verdict, state = known or (None, State())
    unread = ""
    try:
        with observe(client, watched(expected)) as watch:
            for seen in watch.states(deadline):
                if seen.late and known is not None:
                    unread = _not_again("; ".join(seen.denied[name] for name in sorted(seen.late)))
                    break
                state = seen
                verdict = evaluate_state(expected, state)
                if verdict.done:
                    return _gpus_result(verdict, state)
                progress(_gpu_progress(verdict, state))
                expired = patience.expired(problem for problem in verdict.problems if problem.blocking)
                if expired and not state.lost:
                    waited = duration_text(deadline.elapsed)
                    head = f"{expected.subject}: its GPUs can't be used, and waiting does not help (waited {waited})."
                    raise _wait_failure(head, client, verdict, state)
    except DeadlineExceeded as error:
        if verdict is None:
            raise
        unread = _not_again(str(error))
    if verdict is None:
        raise Failure(f"{expected.subject}: nothing could be seen within {duration_text(deadline.seconds)}.")
    raise _wait_failure(
        f"{expected.subject}: its GPUs could not be used within {duration_text(deadline.seconds)}.{unread}",
        client,
        verdict,
        state,
    )


def _not_again(why: str) -> str:
    return f" Since the first look the cluster could not be read again: {why}"


def _gpu_progress(verdict: GpuStatus, state: State) -> str:
    if state.lost:
        return f"{verdict.summary}; the API server is out of reach: {state.lost}"
    first = next((problem for problem in verdict.problems if problem.blocking), None)
    more = sum(problem.blocking for problem in verdict.problems) - 1
    if first is None:
        return verdict.summary
    return f"{verdict.summary}; {first.subject}: {first.message}" + (f" (and {more} more)" if more else "")


def _wait_failure(head: str, client: Client, verdict: GpuStatus, state: State) -> WaitFailed:
    problems = [_with_advice(problem) for problem in with_log_tails(client, verdict.problems)]
    lines = [head, *(f"- {problem.text()}" for problem in problems)]
    if state.lost:
        lines.append(f"- The API server was out of reach at the end: {state.lost}")
    lines += [f"- {text}" for text in not_looked_at(state)]
    return WaitFailed("\n".join(lines), **_gpus_result(replace(verdict, problems=problems), state))


_PLUGIN_LOG = re.compile(r"Incompatible strategy detected|invalid device discovery strategy|NVML", re.IGNORECASE)


def _with_advice(problem: Problem) -> Problem:
    """Says what the end of a device plugin's log means."""
    if not any(_PLUGIN_LOG.search(line) for line in problem.log_tail):
        return problem
    advice = (
        "The plugin finds no NVIDIA driver on the node: it is not installed yet, its installation failed, or the pool "
        "has gpu_profile.driver None."
    )
    return replace(problem, advice=advice)


def _gpus_result(verdict: GpuStatus, state: State) -> dict[str, Any]:
    return {
        "nodes": verdict.nodes,
        "problems": [problem.as_result() for problem in verdict.problems],
        "gpus_ready": verdict.done,
        "expected": {
            "nodes": verdict.expected.nodes,
            "gpus_per_node": verdict.expected.gpus_per_node,
            "resource_name": verdict.expected.resource,
        },
        "device_plugins": verdict.device_plugins,
        "pool_device_plugins": verdict.pool_device_plugins,
        "possible_device_plugins": verdict.possible_device_plugins,
        "cluster_policies": verdict.cluster_policies,
        "gpu_clusters": verdict.gpu_clusters,
        "not_looked_at": sorted(state.denied),
    }


def plan_wait_for_gpus(task: Task) -> Plan:
    """Plans what the module ``wait_for_gpus`` does, with the number of GPUs that the size is known to have."""
    expected = expectation_of(task.params, gpus_of_size=lambda size: vm_size_facts(size).gpus)
    return plan_in_cluster(task, lambda task, connect: plan_gpu_wait(task, expected, connect))
