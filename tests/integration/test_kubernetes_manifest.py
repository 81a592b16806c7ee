# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module manifest on a real control plane, read back by the plain Kubernetes client."""

from __future__ import annotations

import base64
import copy
import datetime
import threading
import time
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml
from aks_sandbox.testing import Sandbox
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from harness import Ansible, Json, kubernetes_client
from module_runner import run

SPACE = "manifest-test"
NAMESPACE: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}
DAEMON_SET: Json = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "plugin", "namespace": SPACE},
    "spec": {
        "selector": {"matchLabels": {"name": "plugin"}},
        "template": {
            "metadata": {"labels": {"name": "plugin"}},
            "spec": {"containers": [{"name": "c", "image": "mcr.microsoft.com/oss/kubernetes/pause:3.6"}]},
        },
    },
}
JOB: Json = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "work", "namespace": SPACE},
    "spec": {
        "template": {
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "example.invalid/work:1"}]}
        }
    },
}
CONFIG: Json = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "c", "namespace": SPACE},
    "data": {"a": "1"},
}


@pytest.fixture
def kubeconfig(sandbox: Sandbox, tmp_path: Path) -> str:
    path = tmp_path / "kubeconfig"
    path.write_text(sandbox.kubeconfig())
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def core(sandbox: Sandbox) -> kubernetes.client.CoreV1Api:
    return kubernetes.client.CoreV1Api(kubernetes_client(sandbox))


@pytest.fixture
def manifest(kubeconfig: str) -> Any:
    def apply(*objects: Json, check: bool = False, **options: Any) -> Json:
        return run("manifest", {"kubeconfig": kubeconfig, "definition": list(objects), **options}, check=check)

    return apply


def actions(result: Json) -> list[str]:
    assert not result["failed"], result["msg"]
    return [found["action"] for found in result["resources"]]


def changed(found: Json, **spec: Any) -> Json:
    result = copy.deepcopy(found)
    result["spec"].update(spec)
    return result


def retagged(tag: str) -> Json:
    result = copy.deepcopy(JOB)
    result["spec"]["template"]["spec"]["containers"][0]["image"] = f"example.invalid/work:{tag}"
    return result


def tolerant() -> Json:
    result = copy.deepcopy(JOB)
    result["spec"]["template"]["spec"]["tolerations"] = [{"key": "sku", "operator": "Equal", "value": "gpu"}]
    return result


def test_four_ways_of_a_run(sandbox: Sandbox, manifest: Any, core: kubernetes.client.CoreV1Api) -> None:
    with sandbox.having(refuse_writes=True):
        predicted = manifest(NAMESPACE, DAEMON_SET, JOB, check=True)
    assert actions(predicted) == ["created"] * 3
    assert SPACE not in {found.metadata.name for found in core.list_namespace().items}
    assert predicted["diff"]["after"][f"DaemonSet {SPACE}/plugin"]["spec"]["template"]
    first = manifest(NAMESPACE, DAEMON_SET, JOB)
    assert (actions(first), first["changed"]) == (["created"] * 3, True)
    live = kubernetes.client.AppsV1Api(core.api_client).read_namespaced_daemon_set("plugin", SPACE)
    assert live.metadata.managed_fields[0].manager == "aks.gpu"
    again = manifest(NAMESPACE, DAEMON_SET, JOB)
    assert (actions(again), again["changed"]) == (["unchanged"] * 3, False)
    with sandbox.having(refuse_writes=True):
        once_more = manifest(NAMESPACE, DAEMON_SET, JOB, check=True)
    assert (actions(once_more), once_more["changed"]) == (["unchanged"] * 3, False)


def test_removal(sandbox: Sandbox, manifest: Any, core: kubernetes.client.CoreV1Api) -> None:
    manifest(NAMESPACE, DAEMON_SET, JOB)
    options = {"state": "absent", "only_created_by_us": True, "only_if_empty": True}
    with sandbox.having(refuse_writes=True):
        predicted = manifest(NAMESPACE, DAEMON_SET, JOB, check=True, **options)
    assert actions(predicted) == ["deleted"] * 3
    removed = manifest(NAMESPACE, DAEMON_SET, JOB, **options)
    assert [found["kind"] for found in removed["resources"]] == ["Job", "DaemonSet", "Namespace"]
    assert actions(removed) == ["deleted"] * 3
    assert SPACE not in {found.metadata.name for found in core.list_namespace().items}
    again = manifest(NAMESPACE, DAEMON_SET, JOB, **options)
    assert (actions(again), again["changed"]) == (["unchanged"] * 3, False)


