# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private cluster: the name of its API server resolves nowhere here, and AKS's run-command is the only way to it."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml
from aks_sandbox.testing import Sandbox
from harness import Ansible, Json, kubernetes_client
from test_kubelogin import ENTRA

SECRET = "s3cret-of-the-workload"


@pytest.fixture
def private(sandbox: Sandbox) -> Iterator[Sandbox]:
    change(sandbox, apiServerAccessProfile={"enablePrivateCluster": True})
    yield sandbox
    change(sandbox, apiServerAccessProfile=None, aadProfile=None, disableLocalAccounts=False)


def change(sandbox: Sandbox, **properties: Any) -> None:
    sandbox.act("cluster", cluster=sandbox.cluster, properties=properties)


@pytest.fixture
def owner(private: Sandbox) -> dict[str, str]:
    """The environment of somebody who may use run-command; the collection's least-privilege role does not have it."""
    variables = private.variables
    secret = variables["AKS_SANDBOX_OWNER_SECRET"]
    return {"AZURE_CLIENT_ID": variables["AKS_SANDBOX_OWNER_CLIENT_ID"], "AZURE_SECRET": secret,
            "AZURE_CLIENT_SECRET": secret}  # fmt: skip


def credentials(sandbox: Sandbox, **options: Any) -> Json:
    return {"resource_group": sandbox.resource_group, "cluster_name": sandbox.cluster, **options}


def commands(sandbox: Sandbox, since: int) -> list[Json]:
    """The run-commands that were asked for."""
    return [each for each in sandbox.traffic(since) if each["url"].partition("?")[0].endswith("/runCommand")]


def test_it_is_recognised(private: Sandbox, ansible: Ansible, tmp_path: Path) -> None:
    path = tmp_path / "config"
    assert not ansible.module("aks.gpu.kubeconfig", credentials(private, path=str(path)))["failed"]
    for module, options in (
        ("aks.gpu.wait_for_gpus", {"node_pool": "gpunp"}),
        ("aks.gpu.wait_for_job", {"name": "work"}),
        ("aks.gpu.gpu_probe", {}),
        ("aks.gpu.manifest", {"definition": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}}),
    ):
        result = ansible.module(module, {"kubeconfig": str(path), **options})
        assert result["failed"]
        assert "of the API server does not resolve" in result["msg"]
        assert "This is a private AKS cluster" in result["msg"]
        assert "run_command: auto" in result["msg"]


def test_main_job(private: Sandbox, ansible: Ansible, owner: dict[str, str]) -> None:
    """The whole of site.yml, twice, and clean-up: no request reaches the API server but by run-command."""
    coordinates = {"aks_resource_group": private.resource_group, "aks_cluster_name": private.cluster}
    mark = private.mark()
    extra = {**coordinates, "aks_run_command": "auto"}
    run = ansible.playbook("aks.gpu.site", extra, environment=owner)
    assert run["Wait until the Job is complete"]["job"]["complete"]
    assert run["Wait until the Job is complete"]["job"]["accuracy"]
    sent = commands(private, mark)
    assert sent
    assert {each["request_body"]["command"] for each in sent} == {"bash aks-gpu.sh"}
    again = ansible.playbook("aks.gpu.site", extra, environment=owner)
    assert again.changed == 0, again.output
    ansible.playbook("aks.gpu.cleanup", extra, environment=owner)
    core = kubernetes.client.CoreV1Api(kubernetes_client(private))
    assert not [each for each in core.list_namespace().items if each.metadata.name == "gpu-resources"]


def handle(private: Sandbox, ansible: Ansible, path: Path, owner: dict[str, str], **options: Any) -> Json:
    """A kubeconfig by which the modules go through run-command."""
    fetched = ansible.module(
        "aks.gpu.kubeconfig", credentials(private, path=str(path), run_command="auto", **options), environment=owner
    )
    assert not fetched["failed"], fetched
    return {"kubeconfig": str(path)}


