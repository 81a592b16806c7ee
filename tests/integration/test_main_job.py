# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on every path: predicted without a write, done, done again without a change, and cleaned up."""

from __future__ import annotations

from typing import Any

import kubernetes
import pytest
from aks_sandbox.testing import Sandbox
from azure.mgmt.containerservice.models import AgentPool
from environment import ROOT
from harness import Ansible, Json, PlaybookRun, kubernetes_client, pools

PLUGINS = {"daemonset/nvidia-device-plugin-gpunp", "daemonset/nvidia-device-plugin-daemonset"}
JOB = ("samples-tf-mnist-demo", "default")
ARTICLE_TAINT = ["sku=gpu:NoSchedule"]


class Site:
    """The playbooks, with the variables of one path."""

    def __init__(self, sandbox: Sandbox, ansible: Ansible, vars_file: str) -> None:
        self.sandbox = sandbox
        self._ansible = ansible
        self._arguments = ["-e", f"@{ROOT / 'playbooks' / 'vars' / vars_file}"]
        self._cluster = {"aks_resource_group": sandbox.resource_group, "aks_cluster_name": sandbox.cluster}

    def run(self, name: str, *, check: bool = False, fails: bool = False, **variables: Any) -> PlaybookRun:
        values = {**self._cluster, **variables}
        options: Json = {"check": check, "diff": check, "fails": fails}
        return self._ansible.playbook(f"aks.gpu.{name}", values, arguments=self._arguments, **options)

    def predict(self, name: str, **variables: Any) -> PlaybookRun:
        """Run in check mode while Azure and Kubernetes refuse every write."""
        mark = self.sandbox.mark()
        with self.sandbox.having(refuse_writes=True):
            run = self.run(name, check=True, **variables)
        assert not self.sandbox.writes(mark)
        return run


def changed_tasks(run: PlaybookRun) -> list[str]:
    return [each.task for each in run.results if each.result.get("changed")]


def user_objects(sandbox: Sandbox) -> set[str]:
    """What is in the cluster besides what was there at the start."""
    client = kubernetes_client(sandbox)
    namespaces = [item.metadata.name for item in kubernetes.client.CoreV1Api(client).list_namespace().items]
    jobs = [item.metadata.name for item in kubernetes.client.BatchV1Api(client).list_job_for_all_namespaces().items]
    sets = kubernetes.client.AppsV1Api(client).list_daemon_set_for_all_namespaces().items
    found = {f"namespace/{name}" for name in namespaces} | {f"job/{name}" for name in jobs}
    return found | {f"daemonset/{item.metadata.name}" for item in sets}


def gpu_nodes(sandbox: Sandbox) -> list[Json]:
    """The GPU nodes as kubectl's own client reads them."""
    client = kubernetes_client(sandbox)
    listed = kubernetes.client.CoreV1Api(client).list_node(label_selector="kubernetes.azure.com/accelerator=nvidia")
    return [client.sanitize_for_serialization(node) for node in listed.items]


def shown(run: PlaybookRun) -> str:
    """What the run shows a person at its end."""
    return "\n".join(run["Show what was found"]["msg"])


@pytest.mark.parametrize(
    ("vars_file", "of_2023", "size", "device", "stack"),
    [
        ("default.yml", False, "Standard_NC4as_T4_v3", "Tesla T4", "device_plugin"),
        ("article_device_plugin.yml", True, "Standard_NC6", "Tesla K80", "device_plugin"),
        ("article_gpu_image.yml", True, "Standard_NC6", "Tesla K80", "gpu_image"),
        ("article_gpu_image_gen2.yml", True, "Standard_NC6s_v3", "Tesla V100", "gpu_image"),
    ],
)
def test_main_job(
    sandbox: Sandbox, ansible: Ansible, vars_file: str, of_2023: bool, size: str, device: str, stack: str
) -> None:
    sandbox.set(azure_of_2023=of_2023)
    site = Site(sandbox, ansible, vars_file)
    at_the_start = user_objects(sandbox)

    predicted = site.predict("site")
    mark = sandbox.mark()
    first = site.run("site")
    assert changed_tasks(predicted) == changed_tasks(first) != []

    pool = pools(sandbox)["gpunp"]["properties"]
    assert pool["vmSize"] == size
    assert pool["nodeTaints"] == ARTICLE_TAINT
    assert (pool["enableAutoScaling"], pool["minCount"], pool["maxCount"]) == (True, 1, 3)
    nodes = gpu_nodes(sandbox)
    assert [node["status"]["allocatable"]["nvidia.com/gpu"] for node in nodes] == ["1"]
    assert nodes[0]["metadata"]["labels"]["node.kubernetes.io/instance-type"] == size

    client = kubernetes_client(sandbox)
    job = kubernetes.client.BatchV1Api(client).read_namespaced_job(*JOB)
    assert job.status is not None
    assert job.status.succeeded == 1
    assert bool(PLUGINS & user_objects(sandbox)) == (stack == "device_plugin")
    puts = [write for write in sandbox.writes(mark) if "/agentpools/gpunp" in write["url"].lower()]
    headers = {name.lower(): value for name, value in puts[0]["request_headers"].items()}
    assert headers.get("usegpudedicatedvhd") == ("true" if stack == "gpu_image" else None)
    assert headers.get("usegen2vm") == ("true" if "gen2" in vars_file else None)

    text = shown(first)
    assert size in text
    assert f"device found: {device}" in text
    assert f"{sandbox.cluster} works" in text

    assert changed_tasks(site.run("site")) == []
    assert changed_tasks(site.predict("site")) == []

    # What a vars file for site says, too, is no wish of cleanup's.
    said: dict[str, Any] = {f"{role}_state": "present" for role in ("node_pool", "mnist", "device_plugin")}
    said["node_pool_wait"] = "no"
    assert changed_tasks(site.predict("cleanup", **said)) == changed_tasks(site.run("cleanup", **said)) != []
    assert set(pools(sandbox)) == {"nodepool1"}
    assert user_objects(sandbox) == at_the_start
    assert changed_tasks(site.run("cleanup")) == []