def test_what_others_made_is_left(manifest: Any, core: kubernetes.client.CoreV1Api) -> None:
    core.create_namespace({"metadata": {"name": SPACE}})
    core.create_namespaced_config_map(SPACE, {"metadata": {"name": "theirs"}})
    manifest(NAMESPACE, DAEMON_SET)
    options = {"state": "absent", "only_if_empty": True}
    own = manifest(NAMESPACE, DAEMON_SET, only_created_by_us=True, **options)
    assert actions(own) == ["deleted", "left"]
    assert "not created by aks.gpu" in own["resources"][1]["reason"]
    left = manifest(NAMESPACE, DAEMON_SET, **options)
    assert actions(left) == ["unchanged", "left"]
    assert "ConfigMap theirs" in left["resources"][1]["reason"]
    assert core.read_namespaced_config_map("theirs", SPACE)


def lease(client: kubernetes.client.ApiClient, holder: str, seconds: int = 2) -> None:
    """As client-go's leader election leaves one, with the lock of NVIDIA's GPU Operator (cmd/gpu-operator/main.go)."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    body = {
        "metadata": {"name": "53822513.nvidia.com"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds, "renewTime": now},
    }
    leases = kubernetes.client.CoordinationV1Api(client)
    if leases.list_namespaced_lease(SPACE).items:
        leases.patch_namespaced_lease("53822513.nvidia.com", SPACE, body)
    else:
        leases.create_namespaced_lease(SPACE, body)


OWN_AND_EMPTY = {"state": "absent", "only_created_by_us": True, "only_if_empty": True}


@pytest.mark.parametrize("holder", ["gpu-operator-7d9_0e8c2f5d", ""])
def test_a_lease_that_nobody_renews_does_not_keep_a_namespace(
    sandbox: Sandbox, manifest: Any, core: kubernetes.client.CoreV1Api, holder: str
) -> None:
    manifest(NAMESPACE)
    lease(core.api_client, holder)
    with sandbox.having(refuse_writes=True):
        assert actions(manifest(NAMESPACE, check=True, **OWN_AND_EMPTY)) == ["deleted"]
    assert actions(manifest(NAMESPACE, **OWN_AND_EMPTY)) == ["deleted"]
    assert SPACE not in {found.metadata.name for found in core.list_namespace().items}
    assert actions(manifest(NAMESPACE, **OWN_AND_EMPTY)) == ["unchanged"]
    assert actions(manifest(NAMESPACE, check=True, **OWN_AND_EMPTY)) == ["unchanged"]


def test_a_lease_that_is_renewed_keeps_a_namespace(manifest: Any, core: kubernetes.client.CoreV1Api) -> None:
    """A controller of another namespace may hold it, by `leader-lease-namespace`."""
    manifest(NAMESPACE)
    lease(core.api_client, "elsewhere_1", 30)
    over = threading.Event()

    def renew() -> None:
        while not over.wait(0.5):
            lease(core.api_client, "elsewhere_1", 30)

    holder = threading.Thread(target=renew)
    holder.start()
    try:
        left = manifest(NAMESPACE, **OWN_AND_EMPTY)
    finally:
        over.set()
        holder.join()
    assert (actions(left), left["changed"]) == (["left"], False)
    assert "Lease 53822513.nvidia.com, which elsewhere_1 renews" in left["resources"][0]["reason"]
    assert core.read_namespace(SPACE).metadata.deletion_timestamp is None


def test_what_belongs_to_what_has_gone_does_not_keep_a_namespace(
    manifest: Any, core: kubernetes.client.CoreV1Api
) -> None:
    """The garbage collector takes it in a moment; what has an owner that is there stays."""
    manifest(NAMESPACE)
    api = kubernetes.client.RbacAuthorizationV1Api(core.api_client)
    owner = api.create_cluster_role({"metadata": {"generateName": "owner-"}, "rules": []})
    reference = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "name": owner.metadata.name, "uid": owner.metadata.uid,
    }  # fmt: skip
    body = {"metadata": {"name": "owned", "ownerReferences": [reference], "finalizers": ["example.com/slow"]}}
    try:
        core.create_namespaced_config_map(SPACE, body)
        left = manifest(NAMESPACE, check=True, **OWN_AND_EMPTY)
        assert "ConfigMap owned" in left["resources"][0]["reason"]
    finally:
        api.delete_cluster_role(owner.metadata.name)
    assert actions(manifest(NAMESPACE, check=True, **OWN_AND_EMPTY)) == ["deleted"]
    core.patch_namespaced_config_map("owned", SPACE, {"metadata": {"finalizers": None}})
    assert actions(manifest(NAMESPACE, **OWN_AND_EMPTY)) == ["deleted"]


def test_change_and_field_that_is_no_longer_given(manifest: Any, core: kubernetes.client.CoreV1Api) -> None:
    manifest(NAMESPACE, {**CONFIG, "data": {"a": "1", "b": "2"}})
    core.patch_namespaced_config_map("c", SPACE, {"data": {"theirs": "3"}})
    result = manifest(CONFIG)
    assert actions(result) == ["changed"]
    assert core.read_namespaced_config_map("c", SPACE).data == {"a": "1", "theirs": "3"}
    assert result["diff"]["before"][f"ConfigMap {SPACE}/c"]["data"]["b"] == "2"


def test_conflict_names_field_and_owner(manifest: Any, core: kubernetes.client.CoreV1Api) -> None:
    manifest(NAMESPACE, CONFIG)
    core.patch_namespaced_config_map("c", SPACE, {"data": {"a": "theirs"}}, field_manager="somebody")
    result = manifest(CONFIG, check=True)
    assert result["failed"]
    assert "data.a" in result["msg"]
    assert '"somebody"' in result["msg"]
    assert "force_conflicts" in result["msg"]
    assert actions(manifest(CONFIG, force_conflicts=True)) == ["changed"]
    assert core.read_namespaced_config_map("c", SPACE).data == {"a": "1"}


def test_immutable_job(sandbox: Sandbox, manifest: Any, core: kubernetes.client.CoreV1Api) -> None:
    manifest(NAMESPACE, JOB)
    refused = manifest(retagged("2"))
    assert refused["failed"]
    assert "field is immutable" in refused["msg"]
    assert "recreate_immutable" in refused["msg"]
    assert len(refused["msg"]) < 400
    with sandbox.having(refuse_writes=True):
        assert actions(manifest(retagged("2"), recreate_immutable=True, check=True)) == ["recreated"]
    assert actions(manifest(retagged("2"), recreate_immutable=True)) == ["recreated"]
    live = kubernetes.client.BatchV1Api(core.api_client).read_namespaced_job("work", SPACE)
    assert live.spec.template.spec.containers[0].image.endswith(":2")
    assert actions(manifest(retagged("2"), recreate_immutable=True)) == ["unchanged"]


def test_a_job_of_somebody_else_is_not_recreated(manifest: Any, core: kubernetes.client.CoreV1Api) -> None:
    """Findings, E1: the article's Job, applied by hand without tolerations before site.yml came.

    https://learn.microsoft.com/azure/aks/use-nvidia-gpu has it so.
    """
    manifest(NAMESPACE)
    jobs = kubernetes.client.BatchV1Api(core.api_client)
    jobs.create_namespaced_job(SPACE, JOB, field_manager="kubectl-create")
    uid = jobs.read_namespaced_job("work", SPACE).metadata.uid
    for options in ({"recreate_immutable": True}, {"recreate_immutable": True, "check": True}):
        refused = manifest(tolerant(), **options)
        assert refused["failed"]
        assert "was not created by aks.gpu" in refused["msg"]
        assert "Delete it, choose another name" in refused["msg"]
        assert "force_conflicts" in refused["msg"]
    assert jobs.read_namespaced_job("work", SPACE).metadata.uid == uid
    assert actions(manifest(tolerant(), recreate_immutable=True, force_conflicts=True)) == ["recreated"]
    assert jobs.read_namespaced_job("work", SPACE).metadata.uid != uid


RUN = "aks.gpu/run"


def test_a_job_that_is_run_again_is_of_the_run_that_does_it(
    sandbox: Sandbox, manifest: Any, core: kubernetes.client.CoreV1Api
) -> None:
    """As if it had been removed and created: a clean-up that is limited to this run removes it."""
    manifest(NAMESPACE, JOB, run="first")
    jobs = kubernetes.client.BatchV1Api(core.api_client)
    first = jobs.read_namespaced_job("work", SPACE).metadata
    with sandbox.having(refuse_writes=True):
        assert actions(manifest(JOB, run="second", recreate=[JOB], check=True)) == ["recreated"]
    assert actions(manifest(JOB, run="second", recreate=[JOB])) == ["recreated"]
    second = jobs.read_namespaced_job("work", SPACE).metadata
    assert second.uid != first.uid
    assert (first.annotations[RUN], second.annotations[RUN]) == ("first", "second")
    assert actions(manifest(JOB, recreate=[JOB])) == ["recreated"]
    assert RUN not in jobs.read_namespaced_job("work", SPACE).metadata.annotations


def test_a_job_of_somebody_else_is_run_again_only_by_force(manifest: Any, core: kubernetes.client.CoreV1Api) -> None:
    """Then it is of aks.gpu, as what it has created is."""
    manifest(NAMESPACE)
    jobs = kubernetes.client.BatchV1Api(core.api_client)
    jobs.create_namespaced_job(SPACE, JOB, field_manager="kubectl-create")
    uid = jobs.read_namespaced_job("work", SPACE).metadata.uid
    for check in (True, False):
        refused = manifest(JOB, recreate=[JOB], check=check)
        assert refused["failed"]
        assert "was not created by aks.gpu" in refused["msg"]
        assert "force_conflicts" in refused["msg"]
    assert jobs.read_namespaced_job("work", SPACE).metadata.uid == uid
    assert actions(manifest(JOB, recreate=[JOB], force_conflicts=True)) == ["recreated"]
    live = jobs.read_namespaced_job("work", SPACE).metadata
    assert live.uid != uid
    assert live.annotations["aks.gpu/created-by"] == "aks.gpu"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    "source",
    ["https://github.com/kubernetes-sigs/kueue/issues/2427", "https://github.com/argoproj/argo-cd/issues/2913"],
)
def test_what_a_queue_has_taken_over_is_no_difference(
    manifest: Any, core: kubernetes.client.CoreV1Api, force: bool, source: str
) -> None:
    """Kueue unsuspends a Job and places it: https://kueue.sigs.k8s.io/docs/concepts/workload/."""
    queued = tolerant()
    queued["spec"]["suspend"] = True
    queued["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/os": "linux"}
    manifest(NAMESPACE, queued)
    jobs = kubernetes.client.BatchV1Api(core.api_client)
    uid = jobs.read_namespaced_job("work", SPACE).metadata.uid
    placed = {
        "nodeSelector": {"kubernetes.io/os": "linux", "cloud.google.com/gke-nodepool": "none-of-these"},
        "tolerations": [*queued["spec"]["template"]["spec"]["tolerations"], {"key": "spot", "operator": "Exists"}],
    }
    admitted = {"spec": {"suspend": False, "template": {"spec": placed}}}
    jobs.patch_namespaced_job("work", SPACE, admitted, field_manager="kueue")
    for options in ({}, {"check": True}, {"recreate_immutable": True}):
        assert actions(manifest(queued, force_conflicts=force, **options)) == ["unchanged"], source
    live = jobs.read_namespaced_job("work", SPACE)
    assert (live.metadata.uid, live.spec.suspend) == (uid, False)
    somebody = {"spec": {"suspend": True}}
    jobs.patch_namespaced_job("work", SPACE, somebody, field_manager="somebody")
    queued["spec"]["suspend"] = False
    assert manifest(queued)["failed"], "another owner's field is a conflict"


