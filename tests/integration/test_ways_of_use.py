# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles in somebody else's playbook, survey answers, verification, options of the roles, and what clean-up leaves."""

from __future__ import annotations

from typing import Any

import kubernetes
import pytest
import yaml
from aks_sandbox.testing import Sandbox
from environment import ROOT
from harness import Ansible, Json, PlaybookRun, kubernetes_client, pools

JOB = ("samples-tf-mnist-demo", "default")
PLUGIN = ("nvidia-device-plugin-gpunp", "gpu-resources")
ARTICLE_PLUGIN = "gpu-resources/nvidia-device-plugin-daemonset"


def cluster_variables(sandbox: Sandbox) -> dict[str, Any]:
    return {"aks_resource_group": sandbox.resource_group, "aks_cluster_name": sandbox.cluster}


def role(name: str, **more: Any) -> Json:
    return {"name": f"Run {name}", "ansible.builtin.include_role": {"name": f"aks.gpu.{name}", **more}}


def batch(sandbox: Sandbox) -> kubernetes.client.BatchV1Api:
    return kubernetes.client.BatchV1Api(kubernetes_client(sandbox))


def changed_tasks(run: PlaybookRun) -> list[str]:
    return [each.task for each in run.results if each.result.get("changed")]


def test_roles_in_a_fleet_playbook(sandbox: Sandbox, ansible: Ansible) -> None:
    """Bare hosts by ssh, become, a wrong Python, one cluster that does not exist, answers as a survey sends them."""
    bare = {"ansible_connection": "ssh", "ansible_host": "192.0.2.1", "aks_resource_group": sandbox.resource_group}
    inventory = {
        "all": {
            "hosts": {
                "real": {**bare, "aks_cluster_name": sandbox.cluster},
                "unreal": {**bare, "aks_cluster_name": "nobody"},
            }
        }
    }
    survey = {
        "aks_subscription_id": "",
        "gpu_stack": "",
        "node_pool_count": "1",
        "node_pool_min_count": "1",
        "node_pool_max_count": " 2",
        "node_pool_node_taints": "sku=gpu:NoSchedule, team=vision:NoSchedule",
        "node_pool_node_labels": "team=vision,tier=gpu",
        "node_pool_tags": "",
        "node_pool_custom_headers": "",
        "node_pool_availability_zones": "",
        "node_pool_max_pods": "",
        "node_pool_spot_max_price": "",
        "device_plugin_sharing": "",
        "device_plugin_sharing_replicas": "",
        "mnist_max_steps": "200",
        "mnist_args": "",
        "mnist_completions": "",
        "gpu_verify_nodes": "",
        "gpu_verify_minimum_accuracy": "",
    }
    play = {
        "hosts": "all",
        "gather_facts": False,
        "become": True,
        "vars": {"ansible_python_interpreter": "/no/such/python"},
        "tasks": [
            role("device_plugin"),
            role("node_pool"),
            role("gpu_verify", tasks_from="gpus"),
            role("mnist"),
            role("gpu_verify", tasks_from="result"),
        ],
    }
    run = ansible.playbook([play], survey, inventory=inventory, fails=True)
    assert run.stats["real"]["failures"] == 0, run.failures
    assert run.stats["unreal"]["failures"] == 1
    assert [sandbox.cluster in text for text in run.failures] == [True]

    pool = pools(sandbox)["gpunp"]["properties"]
    assert set(pool["nodeTaints"]) == {"sku=gpu:NoSchedule", "team=vision:NoSchedule"}
    assert pool["nodeLabels"] == {"team": "vision", "tier": "gpu"}
    assert (pool["minCount"], pool["maxCount"]) == (1, 2)
    job = batch(sandbox).read_namespaced_job(*JOB)
    assert job.status is not None
    assert job.status.succeeded == 1
    assert job.spec is not None
    assert {entry.key for entry in job.spec.template.spec.tolerations} == {"sku", "team"}


