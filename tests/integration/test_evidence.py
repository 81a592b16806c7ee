# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence of clusters that work, that do not, and that could not be looked at; and one report of all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import kubernetes
import pytest
from aks_sandbox.testing import Sandbox
from environment import ROOT
from harness import Ansible, Json, PlaybookRun, kubernetes_client
from junitparser import JUnitXml

SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "docs" / "evidence.schema.json").read_text()))
REPORT = {"index.html", "junit.xml", "summary.json"}
SHOWN, NAMED = "Show what was found", "Say that it does not work"
REPORTED = "Make one report"
WAITED = "Wait until the Job is complete"


def variables(sandbox: Sandbox, directory: Path | str, **more: Any) -> dict[str, Any]:
    cluster = {"aks_resource_group": sandbox.resource_group, "aks_cluster_name": sandbox.cluster}
    return {**cluster, "gpu_verify_evidence_directory": str(directory), **more}


def fleet(sandbox: Sandbox, *names: str) -> Json:
    common = {"aks_resource_group": sandbox.resource_group}
    return {"all": {"hosts": {name: {**common, "aks_cluster_name": name} for name in names}}}


def documents(directory: Path) -> dict[str, Json]:
    """The evidence in a directory by the cluster's name; each is valid."""
    found = [json.loads(path.read_text()) for path in (directory / "clusters").glob("*.json")]
    for each in found:
        SCHEMA.validate(each)
    return {each["cluster"]["name"]: each for each in found}


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()} if directory.exists() else set()


def changed_tasks(run: PlaybookRun) -> list[str]:
    return [each.task for each in run.results if each.result.get("changed")]


def reported(run: PlaybookRun) -> Json:
    """The one report of a run; of hosts that fail together, one makes it."""
    (made,) = [each.result for each in run.results if each.task.endswith(REPORTED) and each.result["made"]]
    return made


