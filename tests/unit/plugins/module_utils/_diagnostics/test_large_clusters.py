# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters of many nodes and Pods (findings C7 and E9): what is asked for, what is kept, how judging grows.

`bench/scale.py` measures the same with 150,000 Pods.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics import _job_logs, _jobs
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_nodes import evaluate_state, watched
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_observations import Expectation
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._watch import Query, State, observe
from api_server import Asked, api_server, status

Json = dict[str, Any]

EXPECTED = Expectation(node_pool="gpunp", gpus_per_node=8)
MANAGED = [{"manager": "kubelet", "operation": "Update", "fieldsV1": {f"f:field-{each}": {} for each in range(200)}}]
PLUGIN_IMAGE = "nvcr.io/nvidia/k8s-device-plugin:v0.18.0"


def node(number: int) -> Json:
    amounts = {"nvidia.com/gpu": "8"}
    return {
        "metadata": {
            "name": f"n{number}",
            "uid": f"node-{number}",
            "labels": {"kubernetes.azure.com/agentpool": "gpunp"},
            "managedFields": MANAGED,
        },
        "spec": {},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [{"type": "Ready", "status": "True"}],
            "images": [{"names": [f"registry.example/image-{each}"], "sizeBytes": 1} for each in range(50)],
        },
    }


def pod(number: int, *, gpus: int = 0, image: str = "registry.example/server:1", **status_of: Any) -> Json:
    limits = {"limits": {"nvidia.com/gpu": str(gpus), "memory": "1Gi"}} if gpus else {}
    variables = [{"name": "A", "value": "b" * 999}]
    return {
        "metadata": {"name": f"p{number}", "namespace": "n", "uid": f"pod-{number}", "managedFields": MANAGED},
        "spec": {
            "nodeName": f"n{number % 10}",
            "containers": [{"name": "c", "image": image, "resources": limits, "env": variables}],
        },
        "status": {"phase": "Running", **status_of},
    }


def first_state(
    folder: Path, queries: dict[str, Query], answer: Callable[[Asked], tuple[int, Any]]
) -> tuple[State, list[Asked]]:
    """The first state of a watch, and the requests for lists."""

    def answered(asked: Asked) -> tuple[int, Any]:
        return status(503, "ServiceUnavailable", "not now") if "watch" in asked.query else answer(asked)

    with api_server(folder, answered) as server, observe(server.client, queries) as watch:
        state = next(iter(watch.states(Deadline(20.0))))
        return state, [asked for asked in server.asked if "watch" not in asked.query]


def paged(asked: Asked, items: list[Json]) -> tuple[int, Any]:
    """A page as the API server gives it, with a token for the next one."""
    start, limit = int(asked.query.get("continue", 0)), int(asked.query.get("limit", len(items)))
    following = {"continue": str(start + limit)} if start + limit < len(items) else {}
    return 200, {"metadata": {"resourceVersion": "7", **following}, "items": items[start : start + limit]}


def test_lists_come_in_pages_and_of_pods_only_what_the_api_can_not_leave_out(tmp_path: Path) -> None:
    """kubernetes/perf-tests#4360: in a cluster of 5,000 nodes a list in one answer runs into the server's 60 s.

    With ``resourceVersion=0`` the server's cache answers, without regard to the limit (kube-rs/kube#1748).
    """
    found = {"/api/v1/nodes": [node(each) for each in range(10)], "/api/v1/pods": [pod(each) for each in range(1700)]}
    found["/api/v1/pods"] += [pod(each, gpus=1) for each in range(1700, 1780)]
    state, asked = first_state(tmp_path, watched(EXPECTED), lambda asked: paged(asked, found.get(asked.path, [])))
    pods = [each.query for each in asked if each.path == "/api/v1/pods"]
    assert [query.get("continue") for query in pods] == [None, "500", "1000", "1500"]
    assert {query.get("fieldSelector") for query in pods} == {"status.phase!=Succeeded"}
    assert all(int(each.query["limit"]) <= 500 and "resourceVersion" not in each.query for each in asked)
    assert len(state.objects["pods"]) == 80
    verdict = evaluate_state(EXPECTED, state)
    assert verdict.done
    assert [each["in_use"] for each in verdict.nodes] == [8] * 10


