# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA's GPU Operator, by Helm and the stand-in chart of tests/charts: installed, met, and removed.

What a real cluster shows of it is read from github.com/NVIDIA/gpu-operator at v26.7.0 (chart and controllers); a test
names the issue that reported its input.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml
from aks_sandbox import build
from aks_sandbox.testing import Sandbox
from environment import ROOT
from harness import Ansible, Json, PlaybookRun, kubernetes_client, pools
from test_main_job import changed_tasks, shown, user_objects
from test_scenarios import Scenario, offered

CHART = Path(os.environ.get("AKS_GPU_OPERATOR_CHART", ROOT / "tests" / "charts" / "gpu-operator"))
OPERATOR = {"gpu_stack": "operator", "gpu_operator_chart": str(CHART)}
RELEASE = "aks.gpu.gpu_operator : Helm release of the GPU Operator: present"
TAINT = {"key": "CriticalAddonsOnly", "value": "true", "effect": "NoSchedule"}
"""What AKS recommends for system pools: https://learn.microsoft.com/azure/aks/use-system-pools"""

CONTROL_PLANE = [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]
NO_TOLERATION = {
    "operator": {"tolerations": CONTROL_PLANE},
    "node-feature-discovery": {"master": {"tolerations": CONTROL_PLANE}, "gc": {"tolerations": CONTROL_PLANE}},
}
"""The chart's own tolerations, or as good as none."""

PREFIXES = ("feature.node.kubernetes.io/", "nvidia.com/")


class Helm:
    """A person who uses Helm in the sandbox's cluster by hand, with the role's tools at hand too."""

    def __init__(self, sandbox: Sandbox, ansible: Ansible, folder: Path) -> None:
        self.sandbox = sandbox
        self.ansible = ansible
        self.program = build.helm(print)
        self.homes = {f"HELM_{name}_HOME": str(folder / name) for name in ("CACHE", "CONFIG", "DATA")}
        self.kubeconfig = folder / "helm.kubeconfig"
        self.kubeconfig.touch(0o600)
        self.kubeconfig.write_text(sandbox.kubeconfig())
        path = os.pathsep.join((str(self.program.parent), os.environ["PATH"]))
        # Helm obeys the last two; a task that names its cluster must not be led to another one by them.
        elsewhere = {"HELM_KUBEAPISERVER": "https://127.0.0.1:1", "HELM_KUBETOKEN": "x"}
        self.environment = {"PATH": path, **self.homes, **elsewhere}
        self.scenario = Scenario(sandbox, ansible, self.environment)
        self.client = kubernetes_client(sandbox)

    def command(self, *words: str) -> list[str]:
        return [str(self.program), *words, f"--kubeconfig={self.kubeconfig}"]

    def run(self, *words: str) -> str:
        done = subprocess.run(self.command(*words), check=True, capture_output=True, text=True,
                              env={**os.environ, **self.homes})  # fmt: skip
        return done.stdout

    def install(self, values: Json, name: str = "gpu-operator", namespace: str = "gpu-operator") -> None:
        """As NVIDIA's documentation says, by hand."""
        given = [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]
        self.run("install", name, str(CHART), f"--namespace={namespace}", "--create-namespace", *given)

    def releases(self) -> list[Json]:
        found = json.loads(self.run("list", "--all-namespaces", "--all", "--output=json"))
        return [{key: each[key] for key in ("name", "namespace", "revision", "status")} for each in found]

    def role(self, state: str = "present", *, fails: bool = False, check: bool = False, **more: Any) -> PlaybookRun:
        """The role alone, on the cluster as it is."""
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                "aks_kubeconfig": str(self.kubeconfig),
                "aks_resource_group": "g",
                "aks_cluster_name": "c",
                "gpu_operator_state": state,
                **OPERATOR,
                **more,
            },
            "roles": ["aks.gpu.gpu_operator"],
        }
        return self.ansible.playbook([play], environment=self.environment, fails=fails, check=check)

    def unchanged(self, run: Callable[[], PlaybookRun]) -> PlaybookRun:
        """A run that writes nothing to the cluster, as the API server's audit log has it."""
        mark = self.sandbox.mark()
        ended = run()
        assert self.sandbox.writes(mark) == []
        assert ended.changed == 0
        return ended

    def all(self, group: str, version: str, plural: str) -> list[Json]:
        custom = kubernetes.client.CustomObjectsApi(self.client)
        try:
            return list(custom.list_cluster_custom_object(group, version, plural)["items"])
        except kubernetes.client.exceptions.NotFoundException:
            return []

    def taint_system_nodes(self, *taints: Json) -> None:
        core = kubernetes.client.CoreV1Api(self.client)
        for node in core.list_node(label_selector="kubernetes.azure.com/mode=system").items:
            core.patch_node(node.metadata.name, {"spec": {"taints": list(taints)}})

    def sweep(self) -> None:
        """What Helm, or somebody who used it, leaves in a cluster, and other tests would find."""
        self.taint_system_nodes()
        custom = kubernetes.client.CustomObjectsApi(self.client)
        for cluster in self.all("nvidia.com", "v1alpha1", "gpuclusters"):
            custom.patch_cluster_custom_object(
                "nvidia.com", "v1alpha1", "gpuclusters", cluster["metadata"]["name"], {"metadata": {"finalizers": None}}
            )
        kinds = kubernetes.client.ApiextensionsV1Api(self.client)
        for kind in kinds.list_custom_resource_definition().items:
            if kind.spec.group in ("nvidia.com", "nfd.k8s-sigs.io"):
                kinds.delete_custom_resource_definition(kind.metadata.name)
        roles = kubernetes.client.RbacAuthorizationV1Api(self.client)
        selector = {"label_selector": "app.kubernetes.io/component=gpu-operator"}
        roles.delete_collection_cluster_role_binding(**selector)
        roles.delete_collection_cluster_role(**selector)
        core = kubernetes.client.CoreV1Api(self.client)
        for node in core.list_node().items:
            gone = {name: None for name in node.metadata.labels if name.startswith(PREFIXES)}
            core.patch_node(node.metadata.name, {"metadata": {"labels": gone}})


