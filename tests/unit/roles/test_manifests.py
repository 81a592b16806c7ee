# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles' templates render, compared with the article's manifests and looked at option by option."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

HERE = Path(__file__).parent
ROLES = HERE.parents[2] / "roles"
PLAYBOOK_VARS = HERE.parents[2] / "playbooks" / "vars"
PLUGIN = {"namespace": "gpu-resources", "name": "nvidia-device-plugin-gpunp"}


def render(role: str, template: str, *files: Path, **variables: Any) -> list[dict[str, Any]]:
    """Renders a template of a role as its task does: defaults, vars files, the role's own vars, extra vars."""
    loader = DataLoader()
    loader.set_basedir(str(ROLES / role))
    layers: dict[str, Any] = {"role_path": str(ROLES / role)}
    for path in (ROLES / role / "defaults/main.yml", *files, ROLES / role / "vars/main.yml"):
        layers.update(loader.load_from_file(str(path), trusted_as_template=True))
    templar = Templar(loader=loader, variables={**layers, **variables})
    path = ROLES / role / "templates" / template
    rendered = templar.template(trust_as_template(f"{{{{ lookup('ansible.builtin.template', '{path}') }}}}"))
    return [document for document in yaml.safe_load_all(rendered) if document]


def article(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((HERE / f"article_{name}.yaml").read_text()))


def plugin(**variables: Any) -> dict[str, dict[str, Any]]:
    """The device plugin's objects by kind; the DaemonSet of MPS is called MPS here."""
    documents = render("device_plugin", "manifest.yaml.j2", **variables)
    found = {}
    for document in documents:
        kind = "MPS" if document["metadata"]["name"].endswith("-mps") else document["kind"]
        assert kind not in found
        found[kind] = document
    return found


def container(daemonset: dict[str, Any]) -> dict[str, Any]:
    return dict(daemonset["spec"]["template"]["spec"]["containers"][0])


def environment(daemonset: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container(daemonset)["env"]}


def test_article_device_plugin() -> None:
    documents = render("device_plugin", "manifest.yaml.j2", PLAYBOOK_VARS / "article_device_plugin.yml")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gpu-resources"}}
    assert documents == [namespace, article("daemonset")]


@pytest.mark.parametrize(
    "files",
    [[], ["article_device_plugin.yml"], ["article_gpu_image.yml"], ["article_gpu_image_gen2.yml"], ["default.yml"]],
)
def test_article_job(files: list[str]) -> None:
    job = article("job")
    job["metadata"]["namespace"] = "default"
    # The article writes the number 1; the API server stores it as text, and takes the number for another value.
    job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] = {"nvidia.com/gpu": "1"}
    assert render("mnist", "job.yaml.j2", *(PLAYBOOK_VARS / name for name in files)) == [job]