def test_the_replicas_of_an_autoscaler_are_no_difference(manifest: Any, core: kubernetes.client.CoreV1Api) -> None:
    """https://github.com/argoproj/argo-cd/issues/5105: replicas in the manifest and an autoscaler take turns."""
    labels = {"app": "scaled"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "example.com/image:1"}]}}
    deployment: Json = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "scaled", "namespace": SPACE},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod},
    }
    manifest(NAMESPACE, deployment)
    apps = kubernetes.client.AppsV1Api(core.api_client)
    scale = {"spec": {"replicas": 2}}
    apps.patch_namespaced_deployment_scale("scaled", SPACE, scale, field_manager="kube-controller-manager")
    assert actions(manifest(deployment)) == ["unchanged"]
    assert apps.read_namespaced_deployment("scaled", SPACE).spec.replicas == 2


def test_everything_that_is_wrong_is_named_before_anything_changes(
    manifest: Any, core: kubernetes.client.CoreV1Api
) -> None:
    typo = copy.deepcopy(DAEMON_SET)
    typo["spec"]["template"]["spec"]["tolerationz"] = []
    name = {**CONFIG, "metadata": {"name": "Not_A_Name", "namespace": SPACE}}
    kind = {"apiVersion": "nvidia.com/v1", "kind": "ClusterPolicy", "metadata": {"name": "x"}}
    result = manifest(NAMESPACE, typo, name, kind)
    assert result["failed"]
    for text in ("tolerationz", "Not_A_Name", "no kind ClusterPolicy in nvidia.com/v1"):
        assert text in result["msg"]
    assert SPACE not in {found.metadata.name for found in core.list_namespace().items}


