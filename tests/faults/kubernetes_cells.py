# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cells of the fault matrix with requests to an API server: a gateway before a real one breaks them.

The jobs are the parts of the main job that talk to Kubernetes; `far` is a wait by AKS's run-command, whose requests go
to Azure. Each wait has rows of its own for what it lists and watches. However a cell ends, there is one DaemonSet, one
Job, and no probe that nobody removes.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes
import yaml
from aks_sandbox.testing import Sandbox
from fault_runs import ALLOWANCE_SECONDS, DEADLINE_SECONDS, LIMIT_SECONDS, Fault, Outcome, run_cell
from harness import kubernetes_client

from playbooks import Ansible

Json = dict[str, Any]

POOL = "gpunp"
PLUGIN = "plugin"
PLUGIN_NAMESPACE = "gpu-resources"
WORK = "work"
TOLERATION = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
PATIENCE_SECONDS = 35.0
"""After which a request without an answer is made again by a module that has no deadline of its own."""

AZURE_PATIENCE_SECONDS = 60.0
"""As above, of a request to Azure."""

SETTINGS: Json = {
    "api_server_gateway": True,
    "clock_speed": 20.0,
    "node_join_seconds": 0.0,
    "node_ready_seconds": 0.2,
    "gpu_registration_seconds": 0.1,
    "image_pull_seconds": 0.0,
    "pod_termination_seconds": 0.0,
    "workload_seconds": 0.5,
    "generic_pod_seconds": 0.3,
}


def daemon_set(namespace: str) -> Json:
    """NVIDIA's device plugin."""
    path = "/var/lib/kubelet/device-plugins"
    container = {
        "name": "plugin",
        "image": "mcr.microsoft.com/oss/v2/nvidia/k8s-device-plugin:v0.18.2",
        "volumeMounts": [{"name": "device-plugins", "mountPath": path}],
    }
    pod = {
        "tolerations": [TOLERATION],
        "nodeSelector": {"kubernetes.azure.com/accelerator": "nvidia"},
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": "device-plugins", "hostPath": {"path": path}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": PLUGIN, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"name": PLUGIN}},
            "template": {"metadata": {"labels": {"name": PLUGIN}}, "spec": pod},
        },
    }