@pytest.fixture
def helm(sandbox: Sandbox, ansible: Ansible, tmp_path: Path) -> Iterator[Helm]:
    person = Helm(sandbox, ansible, tmp_path)
    yield person
    person.sweep()


def discovered(sandbox: Sandbox) -> set[str]:
    """The labels of node feature discovery on the nodes."""
    nodes = kubernetes.client.CoreV1Api(kubernetes_client(sandbox)).list_node().items
    return {name for node in nodes for name in node.metadata.labels if name.startswith(PREFIXES[0])}


def test_gpu_operator(sandbox: Sandbox, helm: Helm) -> None:
    at_the_start = user_objects(sandbox)
    first = helm.scenario.done(OPERATOR)
    assert changed_tasks(helm.scenario.run("site", OPERATOR, check=True)) == []
    assert f"{sandbox.cluster} works" in shown(first)
    assert offered(sandbox, "nvidia.com/gpu") == ["1"]
    assert pools(sandbox)["gpunp"]["properties"]["gpuProfile"]["driver"] == "None"
    assert "daemonset/nvidia-device-plugin-gpunp" not in user_objects(sandbox)
    (policy,) = helm.all("nvidia.com", "v1", "clusterpolicies")
    assert policy["status"]["state"] == "ready"

    values = {**OPERATOR, "gpu_operator_values": {"devicePlugin": {"version": "v0.18.3"}}}
    upgraded = helm.scenario.run("site", values)
    assert changed_tasks(upgraded) == [RELEASE]
    kept = helm.scenario.run("cleanup", {**values, "cleanup_node_pool": False, "cleanup_device_plugin": True})
    assert "would lose their GPUs" in kept["Say why the operator is left"]["msg"]

    refused = helm.scenario.run("site", {"node_pool_name": "other"}, fails=True)
    assert "ClusterPolicy cluster-policy" in " ".join(refused.failures)
    assert refused.changed == 0
    # The namespace goes too, though it holds the Lease of the operator, which nobody removes, and for a moment what the
    # ClusterPolicy owned.
    helm.scenario.cleaned(values, at_the_start, predict=True)
    assert helm.releases() == []
    assert discovered(sandbox) == set()  # the post-delete hook has run
    assert changed_tasks(helm.scenario.run("cleanup", values)) == []
    assert changed_tasks(helm.scenario.run("cleanup", values, check=True)) == []


