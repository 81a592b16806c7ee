# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job of AWX shows, and what it stores: measured on the events that ansible-runner has written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aks_sandbox.testing import Sandbox
from harness import QUICK
from runner_harness import Image, Job, credential
from test_awx import PROJECT

Json = dict[str, Any]

MOST_BYTES = 60_000
"""For a cluster of a fleet of three, of the events of a run: files of job_events as ansible-runner writes them, and AWX
stores the same. Before this was looked after they were 180,014."""

MOST_BYTES_ALONE = 80_000
"""For a single cluster, which shares the start of plays and tasks with no other one. It was 222,422."""

MOST_SKIPPED = 8
LIST_SHOWS = 1024
"""Bytes of an event's output that AWX shows in a job's list of events: EVENT_STDOUT_MAX_BYTES_DISPLAY of
https://github.com/ansible/awx/blob/24.6.1/awx/main/conf.py, by default 1024."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image.built(tmp_path_factory.mktemp("image"))


class Runs:
    """Jobs of all clusters of a sandbox."""

    def __init__(self, folder: Path, image: Image, sandbox: Sandbox) -> None:
        self.folder, self.image, self.sandbox = folder, image, sandbox

    def job(self, name: str, playbook: str, status: str = "successful", **given: Any) -> Job:
        group = self.sandbox.resource_group
        names = [each["name"] for each in self.sandbox.status()["clusters"]]
        hosts = {each: {"aks_resource_group": group, "aks_cluster_name": each} for each in names}
        inventory = {"_meta": {"hostvars": hosts}, "all": {"hosts": names}}
        rights = credential(self.sandbox)
        # AWX gives every job its number: awx_meta_vars in awx/main/models/unified_jobs.py.
        variables = {"awx_job_id": 57, **given}
        made = Job(self.folder / name, self.image, f"{playbook}.yml", PROJECT, inventory, rights, variables)
        assert made.run() == status, made.output()
        return made


@pytest.fixture
def runs(tmp_path: Path, image: Image, sandbox: Sandbox) -> Runs:
    return Runs(tmp_path, image, sandbox)


def stored(job: Job) -> int:
    """Bytes of the files of its events."""
    return sum(path.stat().st_size for path in (job.artifacts / "job_events").glob("*.json"))


def by_task(job: Job) -> list[tuple[int, str]]:
    """Bytes by task, to see in a failure where they are."""
    found: dict[str, int] = {}
    for path in (job.artifacts / "job_events").glob("*.json"):
        event = next(each for each in job.events() if each["uuid"] in path.name)
        task = str(event["event_data"].get("task", event["event"]))
        found[task] = found.get(task, 0) + path.stat().st_size
    return sorted(((size, task) for task, size in found.items()), reverse=True)


def skipped(job: Job) -> list[str]:
    return [event["event_data"]["task"] for event in job.events() if event["event"] == "runner_on_skipped"]


def outputs(job: Job, words: str) -> list[str]:
    """What the events print in which the words are, without line ends that are Ansible's."""
    texts = [str(event["stdout"]) for event in job.events()]
    return [text for text in texts if words in text]


def assert_is_short(job: Job) -> None:
    hosts = len(job.inventory["all"]["hosts"])
    most = MOST_BYTES if hosts > 1 else MOST_BYTES_ALONE
    assert stored(job) / hosts <= most, (stored(job), by_task(job))
    assert len(skipped(job)) <= MOST_SKIPPED * hosts, skipped(job)


def assert_fits(job: Job, verdict: str) -> None:
    """The verdict is printed by one event, and all that it prints is shown in the list; it begins with the verdict."""
    (text,) = outputs(job, verdict)
    assert len(text.encode()) <= LIST_SHOWS, text
    assert text.split('"msg": [')[-1].split('"')[1].startswith(verdict), text


def test_what_works(runs: Runs) -> None:
    works = f"{runs.sandbox.cluster} works: 1 GPU(s) on 1 node(s), samples-tf-mnist-demo complete on Tesla T4"
    site = runs.job("site", "site")
    assert_fits(site, works)
    assert_is_short(site)
    assert site.handed_on()["aks_gpu_summary"]["works"] == 1
    again = runs.job("again", "site")
    assert not again.stats()["changed"]
    assert_is_short(again)
    assert_fits(again, works)
    verify = runs.job("verify", "verify")
    assert_is_short(verify)
    assert_fits(verify, works)
    assert_is_short(runs.job("cleanup", "cleanup"))


def test_a_fleet(tmp_path: Path, image: Image) -> None:
    """One that works, and again; and one in which each cluster is judged and found wrong, as the last of all steps."""
    with Sandbox.started("awx-output", clusters=3, settings=QUICK) as own:
        runs = Runs(tmp_path, image, own)
        assert_is_short(runs.job("site", "site"))
        assert_is_short(runs.job("again", "site"))
        assert_is_short(runs.job("other", "site", "failed", node_pool_name="other"))
        wrong = runs.job("wrong", "site", "failed", node_pool_name="other")
        assert_is_short(wrong)
        assert len(outputs(wrong, "0 of 3 clusters work")) == 1


def test_what_was_judged_and_found_wrong(runs: Runs) -> None:
    """The reason is shown once, as the verdict. The article's Job is not bound to a pool, and stays on its own."""
    runs.job("site", "site")
    other = runs.job("other", "site", "failed", node_pool_name="other")
    assert_is_short(other)
    (text,) = outputs(other, "on a node of the node pool gpunp, not of other")
    assert f"{runs.sandbox.cluster} does not work: where the Job samples-tf-mnist-demo ran" in text[:LIST_SHOWS]
    assert len(text.encode()) <= LIST_SHOWS
    runs.job("cleanup", "cleanup", node_pool_name="other")


def test_a_job_that_did_not_do_what_is_asked_for(runs: Runs) -> None:
    """The wait for it says so, once; the verdict at the end names the wait. In the evidence it is an assertion."""
    site = runs.job("site", "site", "failed", gpu_verify_minimum_accuracy="1")
    assert_is_short(site)
    assert len(outputs(site, "or more is asked for")) == 1
    step = "Wait until the Job is complete"
    assert_fits_failure(site, f"{runs.sandbox.cluster} does not work. The step that failed says why: {step}")
    (failed,) = site.handed_on()["aks_gpu_summary"]["failed"]
    assert "does not work: accuracy at the last step" in failed["headline"]


REASON = (
    "The VM size of Standard_NC4as_T4_v3 is not allowed in your subscription in location 'westus2'. For more details "
    "on VM size availability, see the list of sizes."
)
"""A made-up refusal of usual length; what counts is how often it is shown."""


def test_a_step_that_failed(runs: Runs) -> None:
    """Its reason is shown once, by the step; the verdict at the end names the step."""
    refused = {"error": {"code": "BadRequest", "message": REASON}}
    runs.sandbox.fault(method="PUT", path="/agentPools/gpunp", status=400, body=refused, times=0)
    site = runs.job("site", "site", "failed")
    assert_is_short(site)
    assert len(outputs(site, REASON[:60])) == 1
    assert_fits_failure(site, f"{runs.sandbox.cluster} could not be looked at. The step that failed says why: ")


def assert_fits_failure(job: Job, verdict: str) -> None:
    (text,) = outputs(job, verdict)
    assert verdict in text[:LIST_SHOWS]
    last = [event for event in job.events() if event["event"] == "runner_on_failed"][-1]
    assert last["stdout"] == text
