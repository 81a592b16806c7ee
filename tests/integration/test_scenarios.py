# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way to a GPU from nothing to verified: predicted without a write, done, done again unchanged, cleaned up.

The default and the article's ways are in test_main_job.py, time slicing under one name in test_ways_of_use.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aks_sandbox.testing import Sandbox
from harness import Ansible, Json, PlaybookRun, pools
from test_main_job import changed_tasks, gpu_nodes, shown, user_objects

A100 = "Standard_NC24ads_A100_v4"
TOLD = "The cluster autoscaler understands nvidia.com/gpu only"


class Scenario:
    """The playbooks with the variables of one way, in check mode always with every write refused."""

    def __init__(self, sandbox: Sandbox, ansible: Ansible, environment: dict[str, str] | None = None) -> None:
        self.sandbox = sandbox
        self._ansible = ansible
        self._environment = environment
        self._cluster = {"aks_resource_group": sandbox.resource_group, "aks_cluster_name": sandbox.cluster}

    def run(self, name: str, variables: Json, *, check: bool = False, fails: bool = False, **more: Any) -> PlaybookRun:
        every = {**self._cluster, **variables}
        arguments = {"check": check, "fails": fails, "environment": self._environment, **more}
        if not check:
            return self._ansible.playbook(f"aks.gpu.{name}", every, **arguments)
        mark = self.sandbox.mark()
        with self.sandbox.having(refuse_writes=True):
            run = self._ansible.playbook(f"aks.gpu.{name}", every, **arguments)
        assert not self.sandbox.writes(mark)
        return run

    def done(self, variables: Json, **more: Any) -> PlaybookRun:
        """From nothing to verified, as predicted; again without a change."""
        predicted = self.run("site", variables, check=True, **more)
        first = self.run("site", variables, **more)
        assert changed_tasks(predicted) == changed_tasks(first) != []
        assert changed_tasks(self.run("site", variables, **more)) == []
        return first

    def cleaned(self, variables: Json, left: set[str], *, predict: bool = False, **more: Any) -> PlaybookRun:
        """Clean-up, complete; `predict`: as predicted. test_main_job.py shows that it changes nothing again.

        Which of two pools' tasks removes the namespace that both leave empty is a matter of the moment.
        """
        predicted = self.run("cleanup", variables, check=True, **more) if predict else None
        first = self.run("cleanup", variables, **more)
        assert set(changed_tasks(predicted or first)) == set(changed_tasks(first)) != set()
        assert set(pools(self.sandbox)) == {"nodepool1"}
        assert user_objects(self.sandbox) == left
        return first


@pytest.fixture
def scenario(sandbox: Sandbox, ansible: Ansible) -> Scenario:
    return Scenario(sandbox, ansible)


def offered(sandbox: Sandbox, name: str) -> list[str]:
    """What kubectl's own client reads as allocatable, node by node."""
    return [node["status"]["allocatable"].get(name, "0") for node in gpu_nodes(sandbox)]


@pytest.mark.parametrize(
    ("variables", "count"),
    [
        pytest.param({"gpu_stack": "managed"}, "1", id="managed"),
        pytest.param(
            {"node_pool_vm_size": A100, "node_pool_gpu_instance_profile": "MIG1g"},
            "7",
            id="MIG single",
        ),
        pytest.param({"device_plugin_sharing": "mps", "device_plugin_sharing_replicas": 10}, "10", id="MPS"),
    ],
)
def test_a_way_to_a_gpu(sandbox: Sandbox, scenario: Scenario, variables: Json, count: str) -> None:
    at_the_start = user_objects(sandbox)
    first = scenario.done(variables)
    assert offered(sandbox, "nvidia.com/gpu") == [count]
    assert f"{sandbox.cluster} works" in shown(first)
    assert TOLD not in " ".join(first.output.split())
    scenario.cleaned(variables, at_the_start)


