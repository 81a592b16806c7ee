# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool takes the place of another one, on a real control plane."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aks_sandbox import build
from aks_sandbox.testing import Sandbox
from arm_harness import plays, pool, run, text_of
from harness import Ansible, pools

Json = dict[str, Any]

OLD: Json = {
    "vm_size": "Standard_NC4as_T4_v3",
    "enable_auto_scaling": True,
    "min_count": 1,
    "max_count": 2,
}
NEW: Json = {"vm_size": "Standard_NC8as_T4_v3", "count": 1, "replaces": "oldgpu", "wait_timeout": 120}

WRITES = ["PUT newgpu", "PUT oldgpu", "DELETE oldgpu"]
"""All that a replacement writes in Azure, in turn."""

LABELS = {"name": "plugin"}
PLUGIN: Json = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "nvidia-device-plugin-daemonset", "namespace": "kube-system"},
    "spec": {
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {
                "nodeSelector": {"kubernetes.azure.com/accelerator": "nvidia"},
                "tolerations": [{"operator": "Exists"}],
                "containers": [
                    {
                        "name": "plugin",
                        "image": "mcr.microsoft.com/oss/v2/nvidia/k8s-device-plugin:v0.18.2",
                        "volumeMounts": [{"name": "plugins", "mountPath": "/var/lib/kubelet/device-plugins"}],
                    }
                ],
                "volumes": [{"name": "plugins", "hostPath": {"path": "/var/lib/kubelet/device-plugins"}}],
            },
        },
    },
}


def workload(replicas: int) -> list[Json]:
    """A Deployment that prefers the old pool, with a disruption budget that keeps all of it."""
    labels = {"app": "web"}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "nodeSelector": {"kubernetes.azure.com/accelerator": "nvidia"},
                        "containers": [{"name": "web", "image": "registry.example/web:1"}],
                    },
                },
            },
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"minAvailable": replicas, "selector": {"matchLabels": labels}},
        },
    ]


@pytest.fixture
def prepared(sandbox: Sandbox, ansible: Ansible) -> Sandbox:
    """A cluster with a device plugin and the pool that is to go."""
    apply(sandbox, PLUGIN)
    result = run(ansible, pool(sandbox, "oldgpu", **OLD)).results[0].result
    assert result["changed"]
    return sandbox


def apply(sandbox: Sandbox, *objects: Json) -> None:
    for each in objects:
        sandbox.kubectl("apply", "-f", "-", stdin=json.dumps(each))


def remove(sandbox: Sandbox, *objects: Json) -> None:
    for each in objects:
        kind, metadata = each["kind"].lower(), each["metadata"]
        sandbox.kubectl("delete", kind, metadata["name"], "-n", metadata["namespace"], "--ignore-not-found")


def test_the_new_pool_is_proven_before_the_old_one_goes(prepared: Sandbox, ansible: Ansible) -> None:
    sandbox = prepared
    mark = sandbox.mark()
    try:
        done = run(
            ansible,
            pool(sandbox, "newgpu", **NEW, check=True),
            pool(sandbox, "newgpu", **NEW),
            pool(sandbox, "newgpu", **NEW),
            pool(sandbox, "newgpu", **NEW, check=True),
        )
        assert [each.result["changed"] for each in done.results] == [True, True, False, False], done.output
        assert writes(sandbox, mark) == WRITES
        assert pools(sandbox).keys() == {"nodepool1", "newgpu"}
        assert done.results[0].result["diff"]["before"]["replaces"] == "oldgpu"
    finally:
        remove(sandbox, PLUGIN)


@pytest.fixture
def entra(prepared: Sandbox) -> Iterator[Sandbox]:
    """The cluster asks Entra ID who somebody is, and has no local accounts: Azure's kubeconfig has kubelogin in it.

    https://learn.microsoft.com/azure/aks/kubelogin-authentication
    """
    profile = {"managed": True, "enableAzureRBAC": False, "adminGroupObjectIDs": [], "tenantID": "of-the-cluster"}
    properties = {"aadProfile": profile, "disableLocalAccounts": True}
    prepared.act("cluster", cluster=prepared.cluster, properties=properties)
    yield prepared
    prepared.act("cluster", cluster=prepared.cluster, properties={"aadProfile": None, "disableLocalAccounts": False})
    remove(prepared, PLUGIN)


def replacing(sandbox: Sandbox, ansible: Ansible, path: str) -> tuple[str, Json]:
    """Replaces the pool, with a PATH in front of the machine's, and returns the task's status and result."""
    environment = {"PATH": os.pathsep.join([*filter(None, [path]), os.environ["PATH"]]), "HOME": str(ansible.folder)}
    [done] = run(ansible, pool(sandbox, "newgpu", **NEW), environment=environment).results
    return done.status, done.result


def test_a_cluster_of_entra_id_is_replaced_with_the_credentials_of_the_run(entra: Sandbox, ansible: Ansible) -> None:
    """Findings, E2: kubelogin asked a person for a code, after the new pool was there."""
    built = build.kubelogin(lambda line: print(line, file=sys.stderr, flush=True))
    status, done = replacing(entra, ansible, str(built.parent))
    assert (status, done.get("changed")) == ("ok", True), done
    assert pools(entra).keys() == {"nodepool1", "newgpu"}


