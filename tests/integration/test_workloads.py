# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role mnist with every workload: run, recognised, run again, replaced, judged by its rule, removed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml
from aks_sandbox.testing import Sandbox
from environment import ROOT
from harness import Ansible, Json, PlaybookRun, clean, kubernetes_client, reset

NAME = "samples-tf-mnist-demo"
FILES = ROOT / "roles" / "mnist" / "files"
TOLERATION = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
PLUGIN = {
    "tolerations": [TOLERATION],
    "nodeSelector": {"kubernetes.azure.com/accelerator": "nvidia"},
    "containers": [
        {
            "name": "ctr",
            "image": "nvcr.io/nvidia/k8s-device-plugin:v0.18.0",
            "volumeMounts": [{"name": "d", "mountPath": "/var/lib/kubelet/device-plugins"}],
        }
    ],
    "volumes": [{"name": "d", "hostPath": {"path": "/var/lib/kubelet/device-plugins"}}],
}
OWN_TEMPLATE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {steps: "{{ mnist_max_steps }}"}
---
apiVersion: batch/v1
kind: Job
metadata: {name: {{ mnist_name }}, namespace: {{ mnist_namespace }}}
spec:
  template:
    spec:
      restartPolicy: Never
      tolerations: {{ mnist_taints | aks.gpu.tolerations | to_json }}
      containers:
      - name: own
        image: example.invalid/own:1
        command: [python, mnist.py, --max_steps, "{{ mnist_max_steps }}"]
        resources: {limits: {nvidia.com/gpu: "1"}}
"""


class Workloads:
    """The role in a cluster with one node of four T4 GPUs."""

    def __init__(self, sandbox: Sandbox, kubeconfig: Path) -> None:
        self.sandbox = sandbox
        self.kubeconfig = kubeconfig
        client = kubernetes_client(sandbox)
        self.core = kubernetes.client.CoreV1Api(client)
        self.apps = kubernetes.client.AppsV1Api(client)
        self.batch = kubernetes.client.BatchV1Api(client)
        self.ansible: Ansible | None = None

    def set_up(self) -> None:
        body: Json = {
            "vmSize": "Standard_NC64as_T4_v3",
            "count": 1,
            "mode": "User",
            "nodeTaints": ["sku=gpu:NoSchedule"],
        }
        pools: Any = self.sandbox.container_service("owner").agent_pools
        pools.begin_create_or_update(
            self.sandbox.resource_group, self.sandbox.cluster, "gpunp", {"properties": body}, polling_interval=0.2
        ).result()
        labels = {"name": "plugin"}
        spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": PLUGIN}}
        self.apps.create_namespaced_daemon_set("default", {"metadata": {"name": "plugin"}, "spec": spec})
        self.until(
            lambda: any(node.status.allocatable.get("nvidia.com/gpu") == "4" for node in self.core.list_node().items)
        )

    def tear_down(self) -> None:
        self.apps.delete_namespaced_daemon_set("plugin", "default", propagation_policy="Background")
        self.empty()

    def empty(self) -> None:
        for job in self.batch.list_namespaced_job("default").items:
            self.batch.delete_namespaced_job(job.metadata.name, "default", propagation_policy="Foreground")
        for found in self.core.list_namespaced_config_map("default").items:
            if found.metadata.name != "kube-root-ca.crt":
                self.core.delete_namespaced_config_map(found.metadata.name, "default")
        self.until(lambda: not self.batch.list_namespaced_job("default").items)

    @staticmethod
    def until(condition: Any, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.1)

    def run(self, *, check: bool = False, fails: bool = False, **variables: Any) -> PlaybookRun:
        """Run the role on localhost."""
        assert self.ansible is not None
        known = {"aks_resource_group": "unused", "aks_cluster_name": "unused", "aks_kubeconfig": str(self.kubeconfig)}
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [{"name": "The role", "ansible.builtin.import_role": {"name": "aks.gpu.mnist"}}],
        }
        return self.ansible.playbook([play], {**known, **variables}, check=check, diff=check, fails=fails)

    def four(self, **variables: Any) -> PlaybookRun:
        """Predicted, done, done again without a change, predicted again; returns the run that changed something."""
        before = self.objects()
        predicted = self.run(check=True, **variables)
        assert self.objects() == before
        done = self.run(**variables)
        assert predicted.changed == done.changed == 1
        after = self.objects()
        assert self.run(**variables).changed == 0
        assert self.run(check=True, **variables).changed == 0
        assert self.objects() == after
        return done

    def job(self) -> Json:
        client = self.batch.api_client
        return dict(client.sanitize_for_serialization(self.batch.read_namespaced_job(NAME, "default")))

    def objects(self) -> dict[str, str]:
        """Jobs and ConfigMaps with what they are by: uid and generation, or data."""
        jobs = self.batch.list_namespaced_job("default").items
        maps = self.core.list_namespaced_config_map("default").items
        found = {f"job/{job.metadata.name}": str(job.metadata.uid) for job in jobs}
        return found | {
            f"configmap/{each.metadata.name}": f"{each.metadata.uid}/{each.metadata.resource_version}"
            for each in maps
            if each.metadata.name != "kube-root-ca.crt"
        }


@pytest.fixture(scope="module")
def prepared(shared_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workloads]:
    reset(shared_sandbox)
    path = tmp_path_factory.mktemp("kubeconfig") / "config"
    path.write_text(shared_sandbox.kubeconfig())
    found = Workloads(shared_sandbox, path)
    found.set_up()
    yield found
    with contextlib.suppress(kubernetes.client.ApiException):
        found.tear_down()
    clean(shared_sandbox)


@pytest.fixture
def role(prepared: Workloads, tmp_path: Path) -> Iterator[Workloads]:
    reset(prepared.sandbox)
    prepared.sandbox.set(restart_backoff_seconds=0.3, generic_pod_seconds=0.3)
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "own.yaml.j2").write_text(OWN_TEMPLATE)
    prepared.ansible = Ansible(prepared.sandbox, tmp_path)
    prepared.empty()
    yield prepared
    prepared.empty()


def told(run: PlaybookRun) -> Json:
    """What the Job told, as the role's wait returns it."""
    return dict(run["Wait until the Job is complete"]["job"])


