# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`awx import < examples/awx/assets.yml`, by AWX's own client, into a server that answers as AWX (awx_server.py)."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from awx_launch import from_the_form
from awx_server import KINDS, Awx, serving
from environment import ROOT, virtual_environment

Json = dict[str, Any]

PROJECT = ROOT / "examples" / "awx"
FILE = PROJECT / "assets.yml"
PAGE = ROOT / "docs" / "awx.md"
ASSETS: Json = {name: value for name, value in yaml.safe_load(FILE.read_text()).items() if name[:2] != "x-"}
ACROSS = re.DOTALL | re.MULTILINE
AZURE = "Microsoft Azure Resource Manager"
Client = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def programs() -> Path:
    return virtual_environment("awx").parent


@pytest.fixture
def awx() -> Awx:
    return Awx([path.name for path in PROJECT.glob("*.yml") if path != FILE])


@pytest.fixture
def url(awx: Awx) -> Iterator[str]:
    with serving(awx) as found:
        yield found


@pytest.fixture
def client(programs: Path, url: str) -> Client:
    """Runs the program `awx`."""

    def run(*words: str, file: str | None = None) -> subprocess.CompletedProcess[str]:
        who = {"CONTROLLER_HOST": url, "CONTROLLER_OAUTH_TOKEN": "token"}
        environment = {"PATH": os.defpath, "HOME": "/nonexistent", **who}
        return subprocess.run(
            [str(programs / "awx"), *words], input=file, env=environment, text=True, capture_output=True, check=False
        )

    return run


@pytest.fixture
def imported(client: Client) -> Client:
    """Imports a file, that of the example unless another is given."""

    def run(assets: Json | None = None) -> subprocess.CompletedProcess[str]:
        return client("-f", "yaml", "import", file=FILE.read_text() if assets is None else yaml.safe_dump(assets))

    return run


