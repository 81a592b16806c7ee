# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret of a kubeconfig or a manifest shows at -vvvvv, whether a task works or fails before it has a connection.

Searched are what ansible-playbook prints, its log, what callbacks get, facts in a cache, process lists, files that are
left, and the events of a job as AWX keeps them.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from aks_sandbox.testing import Sandbox
from environment import COLLECTIONS
from runner_harness import Image, Job, credential, everything_written
from secret_inputs import FEW, PLANTED, VARIABLE, inputs, play
from secrets_harness import Planted, Processes

from playbooks import Ansible, without_foreign_settings

Json = dict[str, Any]

NUMBERED = {"awx_job_id": 57}
"""Each job of AWX has it: `build_extra_vars_file` of awx/main/tasks/jobs.py (ansible/awx, commit 01096141)."""

WORKING = ["made", "looked", "gone", "facts", "shown"]


@pytest.fixture
def real(sandbox: Sandbox) -> Json:
    """The kubeconfig of the cluster."""
    found: Json = yaml.safe_load(sandbox.kubeconfig())
    return found


def planted(sandbox: Sandbox) -> Planted:
    found = Planted(sandbox.variables["AZURE_SECRET"], sandbox.kubeconfig())
    found.all.update(PLANTED)
    return found


@pytest.mark.parametrize("way", ["always", "never"])
def test_ansible_playbook(sandbox: Sandbox, real: Json, tmp_path: Path, way: str) -> None:
    environment = {
        **without_foreign_settings(),
        VARIABLE: json.dumps(inputs(real)),
        "AKS_GPU_IN_PROCESS": way,
        "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(tmp_path / "facts"),
        "ANSIBLE_LOG_PATH": str(tmp_path / "ansible.log"),
        "ANSIBLE_REMOTE_TEMP": str(tmp_path / "home" / ".ansible" / "tmp"),
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
    }
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    tasks = play(real, FEW if way == "never" else ())
    (tmp_path / "play.yml").write_text(yaml.safe_dump([tasks]))
    ansible = Ansible(Path(sys.executable), COLLECTIONS, environment)
    command = [str(Path(sys.executable).parent / "ansible-playbook"), str(tmp_path / "play.yml"), "-vvvvv", "--diff"]
    with Processes() as processes:
        ran = ansible.command(command, tmp_path, 120, {})
    statuses = [task["status"] for task in ran.tasks]
    assert statuses == ["ok"] * len(WORKING) + ["ignored"] * (len(statuses) - len(WORKING)), ran.output
    assert len(statuses) == len(tasks["tasks"])
    assert ("in a process of its own" if way == "never" else "inside Ansible") in ran.output
    assert (tmp_path / "results.jsonl").stat().st_size > 0
    assert list((tmp_path / "facts").iterdir()), "nothing was cached, so nothing is proved"
    looked_for = planted(sandbox)
    assert not looked_for.found(ran.output.encode())
    assert looked_for.left(tmp_path) == {}
    assert not [names for line in processes.seen if (names := looked_for.found(line))]


def test_events_of_a_job(sandbox: Sandbox, real: Json, tmp_path: Path) -> None:
    """As AWX runs a job at verbosity 5 (`-vvvvv`) and keeps its events."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "play.yml").write_text(yaml.safe_dump([play(real)]))
    rights = credential(sandbox, **{VARIABLE: json.dumps(inputs(real))})
    image = Image.built(tmp_path / "image")
    job = Job(tmp_path / "job", image, "play.yml", project, {}, rights, NUMBERED, ["-vvvvv", "--diff"])
    assert job.run() == "successful", job.output()
    failed = [event for event in job.events() if event["event"] == "runner_on_failed"]
    assert len(failed) == len(play(real)["tasks"]) - len(WORKING)
    assert any("kubeconfig" in json.dumps(event["event_data"]["res"].get("invocation", {})) for event in failed)
    looked_for = planted(sandbox)
    sent = (job.sent / "env" / "envvars", job.artifacts / "command")  # where ansible-runner keeps the environment
    written = [(path, content) for path, content in everything_written(job.folder) if path not in sent]
    assert len([path for path, _content in written if path.parent.name == "job_events"]) == len(job.events())
    assert {os.fspath(path): names for path, content in written if (names := looked_for.found(content))} == {}