def test_device_plugin_of_today() -> None:
    found = plugin()
    assert set(found) == {"Namespace", "DaemonSet"}
    labels = found["Namespace"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
    daemonset = found["DaemonSet"]
    assert {key: daemonset["metadata"][key] for key in PLUGIN} == PLUGIN
    pod = daemonset["spec"]["template"]["spec"]
    assert pod["priorityClassName"] == "system-node-critical"
    assert "annotations" not in daemonset["spec"]["template"]["metadata"]
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [(each["key"], each["operator"], each["values"]) for each in term["matchExpressions"]] == [
        ("kubernetes.azure.com/accelerator", "In", ["nvidia"]),
        ("kubernetes.io/os", "In", ["linux"]),
        ("kubernetes.azure.com/dcgm-exporter", "NotIn", ["enabled"]),
        ("nvidia.com/gpu.deploy.device-plugin", "NotIn", ["true"]),
        ("kubernetes.azure.com/agentpool", "In", ["gpunp"]),
    ]
    assert pod["tolerations"] == [
        {"key": "CriticalAddonsOnly", "operator": "Exists"},
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
    ]
    assert container(daemonset)["image"] == "mcr.microsoft.com/oss/v2/nvidia/k8s-device-plugin:v0.18.2"
    assert container(daemonset)["securityContext"] == {"privileged": True}
    assert environment(daemonset) == {
        "FAIL_ON_INIT_ERROR": "true", "PASS_DEVICE_SPECS": "true", "MIG_STRATEGY": "none",
    }  # fmt: skip


def test_one_for_all_gpu_nodes() -> None:
    """It has the article's name, and so its selector: another one could not be applied over that."""
    daemonset = plugin(device_plugin_node_pool="*")["DaemonSet"]
    assert daemonset["metadata"]["name"] == article("daemonset")["metadata"]["name"]
    assert daemonset["spec"]["selector"] == article("daemonset")["spec"]["selector"]
    assert "agentpool" not in json.dumps(daemonset)


def test_each_pool_has_its_own() -> None:
    first, second = (plugin(node_pool_name=name)["DaemonSet"] for name in ("t4", "a100"))
    assert [each["metadata"]["name"] for each in (first, second)] == [
        "nvidia-device-plugin-t4",
        "nvidia-device-plugin-a100",
    ]
    assert first["spec"]["selector"] != second["spec"]["selector"]
    for daemonset in (first, second):
        labels = daemonset["spec"]["template"]["metadata"]["labels"]
        assert daemonset["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_unprivileged_with_mig() -> None:
    daemonset = plugin(device_plugin_pass_device_specs=False, device_plugin_mig_strategy="mixed")["DaemonSet"]
    assert container(daemonset)["securityContext"] == {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]},
    }  # fmt: skip
    assert environment(daemonset)["NVIDIA_MIG_MONITOR_DEVICES"] == "all"
    assert environment(daemonset)["MIG_STRATEGY"] == "mixed"


def test_a_pool_with_mig() -> None:
    daemonset = plugin(node_pool_gpu_instance_profile="MIG1g")["DaemonSet"]
    assert environment(daemonset)["MIG_STRATEGY"] == "single"
    assert environment(daemonset)["NVIDIA_MIG_MONITOR_DEVICES"] == "all"


