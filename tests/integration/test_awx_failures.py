# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflow of examples/awx after a failure: what it removes, what it leaves, and how it ends.

What a real AWX 24.6.2 did with the workflow before: one 403 on one of three clusters, and its clean-up removed the
working, unchanged pools of the two others; then it was successful. `awx_workflow` has AWX's rules and their sources.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aks_sandbox.testing import Sandbox
from awx_workflow import Ended, Launch, Workflow
from environment import ROOT
from harness import QUICK, pools
from runner_harness import Image, Job, credential, sliced

Json = dict[str, Any]

PROJECT = ROOT / "examples" / "awx"
ASSETS: Json = yaml.safe_load((PROJECT / "assets.yml").read_text())
(WORKFLOW,) = ASSETS["workflow_job_templates"]
TEMPLATES: dict[str, Json] = {each["name"]: each for each in ASSETS["job_templates"]}
ADDRESS = "https://awx.example.com"
OLD, NEW, REFUSED = "myAKSCluster", "myAKSCluster2", "myAKSCluster3"
"""A cluster whose pool was there before; one that gets its pool now; one on which Azure refuses."""

FORBIDDEN = {
    "error": {
        "code": "AuthorizationFailed",
        "message": "The client does not have authorization to perform action "
        "'Microsoft.ContainerService/managedClusters/agentPools/write' over scope.",
    }
}
Cancel = Callable[[Job, Launch], None]


def survey(spec: list[Json]) -> Json:
    return {question["variable"]: question["default"] for question in spec}