def test_verify_and_options(sandbox: Sandbox, ansible: Ansible) -> None:
    """The verdict with and without a Job, time slicing, a replaced Job, and a clean-up that leaves what is not ours."""
    variables = cluster_variables(sandbox)
    variables |= {
        "device_plugin_sharing": "time_slicing",
        "device_plugin_sharing_replicas": "4",
        "mnist_max_steps": 200,
    }
    first = ansible.playbook("aks.gpu.site", variables)
    assert [node["allocatable"] for node in first["Wait until every node of the pool offers its GPUs"]["nodes"]] == [4]

    mark = sandbox.mark()
    with sandbox.having(refuse_writes=True):
        looked = ansible.playbook("aks.gpu.verify", {**variables, "gpu_verify_read_only": "yes"})
    assert looked.changed == 0
    assert not sandbox.writes(mark)
    assert f"{sandbox.cluster} works: 4 GPU(s) on 1 node(s)" in "\n".join(looked["Show what was found"]["msg"])

    strict = {**variables, "gpu_verify_minimum_accuracy": "0.999"}
    refused = ansible.playbook("aks.gpu.verify", strict, fails=True)
    assert refused.changed == 0
    assert "and 0.999 or more is asked for" in refused["Wait until the Job is complete"]["msg"]
    step = "The step that failed says why: Wait until the Job is complete"
    assert refused["Say that it does not work"]["msg"] == f"{sandbox.cluster} does not work. {step}"

    before = batch(sandbox).read_namespaced_job(*JOB)
    assert changed_tasks(ansible.playbook("aks.gpu.site", variables)) == []
    changed = ansible.playbook("aks.gpu.site", {**variables, "mnist_max_steps": 300})
    assert changed_tasks(changed) == ["aks.gpu.mnist : Apply the Job"]
    again = ansible.playbook("aks.gpu.site", {**variables, "mnist_max_steps": 300, "mnist_recreate": True})
    assert changed_tasks(again) == ["aks.gpu.mnist : Apply the Job"]
    after = batch(sandbox).read_namespaced_job(*JOB)
    assert before.metadata is not None
    assert after.metadata is not None
    assert before.metadata.uid != after.metadata.uid

    theirs = kubernetes.client.V1ConfigMap(metadata=kubernetes.client.V1ObjectMeta(name="theirs"))
    core = kubernetes.client.CoreV1Api(kubernetes_client(sandbox))
    core.create_namespaced_config_map(PLUGIN[1], theirs)
    kept = ansible.playbook("aks.gpu.cleanup", {**variables, "cleanup_node_pool": "false"})
    assert changed_tasks(kept) == ["aks.gpu.mnist : Remove the Job"]
    assert set(pools(sandbox)) == {"nodepool1", "gpunp"}
    apps = kubernetes.client.AppsV1Api(core.api_client)
    assert [item.metadata.name for item in apps.list_namespaced_daemon_set(PLUGIN[1]).items] == [PLUGIN[0]]
    used = ansible.playbook([_plugin_only(sandbox, device_plugin_state="absent")])
    assert changed_tasks(used) == []
    assert "would lose their GPUs" in used["Say why the device plugin stays"]["msg"]
    assert [item.metadata.name for item in apps.list_namespaced_daemon_set(PLUGIN[1]).items] == [PLUGIN[0]]

    ansible.playbook("aks.gpu.cleanup", variables)
    assert set(pools(sandbox)) == {"nodepool1"}
    assert apps.list_namespaced_daemon_set(PLUGIN[1]).items == []
    names = {item.metadata.name for item in core.list_namespaced_config_map(PLUGIN[1]).items}
    assert names == {"theirs", "kube-root-ca.crt"}
    assert changed_tasks(ansible.playbook("aks.gpu.cleanup", variables)) == []


FOREIGN_PLUGIN: Json = {
    "metadata": {"name": "theirs"},
    "spec": {
        "selector": {"matchLabels": {"name": "theirs"}},
        "template": {
            "metadata": {"labels": {"name": "theirs"}},
            "spec": {
                "containers": [{"name": "ctr", "image": "nvcr.io/nvidia/k8s-device-plugin:v0.17.0"}],
                "nodeSelector": {"accelerator": "nvidia"},
                "tolerations": [{"operator": "Exists"}],
            },
        },
    },
}


def test_two_device_plugins_never_meet(sandbox: Sandbox, ansible: Ansible) -> None:
    """The article's WARNING, from both sides, before anything is changed."""
    sandbox.set(azure_of_2023=True)
    variables = cluster_variables(sandbox)
    by_plugin = ["-e", f"@{ROOT / 'playbooks' / 'vars' / 'article_device_plugin.yml'}"]
    by_image = ["-e", f"@{ROOT / 'playbooks' / 'vars' / 'article_gpu_image.yml'}"]

    ansible.playbook([_plugin_only(sandbox)], arguments=by_plugin)
    apps = kubernetes.client.AppsV1Api(kubernetes_client(sandbox))
    apps.create_namespaced_daemon_set("kube-system", FOREIGN_PLUGIN)
    try:
        managed = ["-e", "gpu_stack=managed"]
        own = ["-e", "device_plugin_manifest=article", "-e", "node_pool_vm_size=Standard_NC6"]
        for arguments, named in ((by_image, 2), (managed, 2), (own, 1)):
            refused = ansible.playbook("aks.gpu.site", variables, arguments=arguments, fails=True)
            assert refused.changed == 0
            message = " ".join(refused.failures)
            assert "hand out each GPU twice" in message
            assert [name in message for name in ("kube-system/theirs", ARTICLE_PLUGIN)].count(True) == named, message
    finally:
        apps.delete_namespaced_daemon_set("theirs", "kube-system")
    ansible.playbook([_plugin_only(sandbox, device_plugin_state="absent")], arguments=by_plugin)

    ansible.playbook("aks.gpu.site", variables, arguments=by_image)
    for pool in ("gpunp", "other"):
        refused = ansible.playbook(
            "aks.gpu.site", variables, arguments=[*by_plugin, "-e", f"node_pool_name={pool}"], fails=True
        )
        assert refused.changed == 0
        assert "hand out each GPU twice" in " ".join(refused.failures)