def own(command: list[str], **spec: Any) -> Json:
    """A Job of the user's own, as a definition."""
    container = {"name": "own", "image": "example.invalid/own:1", "command": command}
    pod = {"restartPolicy": "Never", "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": NAME},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}, **spec},
    }


@pytest.mark.parametrize(
    ("variables", "made"),
    [
        pytest.param({}, ["job"], id="article"),
        pytest.param({"mnist_workload": "digits"}, ["configmap", "job"], id="digits"),
        pytest.param({"mnist_workload": "vector_add", "mnist_gpus": 4}, ["job"], id="vector_add"),
        pytest.param({"mnist_template": "own.yaml.j2"}, ["configmap", "job"], id="template"),
    ],
)
def test_run_recognised_and_removed(role: Workloads, variables: Json, made: list[str]) -> None:
    result = told(role.four(**variables))
    assert sorted(name.split("/")[0] for name in role.objects()) == made
    assert (result["complete"], result["succeeded"], result["failed"]) == (True, 1, 0)
    gpus = int(variables.get("mnist_gpus", 1))
    assert [device["name"] for device in result["devices"]] == ["Tesla T4"] * gpus
    if variables.get("mnist_workload") == "vector_add":
        assert result["log_pattern_found"] is True
        assert result["driver_version"] == "580.95.05"
    else:
        assert result["accuracy_last"] > 0.95
        assert result["devices"][0]["compute_capability"] == "7.5"
    assert any("simulated" in line for line in result["log_head"])

    theirs = {"metadata": {"name": "theirs"}, "data": {"a": "b"}}
    role.core.create_namespaced_config_map("default", theirs)
    role.four(mnist_state="absent", **variables)
    assert list(role.objects()) == ["configmap/theirs"]