def test_cleanup_leaves_a_pool_that_somebody_else_made(sandbox: Sandbox, ansible: Ansible) -> None:
    theirs = {"vmSize": "Standard_NC4as_T4_v3", "count": 1, "mode": "User", "tags": {"owner": "somebody-else"}}
    sandbox.container_service("owner").agent_pools.begin_create_or_update(
        sandbox.resource_group, sandbox.cluster, "gpunp", AgentPool({"properties": theirs})
    ).result()
    site = Site(sandbox, ansible, "default.yml")
    left = site.run("cleanup")
    assert changed_tasks(left) == []
    assert "aks.gpu did not create it" in " ".join(left.output.split())
    assert set(pools(sandbox)) == {"nodepool1", "gpunp"}

    # Nor is the device plugin taken from under it.
    site.run("site")
    assert changed_tasks(site.predict("cleanup")) == changed_tasks(site.run("cleanup"))
    assert set(pools(sandbox)) == {"nodepool1", "gpunp"}
    assert PLUGINS & user_objects(sandbox)
    assert [node["status"]["allocatable"]["nvidia.com/gpu"] for node in gpu_nodes(sandbox)] == ["1"]
    assert changed_tasks(site.run("cleanup", node_pool_only_created_by_us=False)) != []
    assert set(pools(sandbox)) == {"nodepool1"}


def test_gpu_image_is_warned_of(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.set(azure_of_2023=True)
    run = Site(sandbox, ansible, "article_gpu_image.yml").predict("site")
    assert "2025-01-10" in run.output
    assert "managed" in run.output


def own_job(sandbox: Sandbox) -> kubernetes.client.V1Job:
    labels: Json = {"annotations": {"aks.gpu/created-by": "aks.gpu"}, "name": JOB[0]}
    pod: Json = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "example.invalid/work:1"}]}
    job: Json = {"apiVersion": "batch/v1", "kind": "Job", "metadata": labels, "spec": {"template": {"spec": pod}}}
    return kubernetes.client.BatchV1Api(kubernetes_client(sandbox)).create_namespaced_job(JOB[1], job)


def paid_pool(sandbox: Sandbox) -> None:
    body = {"vmSize": "Standard_NC4as_T4_v3", "count": 1, "mode": "User", "tags": {"aks.gpu.created-by": "aks.gpu"}}
    pools_of = sandbox.container_service("owner").agent_pools
    where = (sandbox.resource_group, sandbox.cluster, "gpunp")
    pools_of.begin_create_or_update(*where, AgentPool({"properties": body})).result()


def test_a_webhook_that_is_down_does_not_keep_the_paid_pool(sandbox: Sandbox, ansible: Ansible) -> None:
    """Findings, C11; https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/."""
    hooks = kubernetes.client.AdmissionregistrationV1Api(kubernetes_client(sandbox))
    hook: Json = {
        "name": "down.example.com",
        "clientConfig": {"url": "https://127.0.0.1:9/validate"},
        "rules": [{"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["jobs"]}],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 1,
    }
    own_job(sandbox)
    paid_pool(sandbox)
    hooks.create_validating_webhook_configuration({"metadata": {"name": "down"}, "webhooks": [hook]})
    try:
        run = Site(sandbox, ansible, "default.yml").run("cleanup", fails=True)
    finally:
        hooks.delete_validating_webhook_configuration("down")
    assert set(pools(sandbox)) == {"nodepool1"}
    said = " ".join(run.output.split())
    assert "This may be left in cluster" in said
    assert "The MNIST Job:" in said
    assert "down.example.com" in said
    assert changed_tasks(Site(sandbox, ansible, "default.yml").run("cleanup")) != []


def test_an_api_server_that_cannot_be_reached_does_not_keep_the_paid_pool(sandbox: Sandbox, ansible: Ansible) -> None:
    """Findings, C11: such as from outside the ranges that a cluster allows.

    https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges
    """
    paid_pool(sandbox)
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {"token": "t0ken"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    run = Site(sandbox, ansible, "default.yml").run("cleanup", fails=True, aks_kubeconfig=config)
    assert set(pools(sandbox)) == {"nodepool1"}
    said = " ".join(run.output.split())
    assert "The MNIST Job:" in said
    assert "The device plugin or the GPU Operator:" in said
    assert "127.0.0.1" in said
