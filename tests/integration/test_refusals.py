# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input is refused before anything is changed, with every problem named at once, in words that help."""

from __future__ import annotations

from typing import Any

import pytest
from aks_sandbox.testing import Sandbox
from harness import Ansible, pools

WRONG_SECRET = "planted-9f2c1e"


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        pytest.param({"aks_cluster_name": "nobody"}, ["nobody", "myAKSCluster"], id="unknown cluster"),
        pytest.param({"aks_resource_group": "nowhere"}, ["nowhere"], id="unknown resource group"),
        pytest.param({"node_pool_node_taints": ["sku:NoSchedule"]}, ["sku:NoSchedule"], id="taint without a value"),
        pytest.param({"node_pool_name": "GPU-Pool"}, ["GPU-Pool"], id="name that AKS refuses"),
        pytest.param({"node_pool_min_count": 5, "node_pool_max_count": 2}, ["min_count", "max_count"], id="min > max"),
        pytest.param({"node_pool_vm_size": "Standard_D4s_v3"}, ["Standard_D4s_v3", "GPU"], id="size without GPUs"),
        pytest.param({"node_pool_vm_size": "Standard_NV4as_v4"}, ["Standard_NV4as_v4", "AMD"], id="AMD size"),
        pytest.param({"node_pool_vm_size": "Standard_NC6"}, ["Standard_NC6", "retired"], id="retired size"),
        pytest.param({"mnist_namespace": "nowhere"}, ["there is no namespace nowhere"], id="namespace of the Job"),
        pytest.param(
            {"mnist_workload": "custom", "mnist_completions": 0},
            ["mnist_template or mnist_definition", "mnist_completions"],
            id="workload",
        ),
        pytest.param({"gpu_stack": "magic"}, ["gpu_stack must be one of: device_plugin, "], id="unknown GPU stack"),
        pytest.param({"gpu_stack": "gpu_image"}, ["2025-01-10", "gpu_stack: managed"], id="retired GPU image"),
        pytest.param(
            {"node_pool_custom_headers": {"UseGPUDedicatedVHD": "true"}},
            ["gpu_stack: device_plugin", "gpu_stack: gpu_image"],
            id="device plugin on a pool of the GPU image",
        ),
        pytest.param(
            {
                "node_pool_name": "GPU-Pool",
                "node_pool_node_taints": ["sku:NoSchedule"],
                "node_pool_min_count": 5,
                "node_pool_max_count": 2,
                "node_pool_vm_size": "Standard_D4s_v3",
            },
            ["GPU-Pool", "sku:NoSchedule", "min_count", "Standard_D4s_v3"],
            id="all of them at once",
        ),
    ],
)
def test_refused(sandbox: Sandbox, ansible: Ansible, variables: dict[str, Any], says: list[str]) -> None:
    mark = sandbox.mark()
    cluster = {"aks_resource_group": sandbox.resource_group, "aks_cluster_name": sandbox.cluster}
    run = ansible.playbook("aks.gpu.site", {**cluster, **variables}, fails=True)
    message = " ".join(run.failures)
    assert any(all(text in failure for text in says) for failure in run.failures), run.failures
    assert "Unexpected" not in message
    assert sandbox.writes(mark) == []
    assert set(pools(sandbox)) == {"nodepool1"}


def test_variables_of_all_roles_are_judged_first_and_at_once(sandbox: Sandbox, ansible: Ansible) -> None:
    mark = sandbox.mark()
    wrong = {"mnist_gpus": "two", "gpu_verify_wait_timeout": "soon", "node_pool_wait": "perhaps", "gpu_stack": "magic"}
    others = {"aks_cluster_name": sandbox.cluster, "node_pool_vm_sise": "Standard_NC4as_T4_v3"}
    run = ansible.playbook("aks.gpu.site", {**wrong, **others}, fails=True)
    assert "No role takes the variable node_pool_vm_sise. Is node_pool_vm_size meant?" in " ".join(run.output.split())
    (message,) = run.failures
    for text in (*wrong, "aks_resource_group", "-e aks_resource_group=myResourceGroup"):
        assert text in message
    assert "argument_spec_data" not in run.output
    assert sandbox.writes(mark) == []


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        pytest.param(
            dict.fromkeys(("AZURE_CLIENT_SECRET", "AZURE_SECRET"), WRONG_SECRET), "AADSTS7000215", id="wrong secret"
        ),
        pytest.param(
            dict.fromkeys(("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_SECRET"), ""), "az login", id="none"
        ),
    ],
)
def test_credentials(sandbox: Sandbox, ansible: Ansible, environment: dict[str, str], says: str) -> None:
    mark = sandbox.mark()
    cluster = {"aks_resource_group": sandbox.resource_group, "aks_cluster_name": sandbox.cluster}
    run = ansible.playbook("aks.gpu.site", cluster, environment=environment, fails=True)
    assert says in " ".join(run.failures)
    assert WRONG_SECRET not in " ".join(run.failures)
    assert sandbox.writes(mark) == []