def test_what_is_named_alike_but_not_ours_stays(role: Workloads) -> None:
    role.core.create_namespaced_config_map("default", {"metadata": {"name": NAME}, "data": {"a": "b"}})
    by_hand = yaml.safe_load((ROOT / "tests" / "unit" / "roles" / "article_job.yaml").read_text())
    by_hand["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] = {"nvidia.com/gpu": "1"}
    role.batch.create_namespaced_job("default", by_hand, field_manager="kubectl-client-side-apply")
    before = role.objects()
    assert role.run(mnist_state="absent").changed == 0
    assert role.objects() == before
    run = role.run(mnist_recreate=True, fails=True)
    assert run.changed == 0
    assert "mnist_force_conflicts" in run.failures[-1]
    assert role.objects() == before
    forced = role.run(mnist_recreate=True, mnist_force_conflicts=True)
    assert told(forced)["complete"]
    assert role.objects()[f"job/{NAME}"] != before[f"job/{NAME}"]


def test_a_workload_takes_the_place_of_another(role: Workloads) -> None:
    uids = []
    for workload in ("article", "digits", "vector_add", "article"):
        assert role.run(mnist_workload=workload, mnist_max_steps=300).changed == 1
        job = role.job()
        assert job["metadata"].get("labels", {}).get("aks.gpu/workload", "article") == workload
        uids.append(job["metadata"]["uid"])
    assert len(set(uids)) == 4
    assert role.run(mnist_state="absent").changed == 1
    assert role.objects() == {}


def test_other_files_or_fields_replace_a_job(role: Workloads) -> None:
    variables: Json = {"mnist_workload": "digits"}
    role.run(**variables)
    first = role.objects()
    other = {**variables, "__mnist_training_script": (FILES / "train_digits.py").read_text() + "# another\n"}
    role.four(**other)
    second = role.objects()
    assert {name for name in first if first[name] != second[name]} == set(first)
    data = role.core.read_namespaced_config_map(NAME, "default").data
    assert data is not None
    assert data["train_digits.py"].endswith("# another\n")
    role.four(**other, mnist_max_steps=490)
    third = role.objects()
    assert [name for name in third if third[name] != second[name]] == [f"job/{NAME}"]


def test_run_again(role: Workloads) -> None:
    role.run(mnist_workload="digits")
    first = role.objects()
    predicted = role.run(check=True, mnist_workload="digits", mnist_recreate=True)
    assert role.objects() == first
    again = role.run(mnist_workload="digits", mnist_recreate=True)
    assert predicted.changed == again.changed == 1
    assert [name for name, value in role.objects().items() if first[name] != value] == [f"job/{NAME}"]
    assert told(again)["complete"]


def test_several_completions(role: Workloads) -> None:
    result = told(role.four(mnist_workload="digits", mnist_completions=3, mnist_parallelism="2", mnist_backoff_limit=0))
    assert (result["succeeded"], len(result["pods"])) == (3, 3)
    assert all(pod["accuracy_last"] > 0.95 and pod["devices"] for pod in result["pods"])


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        pytest.param(["true"], {}, id="exit status"),
        pytest.param(["/bin/sh", "-c", "vectorAdd"], {"mnist_log_pattern": "^\\[sandbox\\] simulated"}, id="pattern"),
        pytest.param(["python", "mnist.py"], {"mnist_minimum_accuracy": 0.9}, id="accuracy"),
        pytest.param(
            ["python", "mnist.py"], {"mnist_minimum_accuracy": "0.9", "mnist_log_pattern": "step 490: 0\\.9"}, id="both"
        ),
    ],
)
def test_rules_that_hold(role: Workloads, command: list[str], rule: Json) -> None:
    definition = own(command)
    container = definition["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    definition["spec"]["template"]["spec"]["tolerations"] = [TOLERATION]
    assert told(role.four(mnist_definition=definition, **rule))["complete"]


@pytest.mark.parametrize(
    ("command", "rule", "says"),
    [
        pytest.param(["true"], {"mnist_log_pattern": "^done$"}, "no line of its log matches ^done$", id="pattern"),
        pytest.param(
            ["python", "mnist.py", "--max_steps", "20"],
            {"mnist_minimum_accuracy": "0.9"},
            "and 0.9 or more is asked for",
            id="accuracy",
        ),
        pytest.param(["true"], {"mnist_minimum_accuracy": 0.9}, "its log tells no accuracy", id="no accuracy"),
    ],
)
def test_rules_that_do_not_hold(role: Workloads, command: list[str], rule: Json, says: str) -> None:
    for check in (False, False, True):
        before = role.objects()
        run = role.run(mnist_definition=own(command), check=check, fails=True, **rule)
        assert "is complete, but did not do what is asked for" in run.failures[-1]
        assert says in run.failures[-1]
        if before:
            assert (run.changed, role.objects()) == (0, before)
    role.run(mnist_definition=own(command), mnist_log_pattern="", mnist_minimum_accuracy="")


def test_exit_status_that_is_not_0(role: Workloads) -> None:
    role.sandbox.set(image_faults={"*own*": "fail"})
    run = role.run(mnist_definition=own(["false"]), fails=True)
    assert "BackoffLimitExceeded" in run.failures[-1]


def test_what_a_finished_job_told_may_be_gone(role: Workloads) -> None:
    """A node that was scaled away takes its Pods with it; the Job stays complete."""
    role.run(mnist_workload="digits")
    role.core.delete_collection_namespaced_pod("default", label_selector=f"app={NAME}")
    role.until(lambda: not role.core.list_namespaced_pod("default", label_selector=f"app={NAME}").items)
    run = role.run(mnist_workload="digits")
    assert run.changed == 0
    assert [problem["cause"] for problem in run["Wait until the Job is complete"]["problems"]] == ["LogGone"]
    assert told(run)["complete"]


def test_the_articles_image_on_gpus_that_it_does_not_know(role: Workloads) -> None:
    role.sandbox.set(article_image_runs_on_modern_gpus=False)
    run = role.run(fails=True)
    assert "CUDA driver version is insufficient" in run.failures[-1]
    assert "mnist_workload: digits" in run.failures[-1]
    assert told(role.run(mnist_workload="digits"))["complete"]


def test_a_wrong_mount_is_told_in_the_kubelets_words(role: Workloads) -> None:
    definition = own(["true"])
    source = {"name": "settings", "items": [{"key": "absent", "path": "file"}]}
    definition["spec"]["template"]["spec"]["volumes"] = [{"name": "v", "configMap": source}]
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"present": ""}}
    run = role.run(mnist_definition=[settings, definition], mnist_wait_timeout=4, fails=True)
    assert "configmap references non-existent config key: absent" in run.failures[-1]


