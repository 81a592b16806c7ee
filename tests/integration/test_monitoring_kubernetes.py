# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Monitoring of a cluster with Kubernetes: metrics follow from Pods, settings are merged, the exporter is scraped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import module_runner
import pytest
import yaml
from aks_sandbox.testing import Sandbox
from harness import Ansible, clean
from monitoring_harness import POOL, Monitored, eventually, monitoring_environment

Json = dict[str, Any]

SETTINGS_MAP = ("-n", "kube-system", "configmap", "ama-metrics-settings-configmap")
V1 = """# what we scrape
kubelet = true
dcgmexporter = false # not yet
cadvisor = false"""
V2 = """default-targets-scrape-enabled: |-
  kubelet = true
  cadvisor = false
default-targets-metrics-keep-list: |-
  kubelet = "a|b"
minimal-ingestion-profile: |-
  enabled = true"""


@pytest.fixture
def cluster(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Monitored]:
    for name, value in monitoring_environment(sandbox).items():
        monkeypatch.setenv(name, value)
    sandbox.set(metrics_interval_seconds=0.5)
    found = Monitored(sandbox)
    yield found
    found.forget()
    sandbox.kubectl("delete", *SETTINGS_MAP, "--ignore-not-found")


@pytest.fixture
def kubeconfig(sandbox: Sandbox, tmp_path: Path) -> str:
    path = tmp_path / "config"
    path.touch(0o600)
    path.write_text(sandbox.kubeconfig())
    return str(path)


def scraping(kubeconfig: str, *, check: bool = False, **options: Any) -> Json:
    found = module_runner.run("prometheus_scraping", {"kubeconfig": kubeconfig, **options}, check=check)
    assert not found["failed"], found["msg"]
    return found


def four(kubeconfig: str, **options: Any) -> list[bool]:
    return [scraping(kubeconfig, check=check, **options)["changed"] for check in (True, False, False, True)]


def settings_map(sandbox: Sandbox) -> Json | None:
    text = sandbox.kubectl("get", *SETTINGS_MAP, "--ignore-not-found", "-o", "json")
    return dict(json.loads(text)["data"]) if text.strip() else None


def test_the_settings_are_merged(sandbox: Sandbox, cluster: Monitored, kubeconfig: str) -> None:
    assert four(kubeconfig) == [True, True, False, False]
    assert settings_map(sandbox) == {
        "schema-version": "v1",
        "config-version": "ver1",
        "default-scrape-settings-enabled": "dcgmexporter = true",
    }
    assert four(kubeconfig, state="absent") == [True, True, False, False]
    assert settings_map(sandbox) is None
    for before, after in (
        (
            {"schema-version": "v1", "default-scrape-settings-enabled": V1, "debug-mode": "enabled = false"},
            {"default-scrape-settings-enabled": V1.replace("dcgmexporter = false", "dcgmexporter = true")},
        ),
        (
            {"schema-version": "v2", "cluster-metrics": V2, "prometheus-collector-settings": 'cluster_alias = "x"'},
            {"cluster-metrics": V2.replace("  cadvisor = false", "  cadvisor = false\n  dcgmexporter = true")},
        ),
    ):
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": SETTINGS_MAP[-1], "namespace": "kube-system"},
            "data": before,
        }
        sandbox.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(body))
        assert four(kubeconfig) == [True, True, False, False]
        assert settings_map(sandbox) == {**before, **after}
        # Who applied it may go on doing so.
        assert four(kubeconfig, state="absent") == [True, True, False, False]
        assert settings_map(sandbox) == before
        sandbox.kubectl("delete", *SETTINGS_MAP)


