# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""examples/awx as a project of AWX: its inventory source, its job templates with what surveys answer, its workflow."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aks_sandbox.testing import Sandbox
from awx_launch import from_the_form, handed_on
from environment import ROOT
from harness import pools
from monitoring_harness import Monitored, monitoring_environment
from processes import descendants, is_running
from runner_harness import CREDENTIAL, Image, Job, credential, everything_written

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
    folder: Path,
    image: Image,
    azure: Sandbox,
    inventory: Json,
    template: str,
    extra_vars: Json,
    *arguments: str,
    environment: dict[str, str] | None = None,
) -> Job:
    (found,) = [each for each in ASSETS["job_templates"] if each["name"] == template]
    rights = environment or credential(azure)
    return Job(folder, image, found["playbook"], PROJECT, inventory, rights, extra_vars, arguments)


@pytest.fixture
def cluster(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Monitored]:
    """A cluster with Container Insights, which is off again afterwards."""
    for name, value in monitoring_environment(sandbox).items():
        monkeypatch.setenv(name, value)
    sandbox.set(metrics_interval_seconds=0.5, accelerator_metrics="always")
    found = Monitored(sandbox)
    found.workspace("logs-awx")
    switched = found.run("monitoring", container_insights=True, workspace="logs-awx")
    assert not switched["failed"], switched["msg"]
    yield found
    found.forget()


def test_a_workflow_with_surveys(tmp_path: Path, image: Image, cluster: Monitored) -> None:
    """Provision, verify, metrics, cleanup; what a node hands on, and the answers, are variables of the next."""
    sandbox = cluster.sandbox
    inventory = inventory_source(image, sandbox)
    given = answers(
        "GPU site",
        node_pool_enable_auto_scaling="false",
        node_pool_count=2,
        node_pool_node_taints=" sku=gpu:NoSchedule , team=vision:NoExecute,",
        node_pool_availability_zones="1, 2",
    )

    def node(template: str, *before: Job) -> Job:
        handed_on = {name: value for job in before for name, value in job.handed_on().items()}
        kept = {"gpu_verify_evidence_directory": str(tmp_path / "evidence" / template)}
        variables = {**answers(template), **given, **handed_on, **kept}
        rights = monitoring_environment(sandbox) if template == "GPU metrics" else {}
        environment = {**credential(sandbox), **{name: rights[name] for name in CREDENTIAL if name in rights}}
        job = launched(tmp_path / template, image, sandbox, inventory, template, variables, environment=environment)
        assert job.run() == "successful", job.output()
        return job

    site = node("GPU site")
    pool = pools(sandbox)["gpunp"]["properties"]
    assert (pool["vmSize"], pool["count"], pool["enableAutoScaling"]) == ("Standard_NC4as_T4_v3", 2, False)
    assert pool["nodeTaints"] == ["sku=gpu:NoSchedule", "team=vision:NoExecute"]
    assert sorted(pool["availabilityZones"]) == ["1", "2"]
    assert site.handed_on()["aks_gpu_summary"]["works"] == 1

    events = site.events()
    counters = [int(event["counter"]) for event in events]
    assert counters == list(range(1, len(counters) + 1))
    assert {"playbook_on_start", "playbook_on_play_start", "runner_on_ok", "playbook_on_stats"} <= {
        event["event"] for event in events
    }

    verify = node("GPU verify", site)
    assert f"{cluster.name} works: 2 GPU(s) on 2 node(s), samples-tf-mnist-demo complete" in verify.output()
    (document,) = (tmp_path / "evidence" / "GPU verify" / "clusters").glob("*.json")
    evidence = json.loads(document.read_text())
    assert evidence["asked"]["minimum_accuracy"] == 0.9  # what the article's Job is known for
    assert "accuracy" in {check["name"] for check in evidence["checks"] if check["holds"]}
    metrics = node("GPU metrics", site, verify)
    assert re.search(rf"{cluster.name} +2 +2 ", metrics.output()), metrics.output()
    cleanup = node("GPU cleanup", site, verify)
    assert "gpunp" not in pools(sandbox)

    for job in (site, verify, metrics, cleanup):
        for path, content in everything_written(job.folder):
            if path not in (job.sent / "env" / "envvars", job.artifacts / "command"):
                assert sandbox.variables["AZURE_SECRET"].encode() not in content, path
                assert b"BEGIN RSA PRIVATE KEY" not in content, path


