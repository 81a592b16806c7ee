# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool is deleted while Pods on it may not be evicted: real Pods and a real disruption budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import kubernetes
import pytest
from aks_sandbox.testing import Sandbox
from arm_harness import four, pool, run
from harness import Ansible, kubernetes_client, pools
from test_arm_replaces import apply, remove, workload


@pytest.fixture
def held(sandbox: Sandbox, ansible: Ansible) -> Iterator[str]:
    """The name of a Pod on the pool `gpunp` whose budget forbids its eviction."""
    run(ansible, pool(sandbox, vm_size="Standard_NC4as_T4_v3", count=1))
    objects = workload(1)
    apply(sandbox, *objects)
    sandbox.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=60s")
    sandbox.set(drain_timeout_seconds=4.0)
    (pod,) = core(sandbox).list_namespaced_pod("default", label_selector="app=web").items
    yield pod.metadata.name
    remove(sandbox, *objects)


def core(sandbox: Sandbox) -> kubernetes.client.CoreV1Api:
    return kubernetes.client.CoreV1Api(kubernetes_client(sandbox))


def test_the_pods_that_hold_it_are_named(sandbox: Sandbox, ansible: Ansible, held: str) -> None:
    absent = pool(sandbox, state="absent")
    predicted, refused, again = run(ansible, replace(absent, check=True), absent, absent).results
    assert predicted.result["changed"]
    for failed in (refused, again):
        assert failed.status == "ignored"
        # terraform-provider-azurerm#10411, 2021-02: a code that wraps the cause
        assert (failed.result["code"], failed.result["cause"]) == ("DeleteVMSSAgentPoolFailed", "PodDrainFailure")
        assert f"default/{held}" in failed.result["msg"]
        assert "ignore_pod_disruption_budget" in failed.result["msg"]
    assert pools(sandbox)["gpunp"]["properties"]["provisioningState"] == "Failed"
    assert core(sandbox).read_namespaced_pod(held, "default").status.phase == "Running"


def test_budgets_are_ignored_where_that_is_asked_for(sandbox: Sandbox, ansible: Ansible, held: str) -> None:
    mark = sandbox.mark()
    done = four(ansible, pool(sandbox, state="absent", ignore_pod_disruption_budget=True))
    assert [each["changed"] for each in done] == [True, True, False, False], done
    (deletion,) = sandbox.writes(mark)
    assert "ignore-pod-disruption-budget=true" in deletion["url"]
    assert pools(sandbox).keys() == {"nodepool1"}
    assert held not in {item.metadata.name for item in core(sandbox).list_namespaced_pod("default").items}