def _plugin_only(sandbox: Sandbox, **variables: Any) -> Json:
    """A play that runs the role device_plugin by itself."""
    return {
        "hosts": "localhost",
        "gather_facts": False,
        "roles": [{"role": "aks.gpu.device_plugin", "vars": {**cluster_variables(sandbox), **variables}}],
    }


@pytest.mark.parametrize(
    ("variables", "taints"),
    [
        pytest.param({"gpu_stack": "managed"}, ["sku=gpu:NoSchedule"], id="managed"),
        pytest.param({"mnist_workload": "digits"}, ["sku=gpu:NoSchedule"], id="digits"),
        pytest.param({"mnist_workload": "vector_add"}, ["sku=gpu:NoSchedule"], id="vector_add"),
    ],
)
def test_other_pools(sandbox: Sandbox, ansible: Ansible, variables: dict[str, Any], taints: list[str]) -> None:
    """The ways beyond the article's that the roles know: done, and done again without a change."""
    variables = {**cluster_variables(sandbox), **variables}
    # Registered by somebody who did not refresh the resource provider.
    sandbox.act("feature", name="ManagedGPUExperiencePreview", state="Registered")
    first = ansible.playbook("aks.gpu.site", variables)
    assert f"{sandbox.cluster} works" in "\n".join(first["Show what was found"]["msg"])
    assert set(pools(sandbox)["gpunp"]["properties"]["nodeTaints"]) == set(taints)
    assert changed_tasks(ansible.playbook("aks.gpu.site", variables)) == []


def test_a_job_that_cannot_succeed_fails_early(sandbox: Sandbox, ansible: Ansible) -> None:
    """The article's image on a GPU that it does not know."""
    sandbox.set(article_image_runs_on_modern_gpus=False)
    run = ansible.playbook("aks.gpu.site", cluster_variables(sandbox), fails=True)
    assert "CUDA driver version is insufficient" in " ".join(run.failures)
    assert run["Say that it does not work"]["msg"].startswith(f"{sandbox.cluster} does not work. ")


def test_the_articles_job_made_by_hand(sandbox: Sandbox, ansible: Ansible) -> None:
    """What kubectl has applied is taken over where it is the same, and refused before the pool where it is not."""
    by_hand = yaml.safe_load((ROOT / "tests" / "unit" / "roles" / "article_job.yaml").read_text())
    by_hand["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] = {"nvidia.com/gpu": "1"}
    batch(sandbox).create_namespaced_job("default", by_hand, field_manager="kubectl-client-side-apply")
    variables = {**cluster_variables(sandbox), "node_pool_min_count": 2}
    mark = sandbox.mark()
    same = ansible.playbook("aks.gpu.site", variables, check=True)
    assert same["GPU node pool: make it what it should be"]["node_pool"]["count"] == 2
    other = ansible.playbook("aks.gpu.site", {**variables, "mnist_gpus": 2}, fails=True)
    assert other.changed == 0
    assert "force_conflicts" in " ".join(other.failures)
    assert sandbox.writes(mark) == []


def test_verify_without_the_pool(sandbox: Sandbox, ansible: Ansible) -> None:
    run = ansible.playbook("aks.gpu.verify", cluster_variables(sandbox), fails=True)
    assert f"{sandbox.cluster} could not be looked at" in run.failures[-1]
    assert "There is no node pool gpunp. There are: nodepool1." in run.failures[0]


def test_site_does_not_wait_for_a_pool_that_nothing_makes(sandbox: Sandbox, ansible: Ansible) -> None:
    variables = {**cluster_variables(sandbox), "gpu_verify_node_pool": "other"}
    run = ansible.playbook("aks.gpu.site", variables, fails=True)
    assert "There is no node pool other. There are: nodepool1, gpunp." in " ".join(run.failures)
