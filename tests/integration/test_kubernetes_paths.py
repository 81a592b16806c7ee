# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that lead elsewhere, namespaces that are null or empty, and what the API selects, on a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml
from aks_sandbox.testing import Sandbox
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_nodes import watched
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_observations import Expectation
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import access_of
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Client
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._paths import CONFIG_MAP
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._resources import Resources
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._watch import observe
from harness import Json, kubernetes_client
from module_runner import run

VICTIM = "victim"
PATH = f"../../kube-system/configmaps/{VICTIM}"
CONFIG: Json = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}}


@pytest.fixture
def core(sandbox: Sandbox) -> kubernetes.client.CoreV1Api:
    return kubernetes.client.CoreV1Api(kubernetes_client(sandbox))


@pytest.fixture
def kubeconfig(sandbox: Sandbox) -> Json:
    return dict(yaml.safe_load(sandbox.kubeconfig()))


@pytest.fixture
def client(kubeconfig: Json, tmp_path: Path) -> Client:
    return Client(access_of({"kubeconfig": kubeconfig}, str(tmp_path), lambda *_values: None, _no_programs))


@pytest.fixture
def victim(core: kubernetes.client.CoreV1Api) -> Iterator[str]:
    """A ConfigMap of somebody else; it has to be the same afterwards."""
    body = {"metadata": {"name": VICTIM}, "data": {"theirs": "1"}}
    uid = core.create_namespaced_config_map("kube-system", body).metadata.uid
    yield VICTIM
    found = core.read_namespaced_config_map(VICTIM, "kube-system")
    core.delete_namespaced_config_map(VICTIM, "kube-system")
    assert (found.metadata.uid, found.data) == (uid, {"theirs": "1"})


def _no_programs(*_unused: object) -> tuple[int, str, str]:
    raise AssertionError("no program is to be run")


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("manifest", {"definition": {**CONFIG, "metadata": {"name": PATH}}, "state": "absent"}),
        ("manifest", {"definition": {**CONFIG, "metadata": {"name": PATH}}}),
        ("manifest", {"definition": {**CONFIG, "metadata": {"name": VICTIM, "namespace": "default/../kube-system"}}}),
        ("manifest", {"definition": {**CONFIG, "kind": f"ConfigMap/{PATH}", "metadata": {"name": VICTIM}}}),
        ("manifest", {"definition": {**CONFIG, "apiVersion": "../api/v1", "metadata": {"name": VICTIM}}}),
        ("wait_for_job", {"name": PATH}),
        ("wait_for_job", {"name": "work", "namespace": "default/../kube-system"}),
        ("gpu_probe", {"namespace": "../namespaces/kube-system"}),
    ],
)
@pytest.mark.usefixtures("victim")
def test_a_name_that_is_a_path_is_refused(sandbox: Sandbox, kubeconfig: Json, module: str, options: Json) -> None:
    """Findings, D6."""
    with sandbox.having(refuse_writes=True):
        result = run(module, {"kubeconfig": kubeconfig, **options})
    assert result["failed"]
    assert "is not a valid" in result["msg"]


@pytest.mark.usefixtures("victim")
def test_a_kubeconfig_whose_namespace_is_a_path_is_refused(kubeconfig: Json) -> None:
    """Findings, D6: a kubeconfig may come from a survey as well."""
    kubeconfig["contexts"][0]["context"]["namespace"] = "default/../kube-system"
    definition = {**CONFIG, "metadata": {"name": VICTIM}}
    result = run("manifest", {"kubeconfig": kubeconfig, "definition": definition, "state": "absent"})
    assert result["failed"]
    assert "is not a valid namespace" in result["msg"]


@pytest.mark.usefixtures("victim")
def test_what_gets_past_is_a_name_that_is_not_there(client: Client) -> None:
    """The quoted path names an object of the namespace that is asked for, never another one's."""
    resources = Resources(client)
    assert resources.get(CONFIG_MAP, "kube-system", VICTIM) is not None
    assert resources.get(CONFIG_MAP, "default", PATH) is None
    live = {"metadata": {"name": PATH, "namespace": "default", "uid": "u"}}
    resources.delete(CONFIG_MAP, live)


@pytest.mark.parametrize("namespace", [{}, {"namespace": None}, {"namespace": ""}])
def test_a_namespace_that_is_null_or_empty_is_that_of_the_context(
    kubeconfig: Json, core: kubernetes.client.CoreV1Api, namespace: Json
) -> None:
    """Findings, D10; kubernetes/cloud-provider-openstack#1838, helm/helm#10019."""
    core.create_namespace({"metadata": {"name": "team"}})
    kubeconfig["contexts"][0]["context"]["namespace"] = "team"
    definition = {**CONFIG, "metadata": {"name": "c", **namespace}}
    for changed in (True, False):
        result = run("manifest", {"kubeconfig": kubeconfig, "definition": definition})
        assert (result["failed"], result["changed"]) == (False, changed), result
    assert core.read_namespaced_config_map("c", "team").data == {"a": "1"}
    assert run("manifest", {"kubeconfig": kubeconfig, "definition": definition, "state": "absent"})["changed"]
    missing = run("wait_for_job", {"kubeconfig": kubeconfig, "name": "work", "wait_timeout": 5, **namespace})
    assert "There is no Job work in the namespace team." in missing["msg"]


def test_a_pod_that_succeeds_leaves_what_is_watched(client: Client, core: kubernetes.client.CoreV1Api) -> None:
    """The API server leaves out Pods that have succeeded, and says of one that does so that it is gone (DELETED).

    https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
    """
    container = {"name": "c", "image": "example.invalid/work:1", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    body = {"metadata": {"name": "held"}, "spec": {"schedulingGates": [{"name": "a/b"}], "containers": [container]}}
    core.create_namespaced_pod("default", body)
    seen: list[Any] = []
    try:
        with observe(client, {"pods": watched(Expectation())["pods"]}) as watch:
            for state in watch.states(Deadline(20.0)):
                names = [found["metadata"]["name"] for found in state.all("pods")]
                if names == ["held"] and not seen:
                    core.patch_namespaced_pod_status("held", "default", {"status": {"phase": "Succeeded"}})
                if names not in seen:
                    seen.append(names)
                if len(seen) == 2:
                    break
    finally:
        core.delete_namespaced_pod("held", "default", grace_period_seconds=0)
    assert seen == [["held"], []]