def test_a_cluster_that_works(sandbox: Sandbox, ansible: Ansible, tmp_path: Path) -> None:
    """Predicted without a file, done, done again: the evidence is a record, and nothing counts as changed for it."""
    directory = tmp_path / "evidence"
    said = variables(sandbox, directory)
    with sandbox.having(refuse_writes=True):
        predicted = ansible.playbook("aks.gpu.site", said, check=True)
    assert not directory.exists()
    assert "predicted only" in "\n".join(predicted[SHOWN]["msg"])

    first = ansible.playbook("aks.gpu.site", said)
    assert changed_tasks(first) == changed_tasks(predicted)
    assert files(directory) == {"clusters", *REPORT}
    evidence = documents(directory)[sandbox.cluster]
    assert evidence["verdict"] == "works"
    assert {check["name"] for check in evidence["checks"] if check["holds"]} == {
        "nodes_ready", "labels", "capacity", "allocatable", "device_plugin", "health", "probe_devices", "probe",
        "versions", "job", "job_pool", "device", "accuracy",
    }  # fmt: skip
    node = kubernetes.client.CoreV1Api(kubernetes_client(sandbox)).list_node(
        label_selector="kubernetes.azure.com/accelerator=nvidia"
    )
    assert [each["name"] for each in evidence["nodes"]] == [each.metadata.name for each in node.items]
    image = node.items[0].metadata.labels["kubernetes.azure.com/node-image-version"]
    assert evidence["nodes"][0]["node_image_version"] == image
    assert evidence["nodes"][0]["driver_version"]
    assert evidence["cluster"]["subscription_id"] == sandbox.variables["AZURE_SUBSCRIPTION_ID"]
    assert evidence["job"]["accuracy"][-1]["accuracy"] == evidence["job"]["accuracy_last"] >= 0.9

    names = [step["name"].rpartition(" : ")[2] for step in evidence["steps"]]
    assert names[0] == "GPU node pool: look for everything that would go wrong"
    assert names[-1] == WAITED
    assert names.index("GPU node pool: wait for it") < names.index("Compute on every GPU that nothing else holds")
    outcomes = {name: step["outcome"] for name, step in zip(names, evidence["steps"], strict=True)}
    assert outcomes[names[0]] == "predicted"
    assert outcomes["Apply the Job"] == "changed"
    assert all(
        step["seconds"] >= 0 and step["started"] >= evidence["run"]["started"][:19] for step in evidence["steps"]
    )

    suites = JUnitXml.fromfile(str(directory / "junit.xml"))
    assert [(suite.name, suite.failures, suite.errors) for suite in suites] == [(sandbox.cluster, 0, 0)]
    summary = json.loads((directory / "summary.json").read_text())
    assert (summary["clusters"], summary["works"], summary["gpus_passed"]) == (1, 1, 1)
    assert f"<h1>{sandbox.cluster} works</h1>" in (directory / "index.html").read_text()
    stats = first[REPORTED]["ansible_stats"]["data"]["aks_gpu_summary"]
    assert (stats["clusters"], stats["works"], stats["failed"]) == (1, 1, [])

    again = ansible.playbook("aks.gpu.site", said)
    assert changed_tasks(again) == []
    assert documents(directory)[sandbox.cluster]["run"]["id"] != evidence["run"]["id"]
    assert documents(directory)[sandbox.cluster]["id"] == evidence["id"]

    looked = variables(sandbox, tmp_path / "looked", gpu_verify_read_only=True)
    mark = sandbox.mark()
    with sandbox.having(refuse_writes=True):
        assert changed_tasks(ansible.playbook("aks.gpu.verify", looked)) == []
    assert not sandbox.writes(mark)
    seen = documents(tmp_path / "looked")[sandbox.cluster]
    checks = {check["name"]: check["holds"] for check in seen["checks"]}
    assert seen["verdict"] == "works"
    assert (checks["probe"], checks["versions"], checks["job"]) == (None, None, True)

    held_by_others(sandbox)
    busy = ansible.playbook("aks.gpu.verify", variables(sandbox, tmp_path / "busy"))
    lines = {check["name"]: check for check in documents(tmp_path / "busy")[sandbox.cluster]["checks"]}
    assert lines["held"]["line"].endswith(": 1")
    assert lines["probe"]["line"] == "GPUs that computed right: 0 of 0"
    assert busy.stats["localhost"]["failures"] == 0
    pod = kubernetes.client.CoreV1Api(kubernetes_client(sandbox)).read_namespaced_pod("others", "default")
    assert pod.status is not None
    assert pod.status.phase == "Running"