def test_custom_resource_after_its_definition(manifest: Any, core: kubernetes.client.CoreV1Api) -> None:
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Cluster",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                }
            ],
        },
    }
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}}
    assert actions(manifest(definition, thing, check=True)) == ["created", "created"]
    assert actions(manifest(definition, thing)) == ["created", "created"]
    assert actions(manifest(definition, thing)) == ["unchanged", "unchanged"]
    assert actions(manifest(definition, thing, state="absent")) == ["deleted", "deleted"]
    assert actions(manifest(definition, thing, state="absent")) == ["unchanged", "unchanged"]


def test_namespace_that_is_being_deleted_is_waited_for(manifest: Any, core: kubernetes.client.CoreV1Api) -> None:
    manifest(NAMESPACE, CONFIG)
    core.patch_namespaced_config_map("c", SPACE, {"metadata": {"finalizers": ["example.com/slow"]}})
    core.delete_namespace(SPACE)
    while "example.com/slow" not in str(core.read_namespace(SPACE).status.conditions):
        time.sleep(0.1)
    try:
        late = manifest(NAMESPACE, CONFIG, wait_timeout=2)
    finally:
        core.patch_namespaced_config_map("c", SPACE, {"metadata": {"finalizers": None}})
    assert late["failed"]
    assert "not gone after 2 s" in late["msg"]
    assert "example.com/slow" in late["msg"]
    assert actions(manifest(NAMESPACE, CONFIG))[0] in ("recreated", "created")
    assert core.read_namespaced_config_map("c", SPACE).data == {"a": "1"}


