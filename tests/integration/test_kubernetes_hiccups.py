# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A control plane that falters during a wait does not end it, and does not hide what happened meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Json
from module_runner import Running
from relay import Relay
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


# Both waits, and the log that one of them follows

MNIST = "mcr.microsoft.com/azuredocs/samples-tf-mnist-demo:gpu"


def _gpus(cluster: Cluster, kubeconfig: str) -> tuple[Running, Callable[[], None], Callable[[Json], bool]]:
    """A wait for GPUs, what ends it, and whether it ended well."""
    options: Json = {"kubeconfig": kubeconfig, "node_pool": POOL, "wait_timeout": 60, "grace": 60}
    waiting = Running("wait_for_gpus", options)
    waiting.wait_for_line("no device plugin")
    return waiting, cluster.plug, lambda result: bool(result["gpus_ready"])


def _job(cluster: Cluster, kubeconfig: str) -> tuple[Running, Callable[[], None], Callable[[Json], bool]]:
    """A wait for a Job that has told a part of its log; it goes on by itself."""
    cluster.plug()
    assert not cluster.gpus()["failed"]
    cluster.sandbox.set(workload_seconds=8.0)
    options = {**cluster.job(image=MNIST, args=["--max_steps", "100"]), "kubeconfig": kubeconfig, "wait_timeout": 60}
    waiting = Running("wait_for_job", options)
    waiting.wait_for_line("accuracy")

    def whole(result: Json) -> bool:
        told = [entry["step"] for entry in result["job"]["accuracy"]]
        return bool(result["job"]["complete"]) and told == list(range(0, 100, 10))

    return waiting, lambda: None, whole


@pytest.fixture
def relay(cluster: Cluster, tmp_path: Path) -> Iterator[Relay]:
    found = Relay(cluster.sandbox.kubeconfig(), tmp_path)
    yield found
    found.close()


@pytest.mark.parametrize("wait", [_gpus, _job])
def test_connections_are_lost(cluster: Cluster, relay: Relay, wait: Any) -> None:
    waiting, change, good = wait(cluster, relay.kubeconfig())
    before = relay.connections
    relay.cut()
    change()
    result = waiting.result()
    assert not result["failed"], result
    assert good(result)
    assert relay.connections > before


@pytest.mark.parametrize("wait", [_gpus, _job])
def test_out_of_reach_for_a_while(cluster: Cluster, relay: Relay, wait: Any) -> None:
    """What happened meanwhile is seen when the API server is back."""
    waiting, change, good = wait(cluster, relay.kubeconfig())
    relay.cut(stay=True)
    change()
    waiting.wait_for_line("out of reach")
    time.sleep(2.0)
    relay.mend()
    result = waiting.result()
    assert not result["failed"], result
    assert good(result)


@pytest.mark.parametrize("wait", [_gpus, _job])
def test_watches_expire(cluster: Cluster, relay: Relay, wait: Any) -> None:
    """410 Gone: a restarted API server does not remember the events that the watches missed."""
    waiting, change, good = wait(cluster, relay.kubeconfig())
    relay.cut(stay=True)
    change()
    for number in range(3):
        cluster.core.create_namespaced_config_map("default", {"metadata": {"name": f"filler-{number}"}})
        cluster.core.delete_namespaced_config_map(f"filler-{number}", "default")
    component(cluster, "kube-apiserver", "restart")
    relay.mend()
    result = waiting.result()
    assert not result["failed"], result
    assert good(result)
    assert relay.carried("too old resource version")


@pytest.mark.parametrize("name", ["etcd", "kube-apiserver"])
@pytest.mark.parametrize("wait", [_gpus, _job])
def test_a_part_is_slow(cluster: Cluster, name: str, wait: Any) -> None:
    waiting, change, good = wait(cluster, cluster.kubeconfig)
    for _again in range(3):
        component(cluster, name, "pause", 1.5)
        time.sleep(0.3)
    change()
    component(cluster, name, "pause", 1.5)
    result = waiting.result()
    assert not result["failed"], result
    assert good(result)


@pytest.mark.parametrize("name", ["etcd", "kube-apiserver"])
@pytest.mark.parametrize("wait", [_gpus, _job])
def test_a_part_is_killed_and_comes_back(cluster: Cluster, name: str, wait: Any) -> None:
    waiting, change, good = wait(cluster, cluster.kubeconfig)
    component(cluster, name, "kill")
    time.sleep(3.0)
    component(cluster, name, "restart")
    change()
    result = waiting.result()
    assert not result["failed"], result
    assert good(result)