def test_manifest_in_four_variants(private: Sandbox, ansible: Ansible, owner: dict[str, str], tmp_path: Path) -> None:
    way = handle(private, ansible, tmp_path / "config", owner)
    definition = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "far"}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "namespace": "far"},
            "stringData": {"k": SECRET},
        },
    ]
    mark = private.mark()
    core = kubernetes.client.CoreV1Api(kubernetes_client(private))
    for state, check, changed in (
        *(("present", True, True), ("present", False, True), ("present", False, False), ("present", True, False)),
        *(("absent", True, True), ("absent", False, True), ("absent", False, False), ("absent", True, False)),
    ):
        options = {**way, "definition": definition, "state": state, "only_if_empty": True, "only_created_by_us": True}
        with private.having(refuse_writes=check):
            result = ansible.module("aks.gpu.manifest", options, check=check, environment=owner)
        assert (result["failed"], result["changed"]) == (False, changed), result
        if state == "present" and changed and not check:
            assert core.read_namespaced_secret("s", "far")
    for each in commands(private, mark):
        assert SECRET not in each["request_body"]["command"]
    assert SECRET not in json.dumps(result)


def test_refusals_are_those_of_the_api_server(
    private: Sandbox, ansible: Ansible, owner: dict[str, str], tmp_path: Path
) -> None:
    way = handle(private, ansible, tmp_path / "config", owner)
    broken = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}, "dat": {}}
    result = ansible.module("aks.gpu.manifest", {**way, "definition": broken}, environment=owner)
    assert result["failed"]
    assert "unknown field" in result["msg"] or "field not declared in schema" in result["msg"]
    unknown = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}}
    result = ansible.module("aks.gpu.manifest", {**way, "definition": unknown}, environment=owner)
    assert "knows no kind Thing" in result["msg"]


def test_waits_explain_as_ever(private: Sandbox, ansible: Ansible, owner: dict[str, str], tmp_path: Path) -> None:
    way = handle(private, ansible, tmp_path / "config", owner)
    options = {**way, "node_pool": "nobody", "wait_timeout": 3}
    result = ansible.module("aks.gpu.wait_for_gpus", options, environment=owner)
    assert result["failed"]
    assert [problem["cause"] for problem in result["problems"]] == ["NodesMissing"]
    batch = kubernetes.client.BatchV1Api(kubernetes_client(private))
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "example.invalid/work:1"}]}
    private.set(image_faults={"*work*": {"fault": "fail", "message": "the reason why"}})
    batch.create_namespaced_job(
        "default", {"metadata": {"name": "far-job"}, "spec": {"backoffLimit": 0, "template": {"spec": pod}}}
    )
    result = ansible.module("aks.gpu.wait_for_job", {**way, "name": "far-job"}, environment=owner)
    assert result["failed"]
    assert "the reason why" in result["msg"]
    assert "BackoffLimitExceeded" in [problem["cause"] for problem in result["problems"]]


def test_cluster_with_entra_id(private: Sandbox, ansible: Ansible, owner: dict[str, str], tmp_path: Path) -> None:
    """The command then runs with the rights of whoever signed in, by a token that AKS hands on; no kubelogin needed."""
    change(private, aadProfile=ENTRA, disableLocalAccounts=True)
    way = handle(private, ansible, tmp_path / "config", owner)
    mark = private.mark()
    definition = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "far", "namespace": "default"}}
    result = ansible.module("aks.gpu.manifest", {**way, "definition": definition}, environment=owner)
    assert not result["failed"], result
    assert all("clusterToken" in each["request_body"] for each in commands(private, mark))
    ansible.module("aks.gpu.manifest", {**way, "definition": definition, "state": "absent"}, environment=owner)


def test_who_may_not(private: Sandbox, ansible: Ansible, owner: dict[str, str], tmp_path: Path) -> None:
    way = handle(private, ansible, tmp_path / "config", owner)
    result = ansible.module("aks.gpu.wait_for_gpus", {**way, "node_pool": "gpunp"})
    assert result["failed"]
    assert "Microsoft.ContainerService/managedClusters/runCommand/action" in result["msg"]


