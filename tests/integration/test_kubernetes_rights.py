# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes rights that docs/ gives are enough for every playbook, and each of them is needed and missed by name.

The pages are the source: their YAML is applied as it stands, with a service account as its subject.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest
import yaml
from aks_sandbox.testing import Sandbox
from harness import Ansible, Json, PlaybookRun, clean, reset
from module_runner import Running
from monitoring_harness import Monitored, eventually, monitoring_environment
from rights_harness import Grant, Rights, documented, grants, rights
from test_kubernetes_waits import PLUGIN, POOL, Cluster

MAIN, MONITORING = "azure.md", "metrics.md"
PLUGIN_HOME = "gpu-resources"
OWN = {"aks.gpu/created-by": "aks.gpu"}


def forbidden(run: PlaybookRun) -> list[str]:
    """What a run was not let see or do, by what it tells."""
    unseen = [
        f"{each.task}: {each.result['not_looked_at']}" for each in run.results if each.result.get("not_looked_at")
    ]
    return unseen + [line for line in run.output.splitlines() if "forbidden" in line.lower()]


def test_they_are_enough(sandbox: Sandbox, ansible: Ansible, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For site, verify, metrics and cleanup, with what asks for most: a workload with files, and shared GPUs."""
    variables: Json = {
        "mnist_workload": "digits",
        "device_plugin_sharing": "time_slicing",
        "device_plugin_sharing_replicas": 2,
    }
    environment = monitoring_environment(sandbox)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    sandbox.set(metrics_interval_seconds=0.5)
    monitored = Monitored(sandbox)
    monitored.workspace("logs-one")
    on = monitored.run("monitoring", container_insights=True, workspace="logs-one")
    assert not on["failed"], on["msg"]
    with rights(sandbox, tmp_path, MAIN) as account:
        where = {"aks_resource_group": sandbox.resource_group, "aks_cluster_name": sandbox.cluster}
        values = {**where, "aks_kubeconfig": account.kubeconfig, **variables}

        def play(name: str, *, check: bool = False, **more: Any) -> int:
            mark = account.mark()
            run = ansible.playbook(f"aks.gpu.{name}", {**values, **more}, check=check, environment=environment)
            sent = account.sent(mark)
            assert sent, "nothing went through the gateway, so nothing is proved"
            assert [each for each in sent if each["status"] in (401, 403)] == []
            assert forbidden(run) == []
            return run.changed

        assert play("site", check=True)
        assert play("site")
        assert play("site") == 0
        play("verify")
        play("verify", check=True)
        eventually(lambda: monitored.metrics(since="5m")["clusters"][0]["capacity"], 40)
        metrics: Json = {"gpu_monitoring_verify": True, "gpu_verify_evidence_directory": str(tmp_path / "evidence")}
        play("metrics", **metrics)
        play("metrics", check=True, **metrics)
        assert play("cleanup", check=True)
        assert play("cleanup")
        left = account.core.list_namespaced_config_map(PLUGIN_HOME).items
        assert [found.metadata.name for found in left] == ["kube-root-ca.crt"]
    monitored.forget()


def test_they_are_enough_for_the_exporter(
    sandbox: Sandbox, ansible: Ansible, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role gpu_monitoring, with the rights of its own page and those of the main job."""
    environment = monitoring_environment(sandbox)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monitored = Monitored(sandbox)
    monitored.account("metrics-one")
    with rights(sandbox, tmp_path, MAIN, MONITORING) as account:
        values = {
            "aks_resource_group": sandbox.resource_group,
            "aks_cluster_name": sandbox.cluster,
            "aks_kubeconfig": account.kubeconfig,
            "gpu_monitoring_container_insights": "keep",
            "gpu_monitoring_prometheus": True,
            "gpu_monitoring_azure_monitor_workspace": "metrics-one",
        }

        def play(entry: str, *, check: bool = False, **more: Any) -> int:
            role = {"name": "aks.gpu.gpu_monitoring", "tasks_from": entry}
            task = {"name": "Monitor", "ansible.builtin.import_role": role}
            mark = account.mark()
            plays = [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]
            run = ansible.playbook(plays, {**values, **more}, check=check, environment=environment)
            assert [each for each in account.sent(mark) if each["status"] in (401, 403)] == []
            assert forbidden(run) == []
            return run.changed

        assert play("main", check=True)
        assert play("main")
        assert [play("main"), play("main", check=True)] == [0, 0]
        assert play("main", gpu_stack="managed")
        assert play("remove", check=True)
        assert play("remove")
        assert [play("remove"), play("remove", check=True)] == [0, 0]
        where = ("azmonitoring.coreos.com", "v1", "gpu-monitoring", "podmonitors")
        objects = kubernetes.client.CustomObjectsApi(account.core.api_client)
        assert objects.list_namespaced_custom_object(*where)["items"] == []
    monitored.forget()


# One right less ------------------------------------------------------------------------------------------------------


@dataclass
class Place:
    """A cluster with a GPU node that has no device plugin, and a service account with the rights of the main job.

    Attributes:
        cluster: The cluster, as its administrator.
        account: The service account.
        made: How many objects were made for it.
    """

    cluster: Cluster
    account: Rights
    made: int = field(default=0)

    def run(self, module: str, *, check: bool = False, **options: Any) -> Json:
        """Run a module as the service account; what it showed while it waited is in ``lines``."""
        running = Running(module, {"kubeconfig": self.account.kubeconfig, **options}, check=check)
        return {**running.result(), "lines": [line for _time, line in running.lines]}

    def look(self) -> Json:
        return self.run("wait_for_gpus", check=True, node_pool=POOL)

    def wait(self) -> Json:
        return self.run("wait_for_gpus", node_pool="nobody", wait_timeout=2)

    def namespace(self) -> Json:
        found = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLUGIN_HOME}}
        return self.run("manifest", check=True, definition=found)

    def apply(self, grant: Grant) -> Json:
        return self.run("manifest", check=True, definition=self.manifest(grant))

    def remove(self, grant: Grant) -> Json:
        """Of something that stays until its finalizer is gone."""
        found = self.manifest(grant)
        found["metadata"].update(annotations=OWN, finalizers=["example.com/held"])
        name, where = found["metadata"]["name"], ("--namespace", grant.namespace, grant.resource)
        self.cluster.sandbox.kubectl("create", "--filename=-", stdin=yaml.safe_dump(found))
        try:
            options: Json = {"definition": found, "state": "absent", "only_created_by_us": True, "wait_timeout": 2}
            return self.run("manifest", check=grant.verb == "delete", **options)
        finally:
            patch = '--patch={"metadata": {"finalizers": null}}'
            self.cluster.sandbox.kubectl("patch", *where, name, "--type=merge", patch)
            self.cluster.sandbox.kubectl("delete", "--ignore-not-found", *where, name)

    def job(self, grant: Grant) -> Json:
        """A Job that never ends: nothing offers a GPU."""
        self.made += 1
        options = self.cluster.job(f"work-{self.made}")
        return self.run("wait_for_job", name=options["name"], namespace=grant.namespace, wait_timeout=2)

    def log_of_job(self, grant: Grant) -> Json:
        self.made += 1
        name = f"short-{self.made}"
        container = {"name": "c", "image": "example.invalid/short:1"}
        spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
        self.cluster.batch.create_namespaced_job(grant.namespace, {"metadata": {"name": name}, "spec": spec})
        options: Json = {"name": name, "namespace": grant.namespace, "wait_timeout": 30}
        return self.run("wait_for_job", **options, log_pattern="PASSED")

    def log_of_plugin(self, grant: Grant) -> Json:
        self.cluster.sandbox.set(image_faults={"*device-plugin*": "crash"})
        body = {**PLUGIN, "metadata": {"name": "plugin", "namespace": grant.namespace}}
        self.cluster.apps.create_namespaced_daemon_set(grant.namespace, body)
        try:
            return self.run("wait_for_gpus", node_pool=POOL, wait_timeout=30, grace=1)
        finally:
            self.cluster.apps.delete_namespaced_daemon_set("plugin", grant.namespace)
            self.cluster.sandbox.set(image_faults={})

    def manifest(self, grant: Grant) -> Json:
        self.made += 1
        pod: Json = {"containers": [{"name": "c", "image": "example.invalid/none:1"}]}
        labels = {"app": "rights"}
        template: Json = {"metadata": {"labels": labels}, "spec": pod}
        specs: dict[str, Json] = {
            "configmaps": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}},
            "jobs": {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "spec": {"suspend": True, "template": {"spec": {**pod, "restartPolicy": "Never"}}},
            },
            "daemonsets": {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "spec": {"selector": {"matchLabels": labels}, "template": template},
            },
        }
        return {**specs[grant.resource], "metadata": {"name": f"rights-{self.made}", "namespace": grant.namespace}}


