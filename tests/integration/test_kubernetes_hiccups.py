# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A control plane that falters during a wait does not end it, and does not hide what happened meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from harness import Json
from module_runner import Running
from test_kubernetes_waits import POOL, Cluster, cluster, plugged, whole_cluster

__all__ = ["cluster", "plugged", "whole_cluster"]


@pytest.fixture(autouse=True)
def _controllers_back(cluster: Cluster) -> Iterator[None]:
    """Controllers that lost their API server take up to half a minute to look for it again."""
    yield
    for name in ("kube-controller-manager", "kube-scheduler"):
        component(cluster, name, "restart")


def component(cluster: Cluster, name: str, what: str, seconds: float = 0.0) -> None:
    cluster.sandbox.act("component", cluster=cluster.sandbox.cluster, name=name, what=what, seconds=seconds)


def waiting_for_gpus(cluster: Cluster) -> Running:
    options: Json = {"kubeconfig": cluster.kubeconfig, "node_pool": POOL, "wait_timeout": 60, "grace": 60}
    waiting = Running("wait_for_gpus", options)
    waiting.wait_for_line("no device plugin")
    return waiting


def test_api_server_is_killed_and_comes_back(cluster: Cluster) -> None:
    waiting = waiting_for_gpus(cluster)
    component(cluster, "kube-apiserver", "kill")
    waiting.wait_for_line("out of reach")
    component(cluster, "kube-apiserver", "restart")
    cluster.plug()
    assert not waiting.result()["failed"]


@pytest.mark.parametrize("name", ["etcd", "kube-apiserver"])
def test_control_plane_stands_still(cluster: Cluster, name: str) -> None:
    waiting = waiting_for_gpus(cluster)
    component(cluster, name, "pause", 4.0)
    cluster.plug()
    assert not waiting.result()["failed"]


def test_job_and_its_log_outlive_the_api_server(plugged: Cluster) -> None:
    plugged.sandbox.set(workload_seconds=8.0)
    image = "mcr.microsoft.com/azuredocs/samples-tf-mnist-demo:gpu"
    waiting = Running("wait_for_job", {**plugged.job(image=image, args=["--max_steps", "100"]), "wait_timeout": 60})
    waiting.wait_for_line("accuracy")
    component(plugged, "kube-apiserver", "restart")
    result = waiting.result()
    assert not result["failed"], result
    assert [entry["step"] for entry in result["job"]["accuracy"]] == list(range(0, 100, 10))


def test_api_server_that_stays_away(cluster: Cluster) -> None:
    waiting = Running("wait_for_gpus", {"kubeconfig": cluster.kubeconfig, "node_pool": POOL, "wait_timeout": 6})
    waiting.wait_for_line("no device plugin")
    component(cluster, "kube-apiserver", "kill")
    try:
        started = time.monotonic()
        result = waiting.result()
    finally:
        component(cluster, "kube-apiserver", "restart")
    assert result["failed"]
    assert "The API server was out of reach at the end" in result["msg"]
    assert time.monotonic() - started < 20