@pytest.mark.parametrize("plugin", ["missing", "fails"])
def test_access_is_proven_before_anything_is_created(
    entra: Sandbox, ansible: Ansible, tmp_path: Path, plugin: str
) -> None:
    path = ""
    if plugin == "fails":
        (tmp_path / "kubelogin").write_text(
            "#!/bin/sh\necho 'AADSTS50076: use multi-factor authentication' >&2\nexit 1\n"
        )
        (tmp_path / "kubelogin").chmod(0o755)
        path = str(tmp_path)
    mark = entra.mark()
    status, refused = replacing(entra, ansible, path)
    assert status == "ignored", refused
    assert "oldgpu can't be replaced, because the nodes of" in refused["msg"]
    assert ("AADSTS50076" if plugin == "fails" else "kubelogin") in refused["msg"]
    assert "Nothing was changed" in refused["msg"]
    assert writes(entra, mark) == []
    assert pools(entra).keys() == {"nodepool1", "oldgpu"}


def test_an_unproven_pool_leaves_the_old_one_alone(prepared: Sandbox, ansible: Ansible) -> None:
    sandbox = prepared
    remove(sandbox, PLUGIN)
    options = {**NEW, "wait_timeout": 15}
    failed = run(ansible, pool(sandbox, "newgpu", **options)).results[0]
    assert failed.status == "ignored"
    assert "GPUs could not be used" in failed.result["msg"]
    found = pools(sandbox)["oldgpu"]["properties"]
    assert (found["enableAutoScaling"], found["provisioningState"]) == (True, "Succeeded")
    assert not cordoned(sandbox)

    apply(sandbox, PLUGIN)
    try:
        resumed = run(ansible, pool(sandbox, "newgpu", **NEW)).results[0]
        assert resumed.result["changed"]
        assert pools(sandbox).keys() == {"nodepool1", "newgpu"}
    finally:
        remove(sandbox, PLUGIN)


def test_a_disruption_budget_is_kept_and_named(prepared: Sandbox, ansible: Ansible) -> None:
    sandbox = prepared
    objects = workload(1)
    apply(sandbox, *objects)
    sandbox.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=60s")
    try:
        failed, again = run(
            ansible,
            pool(sandbox, "newgpu", **{**NEW, "wait_timeout": 20}),
            pool(sandbox, "newgpu", **NEW, ignore_pod_disruption_budget=True),
        ).results
        text = text_of({**failed.result, "failed": failed.status == "ignored"})
        assert "could not be drained within 20 s. Left: default/web-" in text
        assert "disruption budget" in text
        assert again.result["changed"]
        assert pools(sandbox).keys() == {"nodepool1", "newgpu"}
    finally:
        remove(sandbox, PLUGIN, *objects)


@pytest.mark.parametrize("stage", ["PUT newgpu", "PUT oldgpu", "cordoned", "DELETE oldgpu"])
def test_a_run_that_was_killed_goes_on_where_it_was(prepared: Sandbox, ansible: Ansible, stage: str) -> None:
    """What was written before the kill isn't written again, and both pools are never gone at once."""
    sandbox = prepared
    objects = workload(1)
    apply(sandbox, *objects)
    sandbox.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=60s")
    mark = sandbox.mark()

    def reached() -> bool:
        return cordoned(sandbox) if stage == "cordoned" else stage in writes(sandbox, mark)

    try:
        replacement = pool(sandbox, "newgpu", **NEW, ignore_pod_disruption_budget=stage == "DELETE oldgpu")
        ansible.killed(plays(replacement), reached)
        time.sleep(1)
        assert "newgpu" in pools(sandbox)
        before = writes(sandbox, mark)
        assert before == WRITES[: len(before)]
        remove(sandbox, objects[1])
        again, then = run(ansible, replacement, replacement).results
        assert again.result["changed"] or stage == "DELETE oldgpu", again.result
        assert not then.result["changed"]
        assert pools(sandbox).keys() == {"nodepool1", "newgpu"}
        assert writes(sandbox, mark) == WRITES
    finally:
        remove(sandbox, PLUGIN, *objects)


def cordoned(sandbox: Sandbox) -> bool:
    nodes = json.loads(sandbox.kubectl("get", "nodes", "-l", "agentpool=oldgpu", "-o", "json"))["items"]
    return any(node["spec"].get("unschedulable") for node in nodes)


def writes(sandbox: Sandbox, mark: int) -> list[str]:
    return [f"{each['method']} {each['url'].partition('?')[0].rsplit('/', 1)[1]}" for each in sandbox.writes(mark)]


def test_what_can_not_be_replaced_is_refused(prepared: Sandbox, ansible: Ansible) -> None:
    sandbox = prepared
    mark = sandbox.mark()
    done = run(
        ansible,
        pool(sandbox, "oldgpu", **{**NEW, "vm_size": "Standard_NC4as_T4_v3"}),
        pool(sandbox, "newgpu", **{**NEW, "wait": False}),
        pool(sandbox, "newgpu", **{**NEW, "count": 0}),
        pool(sandbox, "newgpu", **{**NEW, "replaces": "nodepool1"}),
    )
    texts = [str(each.result["msg"]) for each in done.results]
    assert "is the pool itself" in texts[0]
    assert "needs wait: true" in texts[1]
    assert "begins with a node at least" in texts[2]
    assert "has mode: System" in texts[3]
    assert sandbox.writes(mark) == []
    remove(sandbox, PLUGIN)