COLLECTIONS = {
    "daemonsets": "daemon_sets",
    "pods": "pods",
    "events": "events",
    "clusterpolicies": "cluster_policies",
    "gpuclusters": "gpu_clusters",
    "resourceslices": "resource_slices",
    "resourceclaims": "resource_claims",
}
"""What wait_for_gpus calls what it can do without."""


def way_of(grant: Grant, place: Place) -> Callable[[], Json]:
    """What cannot be done, or not be told, without a right."""
    if grant.resource == "namespaces":
        return place.namespace
    if grant.role == "ClusterRole":
        return place.look if grant.verb == "list" else place.wait
    if grant.resource == "pods/log":
        return lambda: (place.log_of_job if grant.namespace == "default" else place.log_of_plugin)(grant)
    if grant.verb in ("get", "patch", "create"):
        return lambda: place.apply(grant)
    if grant.resource == "jobs" and grant.verb != "delete":
        return lambda: place.job(grant)
    return lambda: place.remove(grant)


def custom_resource(plural: str, kind: str, version: str) -> Json:
    """A CustomResourceDefinition of NVIDIA's GPU Operator, as far as lists and watches need it."""
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    served = {"name": version, "served": True, "storage": True, "schema": schema}
    spec = {"group": "nvidia.com", "scope": "Cluster", "names": names, "versions": [served]}
    metadata = {"name": f"{plural}.nvidia.com"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": spec,
    }