def job(image: str = "mcr.microsoft.com/azuredocs/samples-tf-mnist-demo:gpu") -> Json:
    """The article's training."""
    container = {
        "name": WORK,
        "image": image,
        "args": ["--max_steps", "100"],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    pod = {"restartPolicy": "OnFailure", "tolerations": [TOLERATION], "containers": [container]}
    metadata = {"name": WORK, "namespace": "default"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": {"spec": pod}}}


def objects_of_plugin(namespace: str) -> list[Json]:
    """The device plugin, its settings, and the namespace that holds them."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": PLUGIN, "namespace": namespace}},
        daemon_set(namespace),
    ]


class Cluster:
    """A sandbox's cluster with one GPU node, whose kubeconfig leads through the gateway."""

    def __init__(self, sandbox: Sandbox, folder: Path, ansible: Ansible) -> None:
        self.sandbox = sandbox
        self.kubeconfig = str(folder / "kubeconfig")
        self.far = str(folder / "far")
        variables = sandbox.variables
        self.owner = {
            "client_id": variables["AKS_SANDBOX_OWNER_CLIENT_ID"],
            "secret": variables["AKS_SANDBOX_OWNER_SECRET"],
        }
        client = kubernetes_client(sandbox)
        self.core = kubernetes.client.CoreV1Api(client)
        self.apps = kubernetes.client.AppsV1Api(client)
        self.batch = kubernetes.client.BatchV1Api(client)
        where = {"resource_group": sandbox.resource_group, "cluster_name": sandbox.cluster}
        pool = {**where, "name": POOL, "vm_size": "Standard_NC4as_T4_v3", "count": 1}
        ran = ansible.run(
            [
                {"name": "pool", "aks.gpu.node_pool": {**pool, "node_taints": ["sku=gpu:NoSchedule"]}},
                {"name": "kubeconfig", "aks.gpu.kubeconfig": {**where, "path": self.kubeconfig}},
                {
                    "name": "far",
                    "aks.gpu.kubeconfig": {**where, "path": self.far, "run_command": "always", **self.owner},
                },
            ]
        )
        assert ran.status == 0, ran.output
        self.plugged = False
        self.namespaces = 0

    def namespace(self) -> str:
        """A namespace's name that no cell before has used, for they go away too slowly to be waited for."""
        for item in self.apps.list_daemon_set_for_all_namespaces().items:
            if item.metadata.namespace.startswith(PLUGIN_NAMESPACE):
                self.apps.delete_namespaced_daemon_set(item.metadata.name, item.metadata.namespace)
                self.core.delete_namespace(item.metadata.namespace)
        self.namespaces += 1
        return f"{PLUGIN_NAMESPACE}-{self.namespaces}"

    def plug(self, *, there: bool) -> None:
        """A device plugin for the GPU node that outlasts cells; or none."""
        if there and not self.plugged:
            self.apps.create_namespaced_daemon_set("default", daemon_set("default"))
            self.until(lambda: "nvidia.com/gpu" in self.gpu_node().status.allocatable)
        if self.plugged and not there:
            self.apps.delete_namespaced_daemon_set(PLUGIN, "default", propagation_policy="Foreground")
        self.plugged = there

    def gpu_node(self) -> Any:
        return self.core.list_node(label_selector=f"kubernetes.azure.com/agentpool={POOL}").items[0]

    def probes(self) -> list[Any]:
        jobs = self.batch.list_namespaced_job("default").items
        return [item for item in jobs if item.metadata.name.startswith("gpu-probe")]

    def remove_jobs(self) -> None:
        self.batch.delete_collection_namespaced_job("default", propagation_policy="Background", grace_period_seconds=0)
        self.core.delete_collection_namespaced_pod(
            "default", label_selector="batch.kubernetes.io/job-name", grace_period_seconds=0
        )
        self.until(lambda: not self.batch.list_namespaced_job("default").items)

    def make(self, namespace: str) -> None:
        """What the main job makes, as if it had made it."""
        objects = [*objects_of_plugin(namespace), job()]
        for each in objects:
            each["metadata"]["annotations"] = {"aks.gpu/created-by": "aks.gpu"}
        self.sandbox.kubectl(
            "apply", "--server-side", "--field-manager=aks.gpu", "--filename=-", stdin=yaml.safe_dump_all(objects)
        )

    @staticmethod
    def until(condition: Any, seconds: float = 30.0) -> None:
        """Wait for something."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "what the cell needs does not come"
            time.sleep(0.05)

    def mark(self) -> int:
        """The end of the record of requests."""
        record = self.sandbox.state.path / "kubernetes.jsonl"
        return record.stat().st_size if record.exists() else 0

    def sent(self, mark: int) -> list[Json]:
        """Requests through the gateway since a mark."""
        record = self.sandbox.state.path / "kubernetes.jsonl"
        if not record.exists():
            return []
        with record.open("rb") as file:
            file.seek(mark)
            return [json.loads(line) for line in file]


@dataclass(frozen=True)
class Part:
    """A part of the main job.

    Attributes:
        name: prove | train | plug | remove | far.
    """

    name: str

    def tasks(self, cluster: Cluster, namespace: str) -> list[Json]:
        """As in a playbook."""
        access = {"kubeconfig": cluster.kubeconfig}
        waits = {**access, "wait_timeout": DEADLINE_SECONDS}
        far = {**waits, **cluster.owner, "kubeconfig": cluster.far}
        plugin = objects_of_plugin(namespace)
        removal = {**waits, "state": "absent", "only_created_by_us": True, "only_if_empty": True}
        tasks: dict[str, list[Json]] = {
            "plug": [
                {"name": "look", "aks.gpu.wait_for_gpus": access, "check_mode": True},
                {"name": "Job", "aks.gpu.manifest": {**access, "definition": job()}, "check_mode": True},
                {"name": "plugin", "aks.gpu.manifest": {**access, "definition": plugin}},
            ],
            "prove": [
                {"name": "GPUs", "aks.gpu.wait_for_gpus": {**waits, "node_pool": POOL}},
                {"name": "probe", "aks.gpu.gpu_probe": {**waits, "node_pool": POOL}},
            ],
            "train": [
                {"name": "Job", "aks.gpu.manifest": {**access, "definition": job(), "recreate_immutable": True}},
                {"name": "result", "aks.gpu.wait_for_job": {**waits, "name": WORK}},
            ],
            "remove": [
                {"name": "Job", "aks.gpu.manifest": {**removal, "definition": job()}},
                {"name": "plugin", "aks.gpu.manifest": {**removal, "definition": plugin}},
            ],
            "far": [{"name": "result", "aks.gpu.wait_for_job": {**far, "name": WORK}}],
        }
        return tasks[self.name]

    def prepare(self, cluster: Cluster) -> str:
        """Bring about what is there before the part; returns the namespace of the device plugin."""
        cluster.sandbox.clear_faults()
        cluster.remove_jobs()
        cluster.plug(there=self.name in ("prove", "train", "far"))
        namespace = cluster.namespace()
        if self.name == "remove":
            cluster.make(namespace)
        if self.name == "far":
            cluster.sandbox.kubectl("create", "--filename=-", stdin=yaml.safe_dump(job()))
        return namespace


PARTS = tuple(Part(name) for name in ("prove", "train", "plug", "remove", "far"))
WAITS = ("train", "remove")
"""Parts with a wait of their own for what an earlier part lists and watches as well."""

COLLECTIONS = ("nodes", "pods", "daemonsets", "events", "jobs", "namespaces", "configmaps")
CONTENTS = "list contents of a namespace"
"""One kind for the many lists that tell whether a namespace is empty."""

OF_A_NAMESPACE = " of a namespace"
COMMANDS: dict[str, Json] = {
    "run a command": {"method": "POST", "path": "/runCommand"},
    "run another command": {"method": "POST", "path": "/runCommand", "nth": 2},
    "read its result": {"method": "GET", "path": "/commandResults/"},
}
"""What a look by AKS's run-command asks of Azure."""


def kind_of(method: str, url: str) -> str:
    """What a request is: a verb and a kind of objects."""
    path, _mark, query = url.partition("?")
    if re.fullmatch(r"/apis?(/v1|/[a-z0-9.]+/v\d\w*)?", path):
        return "discover"
    if path.endswith("/log"):
        return "follow log" if "follow=true" in query else "read log"
    parts = path.split("/")[3:] if path.startswith("/api/") else path.split("/")[4:]
    in_namespace = parts[0] == "namespaces" and len(parts) > 2
    parts = parts[2:] if in_namespace else parts
    what, named = parts[0], len(parts) > 1
    if method == "PATCH":
        return f"{'predict' if 'dryRun' in query else 'apply'} {what}"
    if method == "DELETE":
        return f"delete {what}"
    if named:
        return f"get {what}"
    where = OF_A_NAMESPACE if in_namespace else ""
    if "watch=true" in query:
        return f"watch {what}{where}"
    if in_namespace and "Selector" not in query:
        return CONTENTS
    return f"list {what}{where}"


def rule_of(kind: str) -> Json:
    """Method and path of the sandbox's rule for a kind of request."""
    if kind in COMMANDS:
        return COMMANDS[kind]
    verb, _space, what = kind.partition(" ")
    what, namespaced, _rest = what.partition(OF_A_NAMESPACE)
    base = rf"/namespaces/[^/]+/{what}\?" if namespaced else rf"/v\d\w*/{what}\?"
    if kind == "discover":
        return {"method": "GET", "path": r"^/apis?(/v1|/[a-z0-9.]+/v\d\w*)?$"}
    if kind == CONTENTS:
        return {"method": "GET", "path": r"/namespaces/[^/]+/[a-z]+\?(?!.*Selector)"}
    if what == "log":
        return {"method": "GET", "path": r"/log\?.*follow=true" if verb == "follow" else r"/log\?(?!.*follow=true)"}
    paths = {
        "watch": rf"{base}.*watch=true",
        "list": rf"{base}(?!.*watch=true)(?=.*Selector)" if namespaced else rf"{base}(?!.*watch=true)",
        "get": rf"/{what}/[^/?]+$",
        "predict": rf"/{what}/[^/?]+\?.*dryRun",
        "apply": rf"/{what}/[^/?]+\?(?!.*dryRun)",
        "delete": rf"/{what}/[^/?]+(\?.*)?$",
    }
    return {"method": {"predict": "PATCH", "apply": "PATCH", "delete": "DELETE"}.get(verb, "GET"), "path": paths[verb]}


FAULTS = (
    Fault("429 after", {"status": 429, "headers": {"Retry-After": "1"}, "times": 2}),
    Fault("429", {"status": 429, "times": 2}),
    Fault("500", {"status": 500, "times": 2}),
    Fault("503", {"status": 503, "times": 2}),
    Fault("reset before", {"reset": "before"}),
    Fault("reset after", {"reset": "after"}),
    Fault("hang", {"hang": 600}),
    Fault("409", {"in_progress": True}, ("the object has been modified",), "write"),
    Fault("410", {"status": 410}, (), "watch"),
    Fault("expired", {"expired_token": True}, ("does not accept the credentials",)),
    Fault("killed", {"hang": 2}, kill=True),
)


def applies(fault: Fault, request: str) -> bool:
    """Can this request be broken in this way?"""
    verb = request.partition(" ")[0]
    return {"": True, "write": verb in ("apply", "predict", "delete"), "watch": verb == "watch"}[fault.only]


def requests_of(part: Part, cluster: Cluster, ansible: Ansible) -> list[str]:
    """The kinds of requests that a part makes, found by running it."""
    tasks = part.tasks(cluster, part.prepare(cluster))
    mark = cluster.mark()
    ran = ansible.run(tasks, limit=LIMIT_SECONDS)
    assert ran.status == 0, ran.output
    if part.name == "far":
        return list(COMMANDS)
    return list(dict.fromkeys(kind_of(entry["method"], entry["url"]) for entry in cluster.sent(mark)))


def has_row(part: Part, request: str, known: set[str]) -> bool:
    """Is a part's request a row of the table? Each kind has one, and each wait has its own for what it follows."""
    return request not in known or (
        part.name in WAITS and request.startswith(("list ", "watch ")) and request != CONTENTS
    )


def requests_of_main_job(cluster: Cluster, ansible: Ansible, folder: Path) -> set[str]:
    """The kinds of requests that aks.gpu.site and aks.gpu.cleanup make."""
    cluster.plug(there=False)
    cluster.remove_jobs()
    cluster.namespace()
    cluster.until(lambda: not cluster.apps.list_daemon_set_for_all_namespaces().items)
    mark = cluster.mark()
    coordinates = {
        "aks_subscription_id": cluster.sandbox.subscription,
        "aks_resource_group": cluster.sandbox.resource_group,
        "aks_cluster_name": cluster.sandbox.cluster,
    }
    for playbook in ("site", "cleanup"):
        command = ["ansible-playbook", f"aks.gpu.{playbook}", "-e", json.dumps(coordinates)]
        own = folder / playbook
        own.mkdir()
        keep = ["-e", "cleanup_node_pool=false", "-e", "cleanup_device_plugin=true", "-e", "node_pool_preflight=false"]
        keep += ["-e", "device_plugin_keep_while_used=false"]
        ran = ansible.command([*command, *keep], own, 300, {})
        assert ran.status == 0, ran.output
    return {kind_of(entry["method"], entry["url"]) for entry in cluster.sent(mark)}


def run_kubernetes_cell(part: Part, request: str, fault: Fault, cluster: Cluster, ansible: Ansible) -> Outcome:
    """Run a part with one request broken, look, end the fault, run it again, and look again."""
    namespace = part.prepare(cluster)
    tasks = part.tasks(cluster, namespace)
    to_azure = request in COMMANDS
    cluster.sandbox.fault(**rule_of(request), kubernetes=not to_azure, **fault.rule)
    patience = AZURE_PATIENCE_SECONDS if to_azure else PATIENCE_SECONDS
    allowed = max(DEADLINE_SECONDS, patience) + ALLOWANCE_SECONDS
    side = Objects(part.name, namespace, fault.kill, cluster)
    return run_cell(tasks, lambda _failed: tasks, fault, allowed, side, ansible)


@dataclass(frozen=True)
class Objects:
    """What a part leaves in the cluster."""

    part: str
    namespace: str
    killed: bool
    cluster: Cluster

    def faults(self) -> list[Json]:
        return self.cluster.sandbox.faults()

    def clear_faults(self) -> None:
        self.cluster.sandbox.clear_faults()

    def accidents(self) -> list[str]:
        sets = len(self.cluster.apps.list_namespaced_daemon_set(self.namespace).items)
        jobs = [item.metadata.name for item in self.cluster.batch.list_namespaced_job("default").items]
        problems = [] if sets <= 1 else [f"there are {sets} DaemonSets"]
        others = [name for name in jobs if name != WORK and not name.startswith("gpu-probe")]
        return problems + [f"there is the Job {name}" for name in others]

    def differences(self, message: str) -> list[str]:
        problems = self.accidents()
        sets = self.cluster.apps.list_namespaced_daemon_set(self.namespace).items
        jobs = {item.metadata.name: item for item in self.cluster.batch.list_namespaced_job("default").items}
        if self.part == "plug" and len(sets) != 1:
            problems.append("there is no DaemonSet")
        if self.part in ("train", "far") and not (WORK in jobs and jobs[WORK].status.succeeded == 1):
            problems.append("the Job is not complete")
        if self.part == "remove" and (sets or WORK in jobs):
            problems.append("something is left")
        return problems + [f"the probe {name} is left" for name in self.left(message)]

    def left(self, message: str) -> list[str]:
        """The probes that nobody removed, but for those that are announced and go by themselves.

        One whose ansible-playbook was killed, and one whose removal was refused, has a time to live; the error of the
        latter names it.
        """
        return [
            item.metadata.name
            for item in self.cluster.probes()
            if not (item.spec.ttl_seconds_after_finished and (self.killed or item.metadata.name in message))
        ]


@contextlib.contextmanager
def kubernetes_sandbox(name: str) -> Iterator[Sandbox]:
    """A sandbox with a control plane, and short simulated durations."""
    with Sandbox.started(name, settings=SETTINGS) as sandbox:
        yield sandbox
