# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drain asks the API server for, which Pods it has to move, and what it waits for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._drain import drain, is_evictable
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import KubernetesError
from api_server import Asked, api_server, status


@pytest.mark.parametrize(
    ("pod", "evictable"),
    [
        ({"metadata": {}}, True),
        ({"metadata": {"ownerReferences": [{"kind": "ReplicaSet", "controller": True}]}}, True),
        ({"metadata": {"ownerReferences": [{"kind": "DaemonSet", "controller": True}]}}, False),
        ({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}, False),
        ({"metadata": {}, "status": {"phase": "Succeeded"}}, False),
        ({"metadata": {}, "status": {"phase": "Failed"}}, False),
        ({"metadata": {}, "status": {"phase": "Pending"}}, True),
    ],
)
def test_what_has_to_move(pod: dict[str, Any], evictable: bool) -> None:
    assert is_evictable(pod) is evictable


TERMINATING = "unable to create new content in namespace n because it is being terminated"


def pod(name: str, node: str, namespace: str = "n") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "uid": name}, "spec": {"nodeName": node}}


class Cluster:
    """Two nodes of a pool, one of another, and Pods on them in pages of two."""

    def __init__(self, refusals: dict[str, list[tuple[int, Any]]] | None = None) -> None:
        self.refusals = refusals or {}
        self.lists: list[dict[str, str]] = []
        self.pods = {
            "gpu-0": [pod("a", "gpu-0"), pod("b", "gpu-0"), pod("c", "gpu-0")],
            "gpu-1": [pod("d", "gpu-1", "kube:odd")],
            "other": [pod("e", "other")],
        }

    def __call__(self, asked: Asked) -> tuple[int, Any]:
        if asked.path == "/api/v1/nodes":
            return 200, {"items": [{"metadata": {"name": name}} for name in ("gpu-0", "gpu-1")]}
        if asked.path == "/api/v1/pods":
            self.lists.append(asked.query)
            node = asked.query.get("fieldSelector", "").removeprefix("spec.nodeName=")
            found = self.pods[node] if node else [each for pods in self.pods.values() for each in pods]
            start = int(asked.query.get("continue", 0))
            end = start + 2 if "limit" in asked.query else len(found)
            metadata = {"continue": str(end)} if len(found) > end else {}
            return 200, {"items": found[start:end], "metadata": metadata}
        name = asked.path.split("/")[-2]
        if self.refusals.get(name):
            return self.refusals[name].pop(0)
        for node, pods in self.pods.items():
            self.pods[node] = [each for each in pods if each["metadata"]["name"] != name]
        return 201, {}


def drained(folder: Path, cluster: Cluster, seconds: float = 20) -> list[str]:
    with api_server(folder, cluster) as server:
        drain(server.client, "gpunp", Deadline(seconds), lambda _text: None, sleep=lambda _seconds: None)
        return server.paths("POST")


def test_only_the_nodes_of_the_pool_are_asked_for_page_by_page(tmp_path: Path) -> None:
    """As kubectl's drain lists: by the field spec.nodeName, in chunks of 500 (--chunk-size).

    https://kubernetes.io/docs/reference/kubectl/generated/kubectl_drain/
    """
    cluster = Cluster()
    asked = drained(tmp_path, cluster)
    assert {query.get("fieldSelector") for query in cluster.lists} == {"spec.nodeName=gpu-0", "spec.nodeName=gpu-1"}
    assert all(int(query["limit"]) <= 500 for query in cluster.lists)
    assert sorted(path.split("/")[-2] for path in asked) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "source",
    [
        "https://github.com/kubernetes/kubernetes/pull/93947",
        "https://github.com/kubernetes/kubernetes/pull/89314",
        "https://github.com/kubernetes/kops/issues/5988",
    ],
)
def test_a_pod_of_a_namespace_that_is_being_deleted_is_waited_for(tmp_path: Path, source: str) -> None:
    causes = [{"reason": "NamespaceTerminating", "message": "namespace n is being terminated", "field": "metadata"}]
    refusal = status(403, "Forbidden", TERMINATING, causes)
    cluster = Cluster({"a": [refusal, refusal]})
    assert drained(tmp_path, cluster).count("/api/v1/namespaces/n/pods/a/eviction") == 3, source
    with pytest.raises(DeadlineExceeded, match="n/a: its namespace is being deleted"):
        drained(tmp_path, Cluster({"a": [refusal] * 99}), seconds=0)


def test_another_refusal_ends_the_drain(tmp_path: Path) -> None:
    forbidden = status(403, "Forbidden", 'pods "a" is forbidden: cannot create resource "pods/eviction"')
    with pytest.raises(KubernetesError, match="cannot create resource"):
        drained(tmp_path, Cluster({"a": [forbidden]}))