def held_by_others(sandbox: Sandbox) -> None:
    """Work of somebody else takes the GPU and keeps it."""
    core = kubernetes.client.CoreV1Api(kubernetes_client(sandbox))
    container = {
        "name": "work",
        "image": "registry.example/work:1",
        "command": ["sleep", "3600"],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    taints = [{"operator": "Exists"}]
    core.create_namespaced_pod(
        "default", {"metadata": {"name": "others"}, "spec": {"containers": [container], "tolerations": taints}}
    )
    watch = kubernetes.watch.Watch()
    for event in watch.stream(core.list_namespaced_pod, "default", timeout_seconds=60):
        if event["object"].metadata.name == "others" and event["object"].status.phase == "Running":
            return
    raise AssertionError("it does not run")


def test_a_cluster_that_does_not_work(sandbox: Sandbox, ansible: Ansible, tmp_path: Path) -> None:
    """What was judged and found wrong, and a Job that failed: each with its evidence, and the run fails."""
    said = variables(sandbox, tmp_path / "evidence", gpu_verify_minimum_accuracy="0.999")
    run = ansible.playbook("aks.gpu.site", said, fails=True)
    evidence = documents(tmp_path / "evidence")[sandbox.cluster]
    assert (evidence["verdict"], evidence["failure"]) == ("does_not_work", None)
    assert [check["name"] for check in evidence["checks"] if check["holds"] is False] == ["accuracy"]
    assert run[NAMED]["msg"] == f"{sandbox.cluster} does not work. The step that failed says why: {WAITED}"
    assert files(tmp_path / "evidence") == {"clusters", *REPORT}
    suites = JUnitXml.fromfile(str(tmp_path / "evidence" / "junit.xml"))
    assert [(suite.failures, suite.errors) for suite in suites] == [(1, 0)]

    kubernetes.client.BatchV1Api(kubernetes_client(sandbox)).delete_namespaced_job(
        "samples-tf-mnist-demo", "default", propagation_policy="Background"
    )
    said = variables(sandbox, tmp_path / "gone", gpu_verify_read_only=True)
    run = ansible.playbook("aks.gpu.verify", said, fails=True)
    evidence = documents(tmp_path / "gone")[sandbox.cluster]
    assert evidence["verdict"] == "does_not_work"
    assert evidence["failure"]["step"] == WAITED
    assert evidence["steps"][-1]["outcome"] == "failed"
    assert run[NAMED]["msg"] == f"{sandbox.cluster} does not work. The step that failed says why: {WAITED}"


def test_one_report_of_a_fleet(sandbox: Sandbox, ansible: Ansible, tmp_path: Path) -> None:
    """Of two clusters one is not there: the other goes on, and the report has both, with what failed and why."""
    directory = tmp_path / "evidence"
    said = {"gpu_verify_evidence_directory": str(directory), "gpu_verify_job": "none", "gpu_verify_probe": False}
    inventory = fleet(sandbox, sandbox.cluster, "nobody")
    run = ansible.playbook("aks.gpu.site", {**said, "mnist_state": "absent"}, inventory=inventory, fails=True)
    assert {host: stats["failures"] for host, stats in run.stats.items()} == {sandbox.cluster: 0, "nobody": 1}
    found = documents(directory)
    assert {name: each["verdict"] for name, each in found.items()} == {
        sandbox.cluster: "works",
        "nobody": "not_looked_at",
    }
    assert found["nobody"]["failure"]["step"] == "GPU node pool: look for everything that would go wrong"
    assert "ResourceNotFound" in found["nobody"]["failure"]["message"]
    assert found["nobody"]["run"] == found[sandbox.cluster]["run"]
    first, second, *_places = reported(run)["shown"]
    assert first[:199] == found["nobody"]["headline"][:199]
    assert len(first) <= 200  # the step itself has shown all of it
    assert second == "1 of 2 clusters work, 1 GPU(s) on 1 node(s)"
    page = (directory / "index.html").read_text()
    assert "<h1>1 of 2 clusters work</h1>" in page
    assert "ResourceNotFound" in page


def test_a_fleet_of_which_all_fail(sandbox: Sandbox, ansible: Ansible, tmp_path: Path) -> None:
    """Ansible runs no further play then; the report is there all the same, with every cluster."""
    directory = tmp_path / "evidence"
    said = {"gpu_verify_evidence_directory": str(directory)}
    run = ansible.playbook("aks.gpu.site", said, inventory=fleet(sandbox, "a", "b", "c"), fails=True)
    assert set(documents(directory)) == {"a", "b", "c"}
    assert json.loads((directory / "summary.json").read_text())["not_looked_at"] == 3
    assert len(JUnitXml.fromfile(str(directory / "junit.xml"))) == 3
    assert {stats["failures"] for stats in run.stats.values()} == {1}
    stats = reported(run)["ansible_stats"]["data"]["aks_gpu_summary"]
    assert [each["host"] for each in stats["failed"]] == ["a", "b", "c"]


def test_without_a_directory_no_file_is_left(sandbox: Sandbox, ansible: Ansible, tmp_path: Path) -> None:
    run = ansible.playbook("aks.gpu.verify", inventory=fleet(sandbox, "a", "b"), fails=True)
    assert reported(run)["shown"][-1] == "0 of 2 clusters work, 0 GPU(s) on 0 node(s)"
    assert not list(tmp_path.rglob("index.html"))


def test_a_host_that_left_nothing(sandbox: Sandbox, ansible: Ansible, tmp_path: Path) -> None:
    """A host whose own play ended before the roles could say anything is in the report, with its last step."""
    directory = str(tmp_path / "evidence")
    options = {"subscription_id": "{{ omit }}", "resource_group": sandbox.resource_group, "cluster_name": "nobody"}
    plays = [
        {
            "hosts": "lost",
            "gather_facts": False,
            "tasks": [{"name": "Read", "aks.gpu.node_pool_info": options, "delegate_to": "localhost"}],
        },
    ]
    made = {"name": "Report", "aks.gpu.evidence_report": {"directory": directory, "hosts": ["lost", "other"]}}
    plays[0]["tasks"] = [
        {"block": plays[0]["tasks"], "rescue": [{**made, "delegate_to": "localhost"}]},
    ]
    inventory = {"all": {"hosts": {"lost": {"ansible_connection": "local"}}}}
    run = ansible.playbook(plays, inventory=inventory)
    assert run["Report"]["summary"]["not_looked_at"] == 2
    found = documents(tmp_path / "evidence")
    assert found["lost"]["failure"]["step"] == "Read"
    assert "nobody" in found["lost"]["failure"]["message"]
    assert "left no evidence" in found["other"]["failure"]["message"]


def test_slices_become_one_report(sandbox: Sandbox, ansible: Ansible, tmp_path: Path) -> None:
    for name in ("a", "b"):
        said = {"gpu_verify_evidence_directory": str(tmp_path / name)}
        ansible.playbook("aks.gpu.verify", said, inventory=fleet(sandbox, f"cluster-{name}"), fails=True)
    said = {"gpu_verify_evidence_directory": "all", "gpu_verify_evidence_sources": f"a, {tmp_path / 'b'}"}
    run = ansible.playbook("aks.gpu.report", said, environment={"PWD": str(tmp_path)})
    assert changed_tasks(run) == []
    assert files(tmp_path / "all") == REPORT
    assert json.loads((tmp_path / "all" / "summary.json").read_text())["clusters"] == 2
    assert [suite.name for suite in JUnitXml.fromfile(str(tmp_path / "all" / "junit.xml"))] == [
        "cluster-a",
        "cluster-b",
    ]


@pytest.mark.parametrize("way", ["always", "never"])
def test_modules_in_both_ways(sandbox: Sandbox, ansible: Ansible, tmp_path: Path, way: str) -> None:
    """Inside Ansible's process and in one of their own; in check mode nothing is written."""
    directory = str(tmp_path / "evidence")
    variable = {"AKS_GPU_IN_PROCESS": way}
    options = {
        "host": "c1",
        "directory": directory,
        "cluster_name": "c1",
        "failed_step": "A step",
        "failed_result": {"msg": "Why <b>it</b> failed"},
        "metrics": [
            {"name": "duty", "unit": "%", "points": [["2026-08-01T10:00:00Z", 5], ["2026-08-01T10:01:00Z", 7]]}
        ],
    }
    report = {"directory": directory, "sources": [directory]}
    predicted = ansible.module("aks.gpu.evidence", options, check=True, environment=variable)
    assert (predicted["changed"], predicted["verdict"], predicted["path"]) == (False, "not_looked_at", None)
    assert not Path(directory).exists()
    for _unused in range(2):
        done = ansible.module("aks.gpu.evidence", options, environment=variable)
        assert (done["changed"], done["failed"]) == (False, False)
        assert Path(done["path"]).exists()
    SCHEMA.validate(done["evidence"])
    assert ansible.module("aks.gpu.evidence_report", report, check=True, environment=variable)["made"]
    assert files(Path(directory)) == {"clusters"}
    done = ansible.module("aks.gpu.evidence_report", report, environment=variable)
    assert (done["changed"], done["summary"]["not_looked_at"]) == (False, 1)
    assert "Why &lt;b&gt;it&lt;/b&gt; failed" in Path(done["page"]).read_text()


def test_a_directory_that_cannot_be_written(sandbox: Sandbox, ansible: Ansible, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = ansible.module("aks.gpu.evidence", {"host": "c1", "directory": str(tmp_path / "file")})
    assert done["failed"]
    assert "can't be written" in done["msg"]