def test_a_script_that_is_not_mounted(role: Workloads) -> None:
    """The simulated node looks for the file that the command names, as Python would."""
    definition = own(["python3", "/workload/train_digits.py", "--device", "cpu"])
    run = role.run(mnist_definition=definition, fails=True)
    assert "can't open file '/workload/train_digits.py'" in run.failures[-1]


def test_without_a_gpu_it_fails_unless_told_to_do_without(role: Workloads) -> None:
    """A container that was given no GPU. On AKS its image sees them all the same, unless the runtime hides them."""
    role.sandbox.set(unadvertised_gpus_visible=False)
    definition = own(["python3", "/w/train_digits.py"])
    pod = definition["spec"]["template"]["spec"]
    pod["containers"][0]["volumeMounts"] = [{"name": "w", "mountPath": "/w"}]
    pod["volumes"] = [{"name": "w", "configMap": {"name": "files"}}]
    data = (FILES / "digits.csv.gz.base64").read_text().replace("\n", "")
    files = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "files"},
        "data": {"train_digits.py": (FILES / "train_digits.py").read_text()},
        "binaryData": {"digits.csv.gz": data},
    }
    run = role.run(mnist_definition=[files, definition], fails=True)
    assert "Found no NVIDIA driver on your system" in run.failures[-1]
    pod["containers"][0]["command"].append("--device=cpu")
    result = told(role.run(mnist_definition=[files, definition], mnist_minimum_accuracy=0.9))
    assert result["devices"] == []


def test_bad_input_is_refused_all_at_once_and_before_anything(role: Workloads) -> None:
    wrong: Json = {
        "mnist_template": "own.yaml.j2",
        "mnist_workload": "digits",
        "mnist_completions": "three",
        "mnist_backoff_limit": "-1",
        "mnist_minimum_accuracy": "90%",
    }
    (message,) = role.run(fails=True, **wrong).failures
    for text in ("mnist_template is for", "mnist_completions", "mnist_backoff_limit", "90%", "Nothing was changed"):
        assert text in message
    (message,) = role.run(fails=True, mnist_workload="tensorflow").failures
    assert "mnist_workload: tensorflow is not one of article, digits, vector_add, custom" in message
    (message,) = role.run(fails=True, mnist_state="gone").failures
    assert "mnist_state: gone is not one of present, absent" in message
    (message,) = role.run(fails=True, mnist_template="own.yaml.j2", mnist_name="train", mnist_namespace="ml").failures
    assert 'namespaces "ml" not found' in message
    role.run(fails=True, mnist_definition={**own(["true"]), "metadata": {"name": "other"}})
    assert role.objects() == {}


def test_binary_data_is_not_shown(role: Workloads) -> None:
    run = role.run(check=True, mnist_workload="digits")
    assert "57523 bytes, SHA-256 09f66e6d" in run.output
    assert (FILES / "digits.csv.gz.base64").read_text()[:60] not in run.output