class Awx:
    """Runs the jobs of workflows in one place."""

    def __init__(self, folder: Path, image: Image, azure: Sandbox) -> None:
        self.folder, self.image, self.azure = folder, image, azure
        self.jobs: dict[str, list[Job]] = {}
        hosts = {
            name: {"aks_resource_group": azure.resource_group, "aks_cluster_name": name} for name in (OLD, NEW, REFUSED)
        }
        self.inventory: Json = {"_meta": {"hostvars": hosts}, "all": {"hosts": list(hosts)}}
        self.cancels: dict[str, Cancel] = {}

    def job(self, name: str, playbook: str, extra_vars: Json, *arguments: str, inventory: Json | None = None) -> Job:
        """A job of a template, with what AWX puts into each job's environment (RunJob.build_env in tasks/jobs.py)."""
        environment = credential(self.azure, AWX_HOST=ADDRESS)
        folder = self.folder / name
        return Job(
            folder, self.image, playbook, PROJECT, inventory or self.inventory, environment, extra_vars, arguments
        )

    def perform(self, launch: Launch) -> Ended:
        """Run a node's job."""
        template = TEMPLATES[launch.template]
        spec = template["related"].get("survey_spec", {"spec": []})["spec"]
        inventory = sliced(self.inventory, *launch.slice)
        name = f"{launch.variables['awx_workflow_job_id']}-{launch.variables['awx_job_id']}-{launch.node}"
        job = self.job(name, template["playbook"], {**survey(spec), **launch.variables}, inventory=inventory)
        self.jobs.setdefault(launch.node, []).append(job)
        job.start()
        if launch.node in self.cancels:
            self.cancels[launch.node](job, launch)
        status = job.wait(600.0)
        return Ended(status, {} if status == "canceled" else job.handed_on())

    def workflow(self, **options: Any) -> Workflow:
        answers = {**survey(WORKFLOW["related"]["survey_spec"]["spec"]), "node_pool_enable_auto_scaling": "false"}
        return Workflow(WORKFLOW, {**answers, "node_pool_count": 1}, self.perform, **options)

    def output(self, node: str) -> str:
        return "\n".join(job.output() for job in self.jobs[node])

    def failed_hosts(self, node: str) -> list[str]:
        return sorted(host for job in self.jobs[node] for host in job.failed_hosts())

    def etag(self, cluster: str) -> str | None:
        pool = pools(self.azure, cluster).get("gpunp")
        return None if pool is None else str(pool["properties"]["eTag"])

    def daemon_sets(self, cluster: str) -> str:
        return self.azure.kubectl("get", "daemonsets", "-n", "gpu-resources", "-o", "name", cluster=cluster)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image.built(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def azure() -> Iterator[Sandbox]:
    with Sandbox.started("awx-failures", clusters=3, settings=QUICK) as own:
        yield own


@pytest.fixture
def awx(tmp_path: Path, image: Image, azure: Sandbox) -> Iterator[Awx]:
    """Three clusters, of which the first has a pool that a job of another day has made."""
    azure.clear_faults()
    azure.set(**QUICK)
    awx = Awx(tmp_path, image, azure)
    before = awx.job("before", "site.yml", {"node_pool_enable_auto_scaling": "false"}, "--limit", OLD)
    assert before.run() == "successful", before.output()
    yield awx
    azure.clear_faults()
    azure.set(**QUICK)
    emptied = awx.job("emptied", "cleanup.yml", {})
    assert emptied.run() == "successful", emptied.output()


@pytest.mark.parametrize(
    ("how", "approves", "order", "status"),
    [
        ({}, True, ["provision", "verify", "metrics"], "successful"),
        ({"metrics": "failed"}, True, ["provision", "verify", "metrics"], "failed"),
        ({"provision": "failed"}, True, ["provision", "approve", "cleanup", "failed"], "failed"),
        ({"provision": "error"}, False, ["provision", "approve", "failed"], "failed"),
        ({"verify": "canceled"}, True, ["provision", "verify", "approve", "cleanup", "failed"], "failed"),
        ({"verify": "failed"}, False, ["provision", "verify", "approve", "failed"], "failed"),
        (
            {"verify": "failed", "cleanup": "failed"},
            True,
            ["provision", "verify", "approve", "cleanup", "failed"],
            "failed",
        ),
    ],
)
def test_which_nodes_run(how: dict[str, str], approves: bool, order: list[str], status: str) -> None:
    """Nothing is removed without an approval, and the last node after a failure is the one that fails."""

    def perform(launch: Launch) -> Ended:
        return Ended({"failed": "failed", **how}.get(launch.node, "successful"))

    workflow = Workflow(WORKFLOW, {}, perform, approves=approves)
    assert (workflow.run(), workflow.order) == (status, order)


def test_one_refusal_among_three_clusters(awx: Awx, azure: Sandbox) -> None:
    """The two that work keep their pools, the refused one loses what was made in vain, and the workflow has failed."""
    azure.fault(method="PUT", path=f"{REFUSED}/agentPools/", times=0, status=403, body=FORBIDDEN)
    kept = awx.etag(OLD)
    mark = azure.mark()
    workflow = awx.workflow()
    assert workflow.run() == "failed"
    assert workflow.order == ["provision", "approve", "cleanup", "failed"]
    assert workflow.status("provision") == "failed"
    assert workflow.status("cleanup") == "successful", awx.output("cleanup")
    assert awx.etag(OLD) == kept
    assert awx.etag(NEW) is not None
    assert pools(azure, NEW)["gpunp"]["properties"]["tags"]["aks.gpu.run"] == "awx.example.com/57"
    assert "aks.gpu.run" not in pools(azure, OLD)["gpunp"]["properties"]["tags"]
    assert awx.etag(REFUSED) is None
    assert "nvidia-device-plugin" in awx.daemon_sets(OLD)
    assert "nvidia-device-plugin" in awx.daemon_sets(NEW)
    assert awx.daemon_sets(REFUSED).strip() == ""
    assert [each for each in azure.writes(mark) if each["method"] == "DELETE"] == []
    assert awx.failed_hosts("provision") == awx.failed_hosts("failed") == [REFUSED]
    assert f"{OLD} is left" in awx.output("cleanup")


def test_a_denied_clean_up_removes_nothing(awx: Awx, azure: Sandbox) -> None:
    azure.fault(method="PUT", path=f"{REFUSED}/agentPools/", times=0, status=403, body=FORBIDDEN)
    workflow = awx.workflow(approves=False)
    assert workflow.run() == "failed"
    assert workflow.order == ["provision", "approve", "failed"]
    assert "nvidia-device-plugin" in awx.daemon_sets(REFUSED)
    assert awx.failed_hosts("failed") == [REFUSED]


def test_slices_and_a_job_that_fails_after_its_pools_are_there(awx: Awx, azure: Sandbox) -> None:
    """Each slice says what became of its hosts. Where the training falls short, a pool of this run goes."""
    kept = awx.etag(OLD)
    workflow = awx.workflow(slices={"provision": 3, "cleanup": 2})
    workflow.answers["asked_minimum_accuracy"] = 1
    assert workflow.run() == "failed"
    assert workflow.order == ["provision", "approve", "cleanup", "failed"]
    handed_on = workflow.ancestors["cleanup"]
    hosts: Json = {}
    for name, summary in handed_on.items():
        if name.startswith("aks_gpu_summary_"):
            hosts.update(summary["hosts"])
    assert hosts == dict.fromkeys((OLD, NEW, REFUSED), "does_not_work")
    assert handed_on["aks_gpu_run"] == "awx.example.com/58"
    assert awx.etag(OLD) == kept
    assert (awx.etag(NEW), awx.etag(REFUSED)) == (None, None)
    assert "it does not say which run created it" in awx.output("cleanup")
    assert awx.failed_hosts("failed") == [OLD, NEW, REFUSED]


def test_a_job_that_is_killed_has_marked_what_it_made(awx: Awx, azure: Sandbox) -> None:
    """It hands on nothing: what is there of this run goes, with approval; what was there before stays."""
    kept = awx.etag(OLD)
    azure.set(clock_speed=0.2)
    mark = azure.mark()

    def cancel(job: Job, launch: Launch) -> None:
        deadline = time.monotonic() + 180
        while len([each for each in azure.writes(mark) if each["method"] == "PUT"]) < 2:
            assert time.monotonic() < deadline, job.output()
            time.sleep(0.1)
        os.kill(job.worker.pid, signal.SIGTERM)
        azure.set(**QUICK)

    awx.cancels["provision"] = cancel
    workflow = awx.workflow()
    assert workflow.run() == "failed"
    assert workflow.status("provision") == "canceled"
    assert workflow.status("cleanup") == "successful", awx.output("cleanup")
    assert awx.etag(OLD) == kept
    assert (awx.etag(NEW), awx.etag(REFUSED)) == (None, None)
    assert awx.failed_hosts("failed") == [OLD, NEW, REFUSED]


def test_outside_of_a_workflow_the_limited_clean_up_is_refused(awx: Awx) -> None:
    """Without a run there is nothing that it could be limited to: it must not turn into one without limits."""
    kept = awx.etag(OLD)
    job = awx.job("alone", "cleanup_failed.yml", {"aks_gpu_run": "", "node_pool_name": "gpunp"})
    assert job.run() == "failed"
    assert "aks_gpu_only_run: true requires aks_gpu_run" in job.output()
    assert awx.etag(OLD) == kept
    assert "nvidia-device-plugin" in awx.daemon_sets(OLD)


def test_the_limited_clean_up_of_users_own_automation(awx: Awx, azure: Sandbox) -> None:
    """cleanup.yml by itself; a name that nothing carries removes nothing, also in check mode."""
    site = awx.job("site", "site.yml", {"aks_gpu_run": "nightly-42", "node_pool_enable_auto_scaling": "false"})
    assert site.run() == "successful", site.output()
    again = awx.job("again", "site.yml", {"aks_gpu_run": "nightly-43", "node_pool_enable_auto_scaling": "false"})
    assert again.run() == "successful", again.output()
    assert not again.stats()["changed"]

    def cleaned(name: str, run: str, *arguments: str) -> Job:
        limits = {"aks_gpu_run": run, "aks_gpu_only_run": "true"}
        job = awx.job(name, "cleanup.yml", limits, *arguments)
        assert job.run() == "successful", job.output()
        return job

    kept = [awx.etag(cluster) for cluster in (OLD, NEW, REFUSED)]
    other = cleaned("other", "nightly-43")
    assert not other.stats()["changed"]
    assert "run nightly-42 created it, not run nightly-43" in other.output()
    assert [awx.etag(cluster) for cluster in (OLD, NEW, REFUSED)] == kept
    mark = azure.mark()
    predicted = cleaned("predicted", "nightly-42", "--check")
    assert azure.writes(mark) == []
    assert sorted(predicted.stats()["changed"]) == [NEW, REFUSED]
    cleaned("this", "nightly-42")
    assert awx.etag(OLD) == kept[0]
    assert (awx.etag(NEW), awx.etag(REFUSED)) == (None, None)
    assert "nvidia-device-plugin" in awx.daemon_sets(OLD)


def test_a_hint_names_what_can_be_set(awx: Awx, azure: Sandbox) -> None:
    """AllocationFailed, as AKS#5808 shows it: what the hint says makes the next run work."""
    fault = {"code": "AllocationFailed", "message": "Allocation failed. We do not have sufficient capacity."}
    azure.fault(method="PUT", path=f"{NEW}/agentPools/gpunp", operation=fault)
    first = awx.job("first", "site.yml", {"node_pool_enable_auto_scaling": "false"}, "--limit", NEW)
    assert first.run() == "failed"
    assert "node_pool_repair: true" in first.output()
    assert "with repair: true" not in first.output()
    asked = {question["variable"] for question in TEMPLATES["GPU site"]["related"]["survey_spec"]["spec"]}
    assert "node_pool_repair" in asked
    repaired = {"node_pool_enable_auto_scaling": "false", "node_pool_repair": "true"}
    again = awx.job("repaired", "site.yml", repaired, "--limit", NEW)
    assert again.run() == "successful", again.output()