def test_managed_fields_and_images_are_not_kept() -> None:
    """kubernetes-sigs/headlamp#5660: 35,000 Pods took all memory; managed fields are several KB of each object."""
    queries = watched(EXPECTED)
    kept = {
        "node": queries["nodes"].keep(node(1)),
        "plugin": queries["pods"].keep(pod(2, image=PLUGIN_IMAGE)),
        "holder": queries["pods"].keep(pod(3, gpus=8)),
        "refused": queries["pods"].keep(pod(4, phase="Failed", reason="UnexpectedAdmissionError", message="m")),
    }
    texts = {name: json.dumps(found) for name, found in kept.items()}
    assert not any("field-" in text for text in texts.values())
    assert "image-" not in texts["node"]
    assert max(len(texts[name]) for name in ("holder", "refused")) < 500
    assert PLUGIN_IMAGE in texts["plugin"]
    assert queries["pods"].keep(pod(5)) is None
    assert queries["pods"].keep(pod(6, gpus=1, phase="Failed")) is None


@pytest.mark.parametrize(
    "containers",
    [
        {"containers": [{"name": "c", "resources": {"requests": {"nvidia.com/gpu": "2"}}}]},
        {"containers": [{"name": "c"}, {"name": "d", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]},
        {
            # volcano-sh/volcano#5829: a sidecar that holds one beside the main container.
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": {"limits": {"nvidia.com/gpu": 1}}}
            ],
            "containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": 1, "cpu": "1"}}}],
        },
        {
            "initContainers": [{"name": "i", "resources": {"limits": {"nvidia.com/gpu": 2}}}],
            "containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": 1}}}],
        },
    ],
)
def test_what_is_kept_of_a_pod_still_says_how_many_gpus_it_holds_and_where(containers: Json) -> None:
    waiting = {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    ]}}}}  # fmt: skip
    queries = watched(EXPECTED)
    state = State({name: {} for name in queries})
    state.objects["nodes"] = {"node-1": node(1)}
    places: list[Json] = [{"nodeName": "n1"}, waiting]
    for number, place in enumerate(places):
        found = {**pod(number), "spec": {**containers, **place}}
        kept = queries["pods"].keep(found)
        assert kept is not None
        state.objects["pods"][f"pod-{number}"] = kept
    assert evaluate_state(EXPECTED, state).nodes[0]["in_use"] == 2  # That of the Pod which has the node.
    assert state.objects["pods"]["pod-1"]["spec"]["affinity"] == waiting["affinity"]


def test_a_list_that_expires_between_two_pages_begins_again(tmp_path: Path) -> None:
    """kube-rs/kube#1748: 25,000 Pods, and 410 Gone; what was listed before must not stay among what is listed now."""
    expired: list[Asked] = []

    def answer(asked: Asked) -> tuple[int, Any]:
        if asked.query.get("continue") == "500" and not expired:
            expired.append(asked)
            return status(410, "Expired", "The provided continue parameter is too old")
        numbers = range(700, 1900) if expired else range(1000)
        return paged(asked, [pod(number, gpus=1) for number in numbers])

    pods = {"pods": watched(EXPECTED)["pods"]}
    state, asked = first_state(tmp_path, pods, answer)
    assert set(state.objects["pods"]) == {f"pod-{number}" for number in range(700, 1900)}
    assert len(asked) == 2 + 3


def seconds_for(count: int) -> float:
    """What judging a Job costs that has a Pod a node, half of them without one, each with a warning and a log."""
    job = {"metadata": {"name": "j", "namespace": "n", "uid": "j"}, "spec": {"completions": count}}
    reason = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0 nodes are available"}
    pods = [
        pod(each) if each % 2 else {**pod(each), "status": {"phase": "Pending", "conditions": [reason]}}
        for each in range(count)
    ]
    taint = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
    nodes = [{**node(each), "spec": {"taints": [taint]}} for each in range(count)]
    events = [{"involvedObject": {"uid": f"pod-{each}"}, "reason": "FailedMount"} for each in range(count)]
    evidence = _job_logs.JobLogs()
    evidence.take((f"pod-{each}/c/0", "step 1") for each in range(count))
    before = time.process_time()
    verdict = _jobs.evaluate_job(job, pods, events, nodes, evidence)
    shown = _jobs.job_result("n", "j", job, pods, evidence)
    spent = time.process_time() - before
    assert len(shown["pods"]) == count
    assert verdict.problems[0].advice == "Nodes have taints that it does not tolerate: sku=gpu:NoSchedule."
    return spent


def test_judging_a_job_is_linear() -> None:
    """Findings E9. Four times the Pods, nodes, events and logs: 4 where it is linear, 16 where one looks at each."""
    small = min(seconds_for(250) for _again in range(3))
    large = min(seconds_for(1000) for _again in range(3))
    assert large < 8 * small, f"{small:.3f} s, {large:.3f} s"