def test_a_foreign_gpu_operator_is_used_and_left(sandbox: Sandbox, helm: Helm, ansible: Ansible) -> None:
    """By NVIDIA's own names, which are the role's defaults. It does not need Helm."""
    everywhere = [{"operator": "Exists"}]  # the GPU pool has a taint of its own
    helm.install({"daemonsets.tolerations": everywhere, "node-feature-discovery.worker.tolerations": everywhere})
    at_the_start = user_objects(sandbox) | {
        "daemonset/nvidia-driver-daemonset", "daemonset/nvidia-container-toolkit-daemonset",
        "daemonset/nvidia-operator-validator", "daemonset/nvidia-device-plugin-daemonset",
        "daemonset/gpu-feature-discovery", "daemonset/nvidia-dcgm-exporter",
    }  # fmt: skip
    before = helm.releases()
    bare = Scenario(sandbox, ansible)
    assert f"{sandbox.cluster} works" in shown(bare.run("site", {"gpu_stack": "operator"}))
    cleaned = bare.cleaned({"gpu_stack": "operator"}, at_the_start)
    assert "it is left as it is" in cleaned["Say why the operator is left"]["msg"]
    assert helm.releases() == before
    namespace = kubernetes.client.CoreV1Api(helm.client).read_namespace("gpu-operator")
    assert "aks.gpu/created-by" not in (namespace.metadata.annotations or {})


DRA = {"clusterPolicy.deployCR": False, "gpuCluster.deployCR": True}
BARE = {"clusterPolicy.deployCR": False}


@pytest.mark.parametrize(
    ("values", "place", "says"),
    [
        # NVIDIA/gpu-operator#2571, #2696: by DRA
        pytest.param(DRA, "gpu-operator", "GPUCluster gpu-cluster", id="GPUCluster"),
        pytest.param(DRA, "theirs", "Deployment theirs/gpu-operator", id="GPUCluster of another release"),
        # values.yaml of v26.7.0: either may be false
        pytest.param(
            BARE, "gpu-operator", "Helm release gpu-operator/gpu-operator (deployed)", id="no custom resource"
        ),
        pytest.param(BARE, "theirs", "Deployment theirs/gpu-operator", id="another release without one"),
    ],
)
def test_a_foreign_release_is_refused_before_anything_is_written(
    sandbox: Sandbox, helm: Helm, values: Json, place: str, says: str
) -> None:
    helm.install(values, place, place)
    before, objects = helm.releases(), user_objects(sandbox)
    for check in (True, False):
        refused = helm.unchanged(lambda check=check: helm.role(check=check, fails=True))  # type: ignore[misc]
        (message,) = refused.failures
        assert says in message
        assert message.endswith("Nothing was changed.")
        left = helm.unchanged(lambda check=check: helm.role("absent", check=check))  # type: ignore[misc]
        assert "it is left as it is" in left["Say why the operator is left"]["msg"]
    assert helm.releases() == before
    assert user_objects(sandbox) == objects