def test_a_workflow_whose_first_node_fails(tmp_path: Path, image: Image, sandbox: Sandbox) -> None:
    """A clean-up without a limit gets the answers of the workflow and what the failed job has handed on."""
    inventory = inventory_source(image, sandbox)
    given = answers("GPU site", node_pool_name="tried", asked_minimum_accuracy=1)
    site = launched(tmp_path / "site", image, sandbox, inventory, "GPU site", given)
    assert site.run() == "failed", site.output()
    assert "is complete, but did not do what is asked for" in site.output()
    assert "tried" in pools(sandbox)
    handed_on = site.handed_on()
    assert (handed_on["aks_gpu_summary"]["clusters"], handed_on["aks_gpu_summary"]["works"]) == (1, 0)

    variables = {**answers("GPU cleanup"), **given, **handed_on}
    cleanup = launched(tmp_path / "cleanup", image, sandbox, inventory, "GPU cleanup", variables)
    assert cleanup.run() == "successful", cleanup.output()
    assert "tried" not in pools(sandbox)
    assert not sandbox.kubectl("get", "jobs,daemonsets", "-A", "-l", "app=samples-tf-mnist-demo", "-o", "name").strip()
    assert "nvidia-device-plugin" not in sandbox.kubectl("get", "daemonsets", "-A", "-o", "name")


def test_check_and_diff_without_an_answer(tmp_path: Path, image: Image, sandbox: Sandbox) -> None:
    """A template of the type "check" with nothing but the survey's defaults changes nothing."""
    inventory = inventory_source(image, sandbox)
    job = launched(tmp_path / "check", image, sandbox, inventory, "GPU site", answers("GPU site"), "--check", "--diff")
    mark = sandbox.mark()
    assert job.run() == "successful", job.output()
    assert sandbox.writes(mark) == []
    assert "maxCount" in job.output() or "max_count" in job.output()


def test_managed_gpus_without_another_answer(tmp_path: Path, image: Image, sandbox: Sandbox) -> None:
    """AWX's form sends no empty answer, and AWX hands on no default that isn't a choice (awx_launch.py)."""
    survey = {"spec": questions("GPU site")}
    given = handed_on({}, survey, from_the_form(survey, gpu_stack="managed"))
    job = launched(tmp_path / "managed", image, sandbox, inventory_source(image, sandbox), "GPU site", given, "--check")
    mark = sandbox.mark()
    assert job.run() == "successful", job.output()
    assert sandbox.writes(mark) == []


MEANT = {
    "device_plugin_node_pool",
    "gpu_operator_chart_repository",
    "gpu_verify_gpus_per_node",
    "gpu_verify_job",
    "gpu_verify_log_pattern",
    "gpu_verify_minimum_accuracy",
    "mnist_log_pattern",
    "mnist_minimum_accuracy",
    "node_pool_node_taints",
    "node_pool_vm_size",
    "preview_feature_name",
}
"""Options for which the documentation of a role says what empty text means."""


def unanswered() -> Json:
    """Empty text for every option of the roles that the playbooks run, but for those that say which way all goes."""
    names: set[str] = set()
    for role in ("preview_feature", "node_pool", "device_plugin", "gpu_operator", "mnist", "gpu_verify"):
        spec = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())
        options: Json = spec["argument_specs"]["main"]["options"]
        names |= {name for name, rules in options.items() if not rules.get("required")}
    ways = {name for name in names if name.endswith(("_state", "_gpu_stack"))}
    return {**dict.fromkeys(sorted(names - ways - MEANT), ""), "gpu_stack": ""}


def test_an_empty_answer_is_an_unset_option(tmp_path: Path, image: Image, sandbox: Sandbox) -> None:
    """What a job without a single answer has made is what one without questions wants; the others take the same."""
    inventory = inventory_source(image, sandbox)

    def job(name: str, playbook: str, extra_vars: Json) -> Job:
        made = Job(tmp_path / name, image, playbook, PROJECT, inventory, credential(sandbox), extra_vars)
        assert made.run() == "successful", made.output()
        assert not re.search("^.*(?:WARNING|DEPRECATION).*$", made.output(), re.MULTILINE)
        return made

    job("unanswered", "site.yml", unanswered())
    assert pools(sandbox)["gpunp"]["properties"]["enableAutoScaling"] is True
    assert not job("unasked", "site.yml", {}).stats()["changed"]
    assert not job("again", "site.yml", unanswered()).stats()["changed"]
    assert job("verify", "verify.yml", unanswered()).handed_on()["aks_gpu_summary"]["works"] == 1
    job("cleanup", "cleanup.yml", unanswered())
    assert "gpunp" not in pools(sandbox)


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
    while left := [pid for pid in started if is_running(pid)]:
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


def test_surveys_name_what_exists() -> None:
    known = {"gpu_stack", "asked_vm_size", "asked_minimum_accuracy"}
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