def test_what_somebody_deletes_already_is_waited_for(manifest: Any, core: kubernetes.client.CoreV1Api) -> None:
    manifest(NAMESPACE, CONFIG)
    core.patch_namespaced_config_map("c", SPACE, {"metadata": {"finalizers": ["example.com/slow"]}})
    core.delete_namespaced_config_map("c", SPACE)
    late = manifest(CONFIG, state="absent", wait_timeout=2)
    assert late["failed"]
    assert "not gone after 2 s" in late["msg"]
    for options in ({"check": True}, {"wait": False}):
        result = manifest(CONFIG, state="absent", **options)
        assert (actions(result), result["changed"]) == (["unchanged"], False)
    threading.Timer(1.0, core.patch_namespaced_config_map, ("c", SPACE, {"metadata": {"finalizers": None}})).start()
    result = manifest(CONFIG, state="absent")
    assert (actions(result), result["changed"]) == (["unchanged"], False)
    assert not [found for found in core.list_namespaced_config_map(SPACE).items if found.metadata.name == "c"]


def test_missing_namespace(manifest: Any) -> None:
    assert actions(manifest(CONFIG, check=True)) == ["created"]
    result = manifest(CONFIG)
    assert result["failed"]
    assert f'namespaces "{SPACE}" not found' in result["msg"]
    assert "Put the Namespace in front" in result["msg"]
    strict = manifest(CONFIG, check=True, namespaces_exist=True)
    assert strict["failed"]
    assert f"there is no namespace {SPACE}" in strict["msg"]
    assert actions(manifest(NAMESPACE, CONFIG, check=True, namespaces_exist=True)) == ["created", "created"]


