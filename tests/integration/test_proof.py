# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An old proof does not count for a new pool, and what is gone is not judged: findings C9, C12 and C14."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import kubernetes
from aks_sandbox.testing import Sandbox
from harness import Ansible, Json, kubernetes_client, pools

JOB = "samples-tf-mnist-demo"
SHOWN = "Show what was found"


def variables(sandbox: Sandbox, directory: Path, **more: Any) -> dict[str, Any]:
    cluster = {"aks_resource_group": sandbox.resource_group, "aks_cluster_name": sandbox.cluster}
    return {**cluster, "gpu_verify_evidence_directory": str(directory), **more}


def evidence_in(directory: Path) -> Json:
    (path,) = (directory / "clusters").glob("*.json")
    return dict(json.loads(path.read_text()))


def holds(evidence: Json) -> dict[str, bool | None]:
    return {check["name"]: check["holds"] for check in evidence["checks"]}


def delete_pods(sandbox: Sandbox) -> None:
    """As a drain does, or the garbage collector of Pods after a node has gone."""
    core = kubernetes.client.CoreV1Api(kubernetes_client(sandbox))
    selector = f"batch.kubernetes.io/job-name={JOB}"
    core.delete_collection_namespaced_pod("default", label_selector=selector, grace_period_seconds=0)
    end = time.monotonic() + 30
    while core.list_namespaced_pod("default", label_selector=selector).items:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_pool_with_another_name_needs_a_proof_of_its_own(sandbox: Sandbox, ansible: Ansible, tmp_path: Path) -> None:
    """Findings C9: gpunp of T4 became a100 of A100 in the inventory, and "works … complete on Tesla T4" was said."""
    said = variables(sandbox, tmp_path / "first")
    assert "created by aks.gpu" not in ansible.playbook("aks.gpu.site", said).output
    assert holds(evidence_in(tmp_path / "first"))["job_pool"] is True

    renamed = {"node_pool_name": "a100", "node_pool_vm_size": "Standard_NC24ads_A100_v4"}
    run = ansible.playbook("aks.gpu.site", variables(sandbox, tmp_path / "second", **renamed), fails=True)
    evidence = evidence_in(tmp_path / "second")
    found = holds(evidence)
    assert (found["job"], found["job_pool"], found["device"], found["accuracy"]) == (True, False, None, None)
    reasons = " ".join(run.failures)
    assert "on a node of the node pool gpunp, not of a100" in reasons
    assert "mnist_node_pool: a100" in reasons
    assert evidence["job"]["pods"][0]["vm_size"] == "Standard_NC4as_T4_v3"

    mended = {**renamed, "mnist_node_pool": "a100"}
    run = ansible.playbook("aks.gpu.site", variables(sandbox, tmp_path / "third", **mended))
    evidence = evidence_in(tmp_path / "third")
    assert holds(evidence)["job_pool"] is True
    assert evidence["headline"].endswith(f"{JOB} complete on NVIDIA A100 80GB PCIe")
    assert {node["node_pool"] for node in evidence["nodes"]} == {"a100"}
    assert set(pools(sandbox)) == {"nodepool1", "gpunp", "a100"}
    assert evidence["own_node_pools"] == ["a100", "gpunp"]
    left = {"resource_group": sandbox.resource_group, "cluster": sandbox.cluster, "node_pool": "gpunp"}
    assert json.loads((tmp_path / "third" / "summary.json").read_text())["left_behind"] == [left]
    assert "node pool gpunp of cluster" in "\n".join(run["Make one report"]["shown"])

    inventory = {"all": {"hosts": {
        "new": {**variables(sandbox, tmp_path / "both", gpu_verify_read_only=True), **renamed},
        "old": {**variables(sandbox, tmp_path / "both"), "node_pool_name": "gpunp"},
    }}}  # fmt: skip
    run = ansible.playbook("aks.gpu.verify", inventory=inventory, arguments=["--limit", "new"])
    assert run["Make one report"]["left_behind"] == []

    # Azure removes one pool after the other; the last one is left to the fixture.
    client: Any = sandbox.container_service("owner").agent_pools
    client.begin_delete(sandbox.resource_group, sandbox.cluster, "gpunp", polling_interval=0.2).result()


def test_the_pods_of_a_complete_job_are_gone(sandbox: Sandbox, ansible: Ansible, tmp_path: Path) -> None:
    """Findings C12: rc 2 for good, "device found: none". C14: a step before the Job fails."""
    said = variables(sandbox, tmp_path / "first")
    ansible.playbook("aks.gpu.site", said)
    delete_pods(sandbox)
    run = ansible.playbook("aks.gpu.site", variables(sandbox, tmp_path / "again"))
    assert run.changed == 0
    evidence = evidence_in(tmp_path / "again")
    found = holds(evidence)
    assert (found["job"], found["job_pool"], found["device"], found["accuracy"]) == (True, None, None, None)
    assert (evidence["verdict"], evidence["job"]["log_state"]) == ("works", "gone")
    assert [problem["cause"] for problem in evidence["problems"]] == ["LogGone"]
    shown = "\n".join(run[SHOWN]["msg"])
    assert f"note: Job default/{JOB}: its Pods are gone" in shown
    assert "mnist_recreate: true" in shown

    play: Json = {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.import_role": {"name": "aks.gpu.gpu_verify", "tasks_from": "gpus"}},
            {
                "block": [{"name": "Prepare my data", "ansible.builtin.fail": {"msg": "The share is full."}}],
                "rescue": [{"ansible.builtin.import_role": {"name": "aks.gpu.gpu_verify", "tasks_from": "failed"}}],
            },
        ],
    }
    run = ansible.playbook([play], variables(sandbox, tmp_path / "before", gpu_verify_probe=False), fails=True)
    evidence = evidence_in(tmp_path / "before")
    found = holds(evidence)
    assert (found["job"], found["job_pool"], found["device"], found["accuracy"]) == (None, None, None, None)
    assert '"FAIL ' not in run.output
    assert "The share is full." in " ".join(run.failures)
    assert "myAKSCluster does not work. The step that failed says why: Prepare my data" in run.failures[-1]

    again = variables(sandbox, tmp_path / "run-again", mnist_recreate=True)
    ansible.playbook("aks.gpu.site", again)
    assert holds(evidence_in(tmp_path / "run-again"))["accuracy"] is True