def well(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rror" not in done.stdout + done.stderr


def launch(awx: Awx, name: str, template: str, **body: Any) -> tuple[int, Json]:
    return awx.answer("POST", f"/api/v2/{name}/{template}++Default/launch/".replace(" ", "%20"), body)


def extra_vars(awx: Awx, name: str, template: str, **body: Any) -> Json:
    status, job = launch(awx, name, template, **body)
    assert status == 201, job
    found: Json = json.loads(job["extra_vars"])
    return found


@pytest.mark.parametrize("superuser", [True, False], ids=["superuser", "admin-of-the-organization"])
def test_an_import_and_the_same_again(awx: Awx, imported: Client, superuser: bool) -> None:
    awx.superuser = superuser
    well(imported())
    assert awx.refusals == []
    first = awx.state()
    well(imported())
    assert awx.refusals == []
    assert awx.state() == first

    project, inventory = awx.named("projects", "aks.gpu"), awx.named("inventories", "AKS clusters")
    image, azure = awx.named("execution_environments", "aks.gpu"), awx.named("credentials", "Azure")
    assert len(awx.objects["job_templates"]) == len(ASSETS["job_templates"])
    for template in awx.objects["job_templates"].values():
        targets = [template[field] for field in ("organization", "inventory", "project", "execution_environment")]
        assert targets == [1, inventory["id"], project["id"], image["id"]]
        assert awx.attached[f"{template['url']}credentials/"] == [azure["id"]]
        assert (awx.survey_of(template) is not None) is template["survey_enabled"]
    (source,) = awx.objects["inventory_sources"].values()
    targets = [source[field] for field in ("inventory", "source_project", "credential", "execution_environment")]
    assert targets == [inventory["id"], project["id"], azure["id"], image["id"]]


def test_the_workflow(awx: Awx, imported: Client) -> None:
    """Each node of the file is there, with its template and its edges."""
    well(imported())
    nodes = awx.objects["workflow_job_template_nodes"]
    (workflow,) = ASSETS["workflow_job_templates"]
    wanted = workflow["related"]["workflow_nodes"]
    assert sorted(each["identifier"] for each in nodes.values()) == sorted(each["identifier"] for each in wanted)
    for node in wanted:
        found = awx.named("workflow_job_template_nodes", node["identifier"], "identifier")
        wish = node.get("unified_job_template") or node["related"]["create_approval_template"]
        assert awx.template(found["unified_job_template"])["name"] == wish["name"]
        for part in ("success_nodes", "failure_nodes", "always_nodes"):
            ends = [nodes[each]["identifier"] for each in awx.attached.get(f"{found['url']}{part}/", [])]
            assert sorted(ends) == sorted(each["identifier"] for each in node.get("related", {}).get(part, []))


@pytest.mark.parametrize("kind", ASSETS)
def test_field_names(kind: str) -> None:
    """AWX's client drops a name that the API doesn't take without a word, as `organization` of job templates."""
    listed = KINDS["inventories" if kind == "inventory" else kind]
    for asset in ASSETS[kind]:
        assert set(asset) - {"related", "natural_key"} <= set(listed.fields)
        assert asset["natural_key"]["type"] == listed.type


def test_a_source_that_is_named_by_an_organization_imports_once(awx: Awx, imported: Client) -> None:
    """The sentence is AWX's (PrimordialModel.validate_unique in awx/main/models/base.py), as a real one said it."""
    wrong = copy.deepcopy(ASSETS)
    key = wrong["inventory_sources"][0]["natural_key"]
    key["organization"] = key["inventory"]["organization"]
    well(imported(wrong))
    again = imported(wrong)
    assert again.returncode == 1
    assert "InventorySource with this (inventory, name) combination already exists." in again.stdout + again.stderr


def test_an_image_without_organization_is_for_superusers(awx: Awx, imported: Client) -> None:
    """ExecutionEnvironmentAccess in awx/main/access.py; it can't get one later (ExecutionEnvironmentSerializer)."""
    wrong = copy.deepcopy(ASSETS)
    del wrong["execution_environments"][0]["organization"]
    awx.superuser = False
    refused = imported(wrong)
    assert refused.returncode == 1
    assert "You do not have permission to perform this action." in refused.stdout + refused.stderr

    awx.superuser = True
    well(imported(wrong))
    assert "Cannot change the organization of an execution environment" in imported().stderr


def test_what_an_import_brings_back(awx: Awx, imported: Client) -> None:
    """Fields yes, also those that the file doesn't name; nothing that was added is removed."""
    well(imported())
    template = awx.named("job_templates", "GPU site")
    nodes = awx.objects["workflow_job_template_nodes"]
    provision = awx.named("workflow_job_template_nodes", "provision", "identifier")
    first, last = provision["url"], max(nodes)
    template.update(forks=1, verbosity=3)
    awx.surveys.pop(f"{template['url']}survey_spec/")
    project = awx.named("projects", "aks.gpu")
    project["credential"] = awx.named("credentials", "Azure")["id"]
    workflow = awx.named("workflow_job_templates", ASSETS["workflow_job_templates"][0]["name"])
    added = awx.add("workflow_job_template_nodes", {"identifier": "mine", "workflow_job_template": workflow["id"]})
    awx.attached.setdefault(f"{first}always_nodes/", []).append(added["id"])

    well(imported())
    assert (template["forks"], template["verbosity"]) == (20, 0)
    assert awx.survey_of(template) is not None
    assert project["credential"], "the file doesn't name one, and an id has no default"
    assert {added["id"], last} <= set(nodes)
    assert added["id"] in awx.attached[f"{first}always_nodes/"]


def test_a_replaced_credential_stays(awx: Awx, imported: Client) -> None:
    """JobTemplateCredentialsList.is_valid_relation in awx/api/views/__init__.py."""
    well(imported())
    kind = awx.named("credential_types", AZURE)
    other = awx.add("credentials", {"name": "Other", "organization": 1, "credential_type": kind["id"]})
    attached = awx.attached[f"{awx.named('job_templates', 'GPU site')['url']}credentials/"]
    attached[:] = [other["id"]]
    done = imported()
    assert done.returncode == 1
    assert f"Cannot assign multiple {AZURE} credentials." in done.stdout + done.stderr
    assert attached == [other["id"]]


def test_a_project_that_cannot_be_read(awx: Awx, imported: Client, client: Client) -> None:
    """Project.save in awx/main/models/projects.py starts an update of a new project, and when its address changes."""
    awx.synchronizes = False
    failed = imported()
    assert failed.returncode == 1
    assert "Playbook not found for project." in failed.stdout + failed.stderr
    assert not awx.objects["job_templates"]

    awx.synchronizes = True
    assert imported().returncode == 1, "the second import starts no update"
    assert not awx.objects["job_templates"]

    updated = client("projects", "update", "aks.gpu")
    assert updated.returncode == 0, updated.stderr
    well(imported())
    assert len(awx.objects["job_templates"]) == len(ASSETS["job_templates"])
    nodes = awx.objects["workflow_job_template_nodes"].values()
    assert all(node["unified_job_template"] for node in nodes)


LAUNCHED = [(kind, each["name"]) for kind in ("job_templates", "workflow_job_templates") for each in ASSETS[kind]]


def test_no_answer_has_to_be_repeated(awx: Awx, imported: Client) -> None:
    """AWX demands a required answer of each launch by its API, and of each schedule, although there is a default."""
    well(imported())
    for kind, name in LAUNCHED:
        template = awx.named(kind, name)
        survey = awx.survey_of(template)
        assert (survey is not None) is template["survey_enabled"]
        if survey is None:
            continue
        defaults = {each["variable"]: each["default"] for each in survey["spec"] if each["default"] != ""}
        by_the_api = extra_vars(awx, kind, name)
        assert {variable: value for variable, value in by_the_api.items() if value != ""} == defaults
        assert extra_vars(awx, kind, name, extra_vars=from_the_form(survey)) == by_the_api
        nightly = {"name": "nightly", "rrule": "DTSTART:20270101T030000Z RRULE:FREQ=DAILY;INTERVAL=1", "limit": "aks-1"}
        status, answer = awx.answer("POST", f"{template['url']}schedules/", nightly)
        assert status == 201, answer

        survey["spec"][0]["required"] = True
        missing = {"variables_needed_to_start": [f"'{survey['spec'][0]['variable']}' value missing"]}
        assert launch(awx, kind, name) == (400, missing)
        assert awx.answer("POST", f"{template['url']}schedules/", {**nightly, "name": "later"}) == (400, missing)


def test_what_is_promised_without_an_answer_can_be_had(awx: Awx, imported: Client) -> None:
    """AWX puts the default in the place of an answer that is missing, so such a question has none."""
    well(imported())
    promised = []
    for kind, name in LAUNCHED:
        survey = awx.survey_of(awx.named(kind, name)) or {"spec": []}
        needed = {each["variable"]: each["default"] for each in survey["spec"] if each["required"]}
        launched = extra_vars(awx, kind, name, extra_vars=needed)
        for question in survey["spec"]:
            if "without an answer" in question["question_description"]:
                promised.append((question["variable"], launched.get(question["variable"], "")))
    assert {variable for variable, _value in promised} >= {"node_pool_availability_zones", "asked_minimum_accuracy"}
    assert [each for each in promised if each[1] != ""] == []


def test_managed_gpus_need_no_other_answer(awx: Awx, imported: Client) -> None:
    """The role puts the autoscaler on by itself, but for managed GPUs; an answer by default would be refused there."""
    well(imported())
    for kind, name in LAUNCHED:
        variables = extra_vars(awx, kind, name, extra_vars={"gpu_stack": "managed"})
        assert variables["gpu_stack"] == "managed"
        assert "node_pool_enable_auto_scaling" not in variables


def test_credentials_of_repository_and_registry(awx: Awx, imported: Client) -> None:
    """As docs/awx.md adds them to the file."""
    (block,) = re.findall(r"^   ```yaml\n(   execution_environments:.*?)^   ```", PAGE.read_text(), ACROSS)
    assets = copy.deepcopy(ASSETS)
    for kind, (more,) in yaml.safe_load(block.replace("*organization", "{type: organization, name: Default}")).items():
        (asset,) = assets[kind]
        assert asset["name"] == more.pop("name")
        asset.update(more)
    made = {}
    for name, title in (("Registry", "Container Registry"), ("Git", "Source Control")):
        kind = awx.named("credential_types", title)["id"]
        made[name] = awx.add("credentials", {"name": name, "organization": 1, "credential_type": kind})["id"]
    well(imported(assets))
    assert awx.named("execution_environments", "aks.gpu")["credential"] == made["Registry"]
    assert awx.named("projects", "aks.gpu")["credential"] == made["Git"]


def test_the_commands_of_the_page(awx: Awx, url: str, programs: Path, tmp_path: Path) -> None:
    """In their order, by bash with AWX's client and curl, on an AWX that has nothing but an organization."""
    blocks = re.findall(r"^ *```shell\n(.*?)^ *```", PAGE.read_text(), ACROSS)
    ours = [each for each in blocks if re.search(r"(?m)^ *(awx|curl) ", each) and "CONTROLLER_HOST=" not in each]
    assert len(ours) > 5
    quickly = re.sub(r"--(wait|monitor)\b", r"--\1 --interval 2.5", "".join(ours))
    script = 'awx() { command awx -v "$@" 2>> log; }\n' + quickly
    (tmp_path / "assets.yml").write_text(FILE.read_text())
    (tmp_path / "azure.yml").write_text("{subscription: s, tenant: t, client: c, secret: hidden}")
    awx.objects["credentials"].clear()
    done = subprocess.run(
        ["bash", "-e", "-u", "-o", "pipefail", "-c", script],
        env={"PATH": f"{programs}:{os.environ['PATH']}", "CONTROLLER_HOST": url, "CONTROLLER_OAUTH_TOKEN": "token"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert awx.refusals == [], output
    assert "unrecognized arguments" not in output, "the client drops an option that the API doesn't take"

    assert awx.named("credentials", "Azure")["inputs"]["secret"] == "hidden"
    jobs = [*awx.objects["jobs"].values(), *awx.objects["workflow_jobs"].values()]
    launches = len(re.findall(r"^ *awx \w+ launch |/launch/", script, re.MULTILINE))
    assert len(jobs) == launches
    assert all(job["limit"] and not job["ignored_fields"] for job in jobs)
    checked = [job for job in jobs if job.get("job_type") == "check"]
    assert [job["diff_mode"] for job in checked] == [1]
    (schedule,) = awx.objects["schedules"].values()
    assert schedule["extra_data"] == {"gpu_verify_read_only": "true"}
    assert set(awx.settings) == {"AWX_ISOLATION_SHOW_PATHS", "AWX_TASK_ENV"}
    assert awx.settings["AWX_TASK_ENV"]["REQUESTS_CA_BUNDLE"] in awx.settings["AWX_ISOLATION_SHOW_PATHS"]


def test_the_client_needs_an_older_setuptools(programs: Path) -> None:
    """It imports pkg_resources, which the wheel of setuptools 81.0.0 has and that of 82.0.0 has not."""
    script = "import importlib.metadata as m; print(m.version('awxkit'), m.version('setuptools')); import pkg_resources"
    words = [str(programs / "python"), "-W", "ignore", "-c", script]
    kit, setuptools = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    pins = dict(re.findall(r"^(\w+) == (\S+)$", (ROOT / "tests" / "requirements-awx.txt").read_text(), re.MULTILINE))
    assert pins == {"awxkit": kit, "setuptools": setuptools}
    pages = PAGE.read_text() + FILE.read_text()
    limits = set(re.findall(r"pip install awxkit 'setuptools<(\d+)'", pages))
    assert limits == {str(int(setuptools.split(".")[0]) + 1)}