def test_spot_with_eviction(sandbox: Sandbox, scenario: Scenario) -> None:
    """Azure takes the only node away while nobody runs a playbook; another one comes, and is proven."""
    at_the_start = user_objects(sandbox)
    variables = {"node_pool_scale_set_priority": "Spot", "node_pool_spot_max_price": "-1"}
    scenario.done(variables)
    taints = {"sku=gpu:NoSchedule", "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"}
    assert set(pools(sandbox)["gpunp"]["properties"]["nodeTaints"]) == taints
    (first,) = gpu_nodes(sandbox)
    name = first["metadata"]["name"]
    sandbox.set(spot_evictions=[name])
    until(lambda: name not in [node["metadata"]["name"] for node in gpu_nodes(sandbox)])
    # The finished Job and its log went with the node: it is run again on request, on the node that comes.
    again = scenario.run("site", {**variables, "mnist_recreate": True})
    assert f"{sandbox.cluster} works" in shown(again)
    assert [node["metadata"]["name"] for node in gpu_nodes(sandbox)] != [name]
    scenario.cleaned(variables, at_the_start)


def test_autoscaler_from_zero(sandbox: Sandbox, scenario: Scenario, ansible: Ansible, tmp_path: Path) -> None:
    """A pool without a node is as it should be; the Job makes the autoscaler bring one. A kubeconfig stays theirs."""
    at_the_start = user_objects(sandbox)
    variables = {"node_pool_min_count": 0, "node_pool_max_count": 2}
    first = scenario.done(variables)
    assert f"{sandbox.cluster} works" in shown(first)
    assert offered(sandbox, "nvidia.com/gpu") == ["1"]
    assert pools(sandbox)["gpunp"]["properties"]["minCount"] == 0

    config = tmp_path / "config"
    theirs = {"contexts": [{"name": "theirs", "context": {"cluster": "theirs", "user": "theirs"}}]}
    config.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **theirs}))
    entry = {
        "resource_group": sandbox.resource_group,
        "cluster_name": sandbox.cluster,
        "path": str(config),
        "merge": True,
    }
    ansible.module("aks.gpu.kubeconfig", entry)
    assert sandbox.cluster in config.read_text()
    scenario.cleaned({**variables, "cleanup_kubeconfig": str(config)}, at_the_start)
    assert [each["name"] for each in yaml.safe_load(config.read_text())["contexts"]] == ["theirs"]


def test_two_pools_of_different_sizes(sandbox: Sandbox, scenario: Scenario) -> None:
    """Two hosts that name one cluster: each pool has its own taints, sharing and MIG; each goes without the other."""
    at_the_start = user_objects(sandbox)
    inventory = {
        "all": {
            "hosts": {
                "small": {
                    "node_pool_name": "t4",
                    "node_pool_node_taints": ["sku=t4:NoSchedule"],
                    "device_plugin_sharing": "time_slicing",
                    "device_plugin_sharing_replicas": 4,
                    "device_plugin_sharing_rename": True,
                },
                "large": {
                    "node_pool_name": "a100",
                    "node_pool_vm_size": A100,
                    "node_pool_node_taints": ["sku=a100:NoSchedule"],
                    "node_pool_gpu_instance_profile": "MIG1g",
                    "device_plugin_mig_strategy": "mixed",
                    "device_plugin_pass_device_specs": False,
                },
            },
            "vars": {"mnist_name": "mnist-{{ node_pool_name }}"},
        }
    }
    first = scenario.done({}, inventory=inventory)
    found = {
        node["metadata"]["labels"]["agentpool"]: {
            name: count for name, count in node["status"]["allocatable"].items() if "nvidia" in name
        }
        for node in gpu_nodes(sandbox)
    }
    assert found == {"t4": {"nvidia.com/gpu.shared": "4"}, "a100": {"nvidia.com/mig-1g.10gb": "7"}}
    assert " ".join(first.output.split()).count(TOLD) == 2
    assert first.stats.keys() == {"small", "large"}

    one = scenario.run("cleanup", {}, inventory=inventory, arguments=["--limit", "small"])
    assert changed_tasks(one) != []
    assert set(pools(sandbox)) == {"nodepool1", "a100"}
    assert user_objects(sandbox) - at_the_start == {
        "namespace/gpu-resources", "daemonset/nvidia-device-plugin-a100", "job/mnist-a100",
    }  # fmt: skip
    scenario.cleaned({}, at_the_start, predict=True, inventory=inventory)


def test_two_hosts_with_one_pool_are_refused(sandbox: Sandbox, scenario: Scenario) -> None:
    mark = sandbox.mark()
    inventory = {"all": {"hosts": {"one": {}, "other": {"node_pool_name": "GPUNP"}}}}
    refused = scenario.run("site", {}, inventory=inventory, fails=True)
    assert "one and other name the same node pool gpunp of cluster myakscluster" in " ".join(refused.failures)
    assert sandbox.writes(mark) == []


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.2)