def test_metrics_follow_from_the_pods(sandbox: Sandbox, cluster: Monitored, tmp_path: Path) -> None:
    sandbox.set(workload_seconds=60.0, accelerator_metrics="always")
    cluster.workspace("logs-one")
    made = cluster.run("monitoring", container_insights=True, workspace="logs-one")
    assert not made["failed"], made["msg"]
    ansible = Ansible(sandbox, tmp_path)
    place = {"aks_resource_group": sandbox.resource_group, "aks_cluster_name": cluster.name}
    started = ansible.playbook("aks.gpu.site", {**place, "gpu_verify_job": "none"})
    assert started.stats["localhost"]["failures"] == 0

    def busy() -> Json | None:
        found = cluster.metrics(since="5m", interval="1s")
        duty = [each for each in found["metrics"] if each["name"] == "containerGpuDutyCycle"]
        return found if any(each["maximum"] > 50 for each in duty) else None

    found = eventually(busy, 60)
    values: dict[str, Json] = {}
    for each in found["metrics"]:
        if each["dimensions"].get("container", "samples-tf-mnist-demo") == "samples-tf-mnist-demo":
            values.setdefault(each["name"], each)
    assert values["nodeGpuCapacity"]["value"] == values["nodeGpuAllocatable"]["value"] == 1.0
    assert values["containerGpuRequests"]["value"] == values["containerGpuLimits"]["value"] == 1.0
    assert values["containerGpuDutyCycle"]["minimum"] < 10
    used = values["containerGpumemoryUsedBytes"]
    assert used["minimum"] < used["maximum"] <= values["containerGpumemoryTotalBytes"]["value"]
    job = json.loads(sandbox.kubectl("get", "pods", "-l", "app=samples-tf-mnist-demo", "-o", "json"))["items"][0]
    assert values["containerGpuDutyCycle"]["dimensions"]["pod_uid"] == job["metadata"]["uid"]
    assert values["containerGpuDutyCycle"]["dimensions"]["node"] == job["spec"]["nodeName"]
    checked = ansible.playbook(
        "aks.gpu.metrics",
        {**place, "gpu_monitoring_verify": True, "gpu_verify_evidence_directory": str(tmp_path / "evidence")},
        environment=monitoring_environment(sandbox),
    )
    assert "the metrics agree with the cluster on the GPUs of 1 node" in str(checked["Judge the metrics"]["msg"])
    (file,) = (tmp_path / "evidence" / "clusters").glob("*.json")
    drawn = {each["name"] for each in json.loads(file.read_text())["metrics"]}
    assert {"nodeGpuCapacity", "containerGpuRequests", "containerGpuDutyCycle"} <= drawn
    assert "containerGpuDutyCycle" in (tmp_path / "evidence" / "index.html").read_text()


def test_the_exporter_is_scraped(sandbox: Sandbox, cluster: Monitored, tmp_path: Path) -> None:
    cluster.account("metrics-one")
    ansible = Ansible(sandbox, tmp_path)
    variables = {
        "aks_resource_group": sandbox.resource_group,
        "aks_cluster_name": cluster.name,
        "gpu_monitoring_container_insights": "keep",
        "gpu_monitoring_prometheus": True,
        "gpu_monitoring_azure_monitor_workspace": "metrics-one",
    }
    environment = monitoring_environment(sandbox)
    cluster.arm.create("gpunp", {**POOL, "nodeTaints": ["sku=gpu:NoSchedule"]})
    plugin = [{"hosts": "localhost", "gather_facts": False, "roles": ["aks.gpu.device_plugin"]}]
    ansible.playbook(plugin, variables, environment=environment)
    before = sandbox.kubectl("get", "namespaces", "-o", "name").split()

    def role(entry: str) -> list[Json]:
        task = {
            "name": "Monitor",
            "ansible.builtin.import_role": {"name": "aks.gpu.gpu_monitoring", "tasks_from": entry},
        }
        return [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]

    with sandbox.having(refuse_writes=True):
        assert ansible.playbook(role("main"), variables, check=True, environment=environment).changed
    assert ansible.playbook(role("main"), variables, environment=environment).changed
    assert ansible.playbook(role("main"), variables, environment=environment).changed == 0
    assert ansible.playbook(role("main"), variables, check=True, environment=environment).changed == 0

    def measured() -> list[Json]:
        found = cluster.metrics(since="2m", interval="5s", sources=["prometheus"])
        return [each for each in found["metrics"] if each["name"] == "containerGpuDutyCycle"]

    (gpu,) = eventually(measured, 40)
    assert gpu["dimensions"]["gpu_id"].startswith("GPU-")  # nothing is dropped of a PodMonitor's metrics
    assert gpu["dimensions"]["gpu_model"] == "Tesla T4"
    assert ansible.playbook(role("remove"), variables, check=True, environment=environment).changed
    removed = ansible.playbook(role("remove"), variables, environment=environment)
    assert removed.changed
    assert ansible.playbook(role("remove"), variables, environment=environment).changed == 0
    assert sandbox.kubectl("get", "namespaces", "-o", "name").split() == before, removed.results
    assert not cluster.cluster()["properties"]["azureMonitorProfile"]["metrics"]["enabled"]
    assert (cluster.rules(), cluster.associations()) == ({}, {})
    clean(sandbox)