def test_site_and_cleanup_leave_a_foreign_release(sandbox: Sandbox, helm: Helm) -> None:
    """The finding: site marked the namespace and upgraded the release, cleanup uninstalled it."""
    helm.install(DRA)
    before = helm.releases()
    mark = sandbox.mark()
    refused = helm.scenario.run("site", OPERATOR, fails=True)
    assert "GPUCluster gpu-cluster" in " ".join(refused.failures)
    assert sandbox.writes(mark) == []
    helm.scenario.run("cleanup", OPERATOR)
    assert helm.releases() == before
    values = json.loads(helm.run("get", "values", "gpu-operator", "--namespace=gpu-operator", "--output=json"))
    assert values == {"clusterPolicy": {"deployCR": False}, "gpuCluster": {"deployCR": True}}


def test_what_is_left_of_an_operator_is_refused(helm: Helm) -> None:
    """A ClusterPolicy without an operator: Helm takes over nothing that it has not made (NVIDIA/gpu-operator#530)."""
    helm.install({"operator.cleanupCRD": True})  # with it the chart has Helm keep the ClusterPolicy
    helm.run("uninstall", "gpu-operator", "--namespace=gpu-operator", "--wait")
    assert len(helm.all("nvidia.com", "v1", "clusterpolicies")) == 1
    (message,) = helm.unchanged(lambda: helm.role(fails=True)).failures
    assert "ClusterPolicy cluster-policy" in message
    assert "No operator runs that would obey it" in message


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"gpu_operator_helm": "/no/such/helm"}, "there is no /no/such/helm: install it"),
        ({"gpu_operator_values": {"gpuCluster": {"deployCR": True}}}, "gpuCluster.deployCR: true lets the operator"),
        ({"gpu_operator_values": {"devicePlugin": {"config": {"create": True}}}}, "devicePlugin.config"),
        ({"gpu_operator_chart": "/no/such/chart"}, "/no/such/chart"),
        ({"gpu_operator_release": "GPU"}, "'GPU' is not a valid name of a Helm release"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(helm: Helm, more: Json, says: str) -> None:
    """The third is refused by NVIDIA's chart, templates/validations.yaml of v26.7.0."""
    for check in (True, False):
        refused = helm.unchanged(lambda check=check: helm.role(check=check, fails=True, **more))  # type: ignore[misc]
        assert says in " ".join(refused.failures)


def test_a_tainted_system_pool(sandbox: Sandbox, helm: Helm) -> None:
    """Every Deployment and hook tolerates it: installed, upgraded, removed, with the namespace."""
    helm.taint_system_nodes(TAINT)
    at_the_start = user_objects(sandbox)
    assert helm.role(check=True).changed == 2
    assert helm.role().changed == 2
    assert helm.role().changed == 0
    assert helm.role(check=True).changed == 0
    assert helm.role(gpu_operator_values={"driver": {"version": "580.95.06"}}).changed == 1
    (release,) = helm.releases()
    assert (release["revision"], release["status"]) == ("2", "deployed")
    assert helm.role("absent", check=True).changed > 0
    assert helm.role("absent").changed > 0
    assert user_objects(sandbox) == at_the_start
    assert helm.role("absent").changed == 0
    assert helm.role("absent", check=True).changed == 0


def test_a_pod_that_no_node_takes_is_told(helm: Helm) -> None:
    """Instead of three tries of ten minutes; the next run goes on from there, by an upgrade with its hook."""
    helm.taint_system_nodes(TAINT)
    began = time.monotonic()
    failed = helm.role(fails=True, gpu_operator_values=NO_TOLERATION, gpu_operator_grace=3)
    assert time.monotonic() - began < 90
    (message,) = failed.failures
    assert "Helm waits for a Pod that does not come, and was stopped." in message
    assert "untolerated taint" in message
    assert "Pod gpu-operator/gpu-operator-" in message
    assert "tolerations to the values of the chart" in message
    assert "Pods ready; Pod gpu-operator/" in failed.output  # progress
    (release,) = helm.releases()
    assert release["status"] == "failed"
    # The Pending Pods of before do not end this one.
    assert helm.role(gpu_operator_grace=3).changed == 1
    assert helm.releases()[0]["status"] == "deployed"
    assert helm.role("absent").changed > 0


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"gpu_operator_grace": 3}, "Helm waits for a Pod that does not come, and was stopped."),
        ({"gpu_operator_wait_timeout": 5}, "Helm says: "),  # kubernetes.core.helm hands no timeout to `helm uninstall`
    ],
)
def test_a_removal_does_not_hang_in_a_hook(sandbox: Sandbox, helm: Helm, limits: Json, says: str) -> None:
    """The pre-delete hook of cleanup_gpucluster.yaml; projectcalico/calico#9220, kyverno/kyverno#7843 report such."""
    at_the_start = user_objects(sandbox)
    helm.role(gpu_operator_values=NO_TOLERATION)
    helm.taint_system_nodes(TAINT)
    began = time.monotonic()
    failed = helm.role("absent", fails=True, **limits)
    assert time.monotonic() - began < 90
    (message,) = failed.failures
    assert says in message
    assert "Pod gpu-operator/gpu-operator-cleanup-gpucluster-" in message
    assert "untolerated taint" in message
    helm.taint_system_nodes()
    assert helm.role("absent").changed > 0
    assert helm.releases() == []
    assert user_objects(sandbox) == at_the_start