OPERATOR = [
    custom_resource("clusterpolicies", "ClusterPolicy", "v1"),
    custom_resource("gpuclusters", "GPUCluster", "v1alpha1"),
]


@pytest.fixture(scope="module")
def place(shared_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    reset(shared_sandbox)
    folder = tmp_path_factory.mktemp("rights")
    (folder / "config").write_text(shared_sandbox.kubeconfig())
    cluster = Cluster(shared_sandbox, str(folder / "config"))
    cluster.create_pool()
    shared_sandbox.set(generic_pod_seconds=0.2)
    definitions = yaml.safe_dump_all(OPERATOR)
    shared_sandbox.kubectl("apply", "--filename=-", stdin=definitions)
    shared_sandbox.kubectl("wait", "--for=condition=Established", "--all", "crds", "--timeout=30s")
    with rights(shared_sandbox, folder, MAIN) as account:
        yield Place(cluster, account)
    shared_sandbox.kubectl("delete", "--filename=-", stdin=definitions)
    clean(shared_sandbox)


@pytest.mark.parametrize("grant", grants(documented(MAIN)), ids=str)
def test_each_is_missed_by_name(place: Place, grant: Grant) -> None:
    """A right that nothing misses is one too many; one that is missed is named, and never counts as "there is none"."""
    with place.account.lacking(grant):
        result = way_of(grant, place)()
    assert json.dumps(grant.words)[1:-1] in json.dumps(result), result
    if grant.role == "ClusterRole" and grant.verb == "list" and grant.resource in COLLECTIONS:
        assert not result["failed"]
        assert result["not_looked_at"] == [COLLECTIONS[grant.resource]]
    else:
        assert result["failed"], result


def test_nothing_is_missed_with_all_of_them(place: Place) -> None:
    """Else the test before would pass whatever is taken away."""
    ways = {(each.namespace, each.resource, each.verb): way_of(each, place) for each in place.account.grants}
    everything = [
        place.look(),
        place.wait(),
        place.namespace(),
        ways["default", "jobs", "watch"](),
        ways["default", "pods/log", "get"](),
        ways["gpu-resources", "pods/log", "get"](),
        ways["gpu-resources", "daemonsets", "create"](),
        ways["gpu-resources", "daemonsets", "delete"](),
        ways["gpu-resources", "configmaps", "watch"](),
    ]
    missed = [re.findall(".{,99}forbidden.{,299}", json.dumps(result)) for result in everything]
    assert missed == [[] for _result in everything]