def test_missing_namespace_stops_before_the_first_object(manifest: Any, core: kubernetes.client.CoreV1Api) -> None:
    at_home = {**CONFIG, "metadata": {"name": "at-home", "namespace": "default"}}
    assert manifest(at_home, CONFIG)["failed"]
    assert "at-home" not in {found.metadata.name for found in core.list_namespaced_config_map("default").items}


def test_secret_is_never_shown(ansible: Ansible, kubeconfig: str, manifest: Any) -> None:
    value = "very-s3cret-value"
    secret: Json = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": SPACE},
        "stringData": {"password": value},
    }
    tasks = [{"name": "Task", "aks.gpu.manifest": {"kubeconfig": kubeconfig, "definition": [NAMESPACE, secret]}}]
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    played = ansible.playbook([play], arguments=["-vvv"], diff=True)
    encoded = base64.b64encode(value.encode()).decode()
    assert value not in played.output
    assert encoded not in played.output
    secret["stringData"]["password"] = other = "an-other-s3cret"
    played = ansible.playbook([play], arguments=["-vvv"], diff=True)
    assert played.changed == 1
    for text in (value, encoded, other, base64.b64encode(other.encode()).decode()):
        assert text not in played.output
    assert "(before)" in played.output


def test_kubeconfig_is_never_shown(ansible: Ansible, sandbox: Sandbox) -> None:
    import yaml

    config = yaml.safe_load(sandbox.kubeconfig())
    user = config["users"][0]["user"]
    tasks = [{"name": "Task", "aks.gpu.manifest": {"kubeconfig": config, "definition": [NAMESPACE]}}]
    played = ansible.playbook(
        [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}], arguments=["-vvv"], check=True
    )
    secrets = [user[key] for key in ("token", "client-key-data") if key in user]
    assert secrets
    for text in secrets:
        assert text not in played.output


def test_impersonation_as_the_api_server_sees_it(sandbox: Sandbox, core: kubernetes.client.CoreV1Api) -> None:
    """A CertificateSigningRequest records who made it: the witness that kubectl's own tests of --as have."""
    config: Json = yaml.safe_load(sandbox.kubeconfig())
    extra = {"reason": ["one", "two"], "acme.com/project": ["x"]}
    impersonated = {"as": "jane", "as-uid": "42", "as-groups": ["dev", "system:masters"], "as-user-extra": extra}
    config["users"][0]["user"].update(impersonated)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    signing: Json = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "jane"},
        "spec": {
            "request": base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode(),
            "signerName": "example.com/none",
            "usages": ["client auth"],
        },
    }
    actions(run("manifest", {"kubeconfig": config, "definition": signing}))
    certificates = kubernetes.client.CertificatesV1Api(core.api_client)
    spec = certificates.read_certificate_signing_request("jane").spec
    certificates.delete_certificate_signing_request("jane")
    assert (spec.username, spec.uid) == ("jane", "42")
    assert {"dev", "system:masters"} <= set(spec.groups)
    assert spec.extra == extra


def test_impersonation_takes_rights_away(sandbox: Sandbox) -> None:
    config: Json = yaml.safe_load(sandbox.kubeconfig())
    config["users"][0]["user"]["as"] = "jane"
    result = run("manifest", {"kubeconfig": config, "definition": NAMESPACE})
    assert result["failed"]
    assert 'User "jane" cannot' in result["msg"]
