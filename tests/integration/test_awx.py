# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""examples/awx as a project of AWX: its inventory source, its job templates with what surveys answer, its workflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aks_sandbox.testing import Sandbox
from environment import ROOT
from harness import descendants, pools
from runner_harness import Image, Job, credential, everything_written

Json = dict[str, Any]

PROJECT = ROOT / "examples" / "awx"
ASSETS: Json = yaml.safe_load((PROJECT / "assets.yml").read_text())


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image.built(tmp_path_factory.mktemp("image"))


def questions(template: str) -> list[Json]:
    (found,) = [each for each in ASSETS["job_templates"] if each["name"] == template]
    survey: Json = found["related"].get("survey_spec", {"spec": []})
    return list(survey["spec"])


def answers(template: str, **given: Any) -> Json:
    """What a job gets: each default, empty texts among them as AWX before 2026 hands them on, and what was answered."""
    spec = questions(template)
    assert set(given) <= {question["variable"] for question in spec}
    return {**{question["variable"]: question["default"] for question in spec}, **given}


def inventory_source(image: Image, azure: Sandbox) -> Json:
    """What AWX's update of the inventory source reads."""
    (source,) = ASSETS["inventory_sources"]
    done = subprocess.run(
        ["ansible-inventory", "-i", source["source_path"], "--list", "--export"],
        env={**image.environment(), **credential(azure)},
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    found: Json = json.loads(done.stdout)
    return found


def launched(
    folder: Path, image: Image, azure: Sandbox, inventory: Json, template: str, extra_vars: Json, *arguments: str
) -> Job:
    (found,) = [each for each in ASSETS["job_templates"] if each["name"] == template]
    return Job(folder, image, found["playbook"], PROJECT, inventory, credential(azure), extra_vars, arguments)


def test_a_workflow_with_surveys(tmp_path: Path, image: Image, sandbox: Sandbox) -> None:
    """Provision, verify, cleanup; the artifacts of a job are extra variables of the next, as in AWX."""
    inventory = inventory_source(image, sandbox)
    site = launched(
        tmp_path / "site",
        image,
        sandbox,
        inventory,
        "GPU site",
        answers(
            "GPU site",
            node_pool_enable_auto_scaling="false",
            node_pool_count=2,
            node_pool_node_taints=" sku=gpu:NoSchedule , team=vision:NoExecute,",
            node_pool_availability_zones="1, 2",
        ),
    )
    assert site.run() == "successful", site.output()
    pool = pools(sandbox)["gpunp"]["properties"]
    assert (pool["vmSize"], pool["count"], pool["enableAutoScaling"]) == ("Standard_NC4as_T4_v3", 2, False)
    assert pool["nodeTaints"] == ["sku=gpu:NoSchedule", "team=vision:NoExecute"]
    assert sorted(pool["availabilityZones"]) == ["1", "2"]
    handed_on = site.handed_on()
    assert handed_on["aks_gpu_summary"]["works"] == 1

    events = site.events()
    counters = [int(event["counter"]) for event in events]
    assert counters == list(range(1, len(counters) + 1))
    assert {"playbook_on_start", "playbook_on_play_start", "runner_on_ok", "playbook_on_stats"} <= {
        event["event"] for event in events
    }

    verify = launched(
        tmp_path / "verify",
        image,
        sandbox,
        inventory,
        "GPU verify",
        {**answers("GPU verify", gpu_verify_minimum_accuracy=0.9), **handed_on},
    )
    assert verify.run() == "successful", verify.output()
    cleanup = launched(
        tmp_path / "cleanup", image, sandbox, inventory, "GPU cleanup", {**answers("GPU cleanup"), **handed_on}
    )
    assert cleanup.run() == "successful", cleanup.output()
    assert "gpunp" not in pools(sandbox)

    for job in (site, verify, cleanup):
        for path, content in everything_written(job.folder):
            if path not in (job.sent / "env" / "envvars", job.artifacts / "command"):
                assert sandbox.variables["AZURE_SECRET"].encode() not in content, path
                assert b"BEGIN RSA PRIVATE KEY" not in content, path


def test_check_and_diff_without_an_answer(tmp_path: Path, image: Image, sandbox: Sandbox) -> None:
    """A template of the type "check" with nothing but the survey's defaults changes nothing."""
    inventory = inventory_source(image, sandbox)
    job = launched(tmp_path / "check", image, sandbox, inventory, "GPU site", answers("GPU site"), "--check", "--diff")
    mark = sandbox.mark()
    assert job.run() == "successful", job.output()
    assert sandbox.writes(mark) == []
    assert "maxCount" in job.output() or "max_count" in job.output()


@pytest.fixture
def slow() -> Iterator[Sandbox]:
    """An Azure without Kubernetes in which a pool takes its time."""
    with Sandbox.started("awx-slow", kubernetes=False, clusters=2, settings={"clock_speed": 1.0}) as own:
        yield own


def test_a_job_that_is_cancelled_and_launched_again(tmp_path: Path, image: Image, slow: Sandbox) -> None:
    """AWX cancels by SIGTERM to the worker. Nothing is left running; the next job takes up what goes on in Azure."""
    inventory = inventory_source(image, slow)
    mark = slow.mark()
    arguments = ("--skip-tags", "kubernetes")
    job = launched(tmp_path / "first", image, slow, inventory, "GPU site", answers("GPU site"), *arguments)
    job.start()
    deadline = time.monotonic() + 120
    while len([each for each in slow.writes(mark) if each["method"] == "PUT"]) < 2:
        assert time.monotonic() < deadline, job.output()
        time.sleep(0.1)
    started = descendants(job.worker.pid)
    os.kill(job.worker.pid, signal.SIGTERM)
    assert job.wait(60) == "canceled", job.output()
    deadline = time.monotonic() + 30
    while left := [pid for pid in started if alive(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert not (job.folder / "node" / "private").exists()

    slow.set(clock_speed=60.0)
    again = launched(tmp_path / "again", image, slow, inventory, "GPU site", answers("GPU site"), *arguments)
    assert again.run() == "successful", again.output()
    assert len([each for each in slow.writes(mark) if each["method"] == "PUT"]) == 2
    client = slow.container_service("owner")
    for name in inventory["_meta"]["hostvars"]:
        pool = client.agent_pools.get(slow.resource_group, name, "gpunp")
        assert pool.as_dict()["properties"]["provisioningState"] == "Succeeded"


def alive(pid: int) -> bool:
    """Is the process there, and no zombie?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_surveys_name_what_exists() -> None:
    known = {"gpu_stack", "asked_vm_size"}
    for spec in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        known |= set(yaml.safe_load(spec.read_text())["argument_specs"]["main"]["options"])
    for template in ASSETS["job_templates"]:
        assert (PROJECT / template["playbook"]).is_file()
        for question in questions(template["name"]):
            assert question["variable"] in known
            assert question["type"] in ("text", "integer", "float", "multiplechoice")
            assert {"question_name", "question_description", "required", "default"} <= question.keys()
            assert question["default"] != "" or not question["required"]
    for template in (*ASSETS["job_templates"], *ASSETS["workflow_job_templates"]):
        assert template["survey_enabled"] == ("survey_spec" in template["related"])