def test_run_command_is_switched_off(private: Sandbox, ansible: Ansible, owner: dict[str, str]) -> None:
    change(private, apiServerAccessProfile={"enablePrivateCluster": True, "disableRunCommand": True})
    result = ansible.module("aks.gpu.kubeconfig", credentials(private, run_command="auto"), environment=owner)
    assert result["failed"]
    assert "is private, its API server can't be reached from here, and its run-command is switched off" in result["msg"]


def test_an_api_server_that_answers_is_asked_itself(sandbox: Sandbox, ansible: Ansible, tmp_path: Path) -> None:
    path = tmp_path / "config"
    mark = sandbox.mark()
    assert not ansible.module("aks.gpu.kubeconfig", credentials(sandbox, path=str(path), run_command="auto"))["failed"]
    assert "runCommand" not in path.read_text()
    assert [each["method"] for each in sandbox.traffic(mark) if "managedClusters" in each["url"]] == ["POST"]


def test_a_public_cluster_out_of_reach(private: Sandbox, ansible: Ansible, owner: dict[str, str]) -> None:
    """Its name does not resolve, and Azure does not say that it is private."""
    name = "gone.privatelink.example.invalid"
    config = yaml.safe_load(private.kubeconfig(admin=False))
    config["clusters"][0]["cluster"]["server"] = f"https://{name}:443"
    change(private, apiServerAccessProfile=None)
    value = base64.b64encode(yaml.safe_dump(config).encode()).decode()
    body = {"kubeconfigs": [{"name": "clusterUser", "value": value}]}
    private.fault("POST", "listClusterUserCredential", status=200, body=body, times=0)
    result = ansible.module("aks.gpu.kubeconfig", credentials(private, run_command="auto"), environment=owner)
    assert result["failed"]
    assert "although the cluster is not private" in result["msg"]
    assert name in result["msg"]


@pytest.mark.parametrize("way", ["always", "never"])
def test_always(sandbox: Sandbox, ansible: Ansible, owner: dict[str, str], tmp_path: Path, way: str) -> None:
    """In Ansible's process, and as an ordinary module."""
    environment = {**owner, "AKS_GPU_IN_PROCESS": way}
    path = tmp_path / "config"
    options = credentials(sandbox, path=str(path), run_command="always")
    assert not ansible.module("aks.gpu.kubeconfig", options, environment=environment)["failed"]
    mark = sandbox.mark()
    definition = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
    task = {"kubeconfig": str(path), "definition": definition}
    result = ansible.module("aks.gpu.manifest", task, check=True, environment=environment)
    assert not result["failed"], result
    assert commands(sandbox, mark)


def test_more_than_a_command_hands_on(
    private: Sandbox, ansible: Ansible, owner: dict[str, str], tmp_path: Path
) -> None:
    way = handle(private, ansible, tmp_path / "config", owner)
    core = kubernetes.client.CoreV1Api(kubernetes_client(private))
    noise = base64.b64encode(os.urandom(600_000)).decode()
    core.create_namespaced_config_map("default", {"metadata": {"name": "large"}, "data": {"noise": noise}})
    definition = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large", "namespace": "default"}}
    try:
        result = ansible.module("aks.gpu.manifest", {**way, "definition": definition}, environment=owner)
    finally:
        core.delete_namespaced_config_map("large", "default")
    assert result["failed"]
    assert "larger than the 512 KB" in result["msg"]


def test_the_official_client_uses_it_too(private: Sandbox) -> None:
    """So that what our modules are tested with is what AKS's own client expects."""
    clusters: Any = private.container_service("owner").managed_clusters
    request = {"command": "kubectl get nodes -o name; kubectl version --client; exit 3", "context": ""}
    result = clusters.begin_run_command(private.resource_group, private.cluster, request, polling_interval=0.2).result()
    assert "node/aks-nodepool1-" in result.properties.logs
    assert result.properties.exit_code == 3