@pytest.mark.parametrize("replicas", [4, "4"])
def test_time_slicing(replicas: Any) -> None:
    found = plugin(
        device_plugin_sharing="time_slicing",
        device_plugin_sharing_replicas=replicas,
        device_plugin_sharing_rename="true",
    )
    assert json.loads(found["ConfigMap"]["data"]["config.yaml"]) == {
        "version": "v1",
        "sharing": {
            "timeSlicing": {"renameByDefault": True, "resources": [{"name": "nvidia.com/gpu", "replicas": 4}]},
        },
    }
    assert environment(found["DaemonSet"])["CONFIG_FILE"] == "/config/config.yaml"
    assert found["DaemonSet"]["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
    assert "MPS" not in found


def test_mps() -> None:
    found = plugin(
        device_plugin_sharing="mps", device_plugin_sharing_replicas=10, device_plugin_image_pull_secret="mirror"
    )
    config = json.loads(found["ConfigMap"]["data"]["config.yaml"])
    assert config["sharing"]["mps"]["resources"] == [{"name": "nvidia.com/gpu", "replicas": 10}]
    pod, daemon = (found[kind]["spec"]["template"]["spec"] for kind in ("DaemonSet", "MPS"))
    assert environment(found["DaemonSet"])["MPS_ROOT"] == "/run/nvidia/mps"
    folders = {volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}
    assert folders["mps-root"] == "/run/nvidia/mps"
    assert folders["mps-shm"] == "/run/nvidia/mps/shm"
    assert daemon["containers"][0]["command"] == ["mps-control-daemon"]
    assert daemon["initContainers"][0]["command"] == ["mps-control-daemon", "mount-shm"]
    assert daemon["initContainers"][0]["volumeMounts"][0]["mountPropagation"] == "Bidirectional"
    for each in (*daemon["containers"], *daemon["initContainers"]):
        assert each["securityContext"] == {"privileged": True}
    assert daemon["affinity"] == pod["affinity"]
    assert daemon["tolerations"] == pod["tolerations"]
    assert daemon["imagePullSecrets"] == [{"name": "mirror"}]
    assert found["MPS"]["spec"]["selector"] != found["DaemonSet"]["spec"]["selector"]


def test_a_removal_names_what_any_options_may_have_made() -> None:
    assert set(plugin(__device_plugin_state="absent")) == {"Namespace", "ConfigMap", "DaemonSet", "MPS"}


def test_taints_of_a_spot_pool_as_text() -> None:
    pod = plugin(node_pool_node_taints="a=b:NoSchedule, c=d:NoExecute", node_pool_scale_set_priority="Spot")
    tolerations = pod["DaemonSet"]["spec"]["template"]["spec"]["tolerations"]
    assert [entry["key"] for entry in tolerations[2:]] == ["a", "c", "kubernetes.azure.com/scalesetpriority"]


def test_mirror_with_a_pull_secret_and_labels() -> None:
    daemonset = plugin(
        device_plugin_registry="registry.example",
        device_plugin_image_pull_secret="mirror",
        device_plugin_labels={"team": "vision"},
    )["DaemonSet"]
    assert container(daemonset)["image"] == "registry.example/oss/v2/nvidia/k8s-device-plugin:v0.18.2"
    assert daemonset["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "mirror"}]
    assert daemonset["metadata"]["labels"]["team"] == "vision"
    assert daemonset["spec"]["template"]["metadata"]["labels"]["team"] == "vision"


def test_job_with_everything() -> None:
    (job,) = render(
        "mnist",
        "job.yaml.j2",
        mnist_name="train",
        mnist_namespace="ml",
        mnist_args="--max_steps, 20",
        mnist_gpus="2",
        mnist_completions="3",
        mnist_parallelism=2,
        mnist_backoff_limit=0,
        mnist_active_deadline_seconds="600",
        mnist_ttl_seconds_after_finished=60,
        mnist_taints=[],
        mnist_resource_name="nvidia.com/gpu.shared",
    )
    spec = {key: value for key, value in job["spec"].items() if key != "template"}
    assert spec == {
        "completions": 3, "parallelism": 2, "backoffLimit": 0, "activeDeadlineSeconds": 600,
        "ttlSecondsAfterFinished": 60,
    }  # fmt: skip
    pod = job["spec"]["template"]["spec"]
    assert job["metadata"]["namespace"] == "ml"
    assert pod["containers"][0]["args"] == ["--max_steps", "20"]
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu.shared": "2"}
    assert pod["tolerations"] == []


@pytest.mark.parametrize(
    ("variables", "selector"),
    [
        ({"node_pool_name": "gpunp"}, None),  # the article's Job, field by field
        ({"node_pool_name": "gpunp", "mnist_workload": "vector_add"}, {"kubernetes.azure.com/agentpool": "gpunp"}),
        ({"node_pool_name": "a100", "mnist_node_pool": "a100"}, {"kubernetes.azure.com/agentpool": "a100"}),
        ({"node_pool_name": "gpunp", "mnist_workload": "vector_add", "mnist_node_pool": "*"}, None),
        (
            {"node_pool_name": "gpunp", "mnist_workload": "vector_add", "mnist_node_pool": ""},
            {"kubernetes.azure.com/agentpool": "gpunp"},
        ),
        ({"mnist_workload": "vector_add"}, None),
        ({"mnist_node_pool": "12"}, {"kubernetes.azure.com/agentpool": "12"}),
        ({"mnist_node_pool": None}, None),
    ],
)
def test_job_is_bound_to_its_pool(variables: dict[str, Any], selector: dict[str, str] | None) -> None:
    """Findings C9: the Job of one pool is no proof of another one. A renamed pool gets a Job of its own."""
    (job,) = render("mnist", "job.yaml.j2", **variables)
    assert job["spec"]["template"]["spec"].get("nodeSelector") == selector


@pytest.mark.parametrize("role", ["node_pool", "device_plugin", "mnist"])
def test_default_vars_file_says_what_the_defaults_say(role: str) -> None:
    said = yaml.safe_load((PLAYBOOK_VARS / "default.yml").read_text())
    defaults = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())
    templated: dict[str, Any] = {
        "node_pool_enable_auto_scaling": True,
        "node_pool_min_count": 1,
        "node_pool_max_count": 3,
        "mnist_workload": "article",
    }
    for name in said.keys() & defaults.keys():
        assert said[name] == templated.get(name, defaults[name])