def test_a_killed_helm_is_taken_over(helm: Helm) -> None:
    """helm/helm#8987, #10549: "another operation (install/upgrade/rollback) is in progress", for good."""
    helm.role()
    helm.taint_system_nodes(TAINT)
    given = [f"--set-json={key}={json.dumps(value)}" for key, value in NO_TOLERATION.items()]
    words = ["upgrade", "gpu-operator", str(CHART), "--namespace=gpu-operator", "--wait", *given]
    with subprocess.Popen(helm.command(*words), env={**os.environ, **helm.homes}) as process:
        wait_until(lambda: helm.releases()[0]["status"] == "pending-upgrade")
        process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    values = {"driver": {"version": "1.2.3"}}
    waited = helm.role(fails=True, gpu_operator_wait_timeout=30, gpu_operator_values=values)
    assert "pending-upgrade since" in waited.failures[0]
    time.sleep(max(0.0, 95 - (time.monotonic() - killed)))  # older than what Helm may take, and some seconds
    assert helm.role(gpu_operator_wait_timeout=60, gpu_operator_values=values).changed == 1
    assert helm.releases()[0]["status"] == "deployed"
    (policy,) = helm.all("nvidia.com", "v1", "clusterpolicies")
    assert policy["spec"]["driver"]["version"] == "1.2.3"


def test_kinds_of_an_older_chart_are_brought_up_to_date(helm: Helm) -> None:
    """NVIDIA/gpu-operator#431, #342: a chart meets the kinds that Helm has left of an older one."""
    (kind,) = yaml.safe_load_all((CHART / "crds" / "clusterpolicies.yaml").read_text())
    fields = kind["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del fields["dcgmExporter"]
    kubernetes.client.ApiextensionsV1Api(helm.client).create_custom_resource_definition(kind)
    assert helm.role().changed == 2
    (policy,) = helm.all("nvidia.com", "v1", "clusterpolicies")
    assert policy["spec"]["dcgmExporter"] == {"version": "4.9.0"}
    assert helm.role().changed == 0


def test_helm_acts_as_the_kubeconfig_says(helm: Helm) -> None:
    """`as` of a kubeconfig, as kubernetes-client/python#362 has it: this user may read nothing of the operator."""
    config = yaml.safe_load(helm.kubeconfig.read_text())
    config["users"][0]["user"] |= {"as": "nobody", "as-groups": ["system:authenticated"]}
    helm.kubeconfig.write_text(yaml.safe_dump(config))
    refused = helm.unchanged(lambda: helm.role(fails=True))
    assert 'User "nobody" cannot' in " ".join(refused.failures)


def wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.2)
