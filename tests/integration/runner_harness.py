# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs as AWX runs them: a private data directory, ansible-runner that sends it to a worker and reads its answer.

The worker has what the execution environment has (tests/requirements-ee.txt and the collection's tarball), what it is
sent, and nothing else: not the checkout, not this process's environment, not its home. A container would keep it from
looking at the rest of the machine besides.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aks_sandbox.testing import Sandbox
from awx_variables import extra_variables
from environment import ROOT, virtual_environment

Json = dict[str, Any]

SETTINGS: Json = {"suppress_ansible_output": True, "suppress_env_files": True, "idle_timeout": 300}
"""Those of AWX; a job that is silent for so many seconds is cancelled."""

CREDENTIAL = ("AZURE_SUBSCRIPTION_ID", "AZURE_CLIENT_ID", "AZURE_SECRET", "AZURE_TENANT", "AZURE_CLOUD_ENVIRONMENT")
"""What AWX's credential type Azure Resource Manager sets."""

EMPTY = {"AZURE_AD_USER": "", "AZURE_PASSWORD": ""}
"""What it leaves empty."""

LAUNCHED: Json = {f"{prefix}_job_launch_type": "manual" for prefix in ("awx", "tower")}
"""Of what AWX sets in each job, whatever it was launched with: `awx_meta_vars` in awx/main/models/unified_jobs.py
(AWX 24.6.1). So its file of extra variables is never empty, which ansible-core would refuse."""


@dataclass(frozen=True)
class Image:
    """An execution environment without a container: an environment of Python and a folder of collections."""

    programs: Path
    collections: Path
    home: Path

    @classmethod
    def built(cls, folder: Path) -> Image:
        """Install the collection's tarball beside what execution-environment.yml installs."""
        image = cls(virtual_environment("ee").parent, folder / "collections", folder / "home")
        image.home.mkdir(parents=True)
        for words in (
            ["build", "--output-path", str(folder), str(ROOT)],
            ["install", "--offline", "-p", str(image.collections)],
        ):
            tarball = [str(path) for path in folder.glob("aks-gpu-*.tar.gz")]
            subprocess.run(
                ["ansible-galaxy", "collection", *words, *tarball],
                env=image.environment(),
                check=True,
                capture_output=True,
                cwd=image.home,
            )
        return image

    def environment(self) -> dict[str, str]:
        """The variables of a process in it."""
        return {
            "PATH": f"{self.programs}{os.pathsep}{os.defpath}",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
        }


def credential(sandbox: Sandbox, **more: str) -> dict[str, str]:
    """The variables that AWX sets for a job with the sandbox's principal, and the authority that the image trusts."""
    return {
        **{name: sandbox.variables[name] for name in CREDENTIAL},
        **EMPTY,
        "REQUESTS_CA_BUNDLE": sandbox.variables["REQUESTS_CA_BUNDLE"],
        "NO_PROXY": sandbox.variables["NO_PROXY"],
        **more,
    }


@dataclass
class Job:
    """One job of AWX.

    Attributes:
        folder: Holds the private data directory, and the worker's home.
        image: Where the worker runs.
        playbook: Of the project.
        project: A folder with the project's files.
        inventory: As `ansible-inventory --list` has it; AWX sends it as a script that prints it.
        environment: What the job's credentials set.
        extra_vars: Of the template and the survey.
        template_vars: Those of them that the template itself says: AWX does not mark their texts.
        arguments: Words of the command line, such as --limit.
    """

    folder: Path
    image: Image
    playbook: str
    project: Path
    inventory: Json
    environment: Mapping[str, str]
    extra_vars: Mapping[str, Any] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    template_vars: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sent = self.sent
        (sent / "env").mkdir(parents=True)
        (sent / "inventory").mkdir()
        shutil.copytree(self.project, sent / "project")
        for name, content in (
            ("envvars", dict(self.environment)),
            ("settings", SETTINGS),
        ):
            (sent / "env" / name).write_text(json.dumps(content))
        (sent / "env" / "extravars").write_text(extra_variables({**LAUNCHED, **self.extra_vars}, self.template_vars))
        (sent / "env" / "cmdline").write_text(" ".join(self.arguments))
        script = sent / "inventory" / "hosts"
        script.write_text(f"#! /usr/bin/env python3\n# -*- coding: utf-8 -*-\nprint({json.dumps(self.inventory)!r})\n")
        script.chmod(0o700)

    @property
    def sent(self) -> Path:
        """The private data directory that `transmit` sends and `process` writes the answer to."""
        return self.folder / "sent"

    @property
    def artifacts(self) -> Path:
        """What `process` has written."""
        return self.sent / "artifacts" / "job"

    def start(self) -> None:
        """Start transmit | worker | process, each a process of its own."""
        runner = str(self.image.programs / "ansible-runner")
        here = {**self.image.environment(), "HOME": str(self.folder)}
        node = self.folder / "node"
        node.mkdir()
        worker = {**self.image.environment(), "HOME": str(node)}
        self.log = (self.folder / "log").open("w+b")
        common = {"stderr": self.log, "cwd": node}
        self.transmit = subprocess.Popen(
            [runner, "transmit", str(self.sent), "-p", self.playbook, "-i", "job"],
            env=here,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            **common,  # type: ignore[call-overload]
        )
        self.worker = subprocess.Popen(
            [runner, "worker", "--private-data-dir", str(node / "private"), "--delete"],
            env=worker,
            stdin=self.transmit.stdout,
            stdout=subprocess.PIPE,
            start_new_session=True,
            **common,  # type: ignore[call-overload]
        )
        self.process = subprocess.Popen(
            [runner, "process", str(self.sent), "-i", "job"],
            env=here,
            stdin=self.worker.stdout,
            stdout=self.log,
            **common,  # type: ignore[call-overload]
        )
        for each in (self.transmit, self.worker):
            each.stdout.close()

    def wait(self, seconds: float = 300.0) -> str:
        """Wait for the end and return the job's status: successful, failed, canceled or error."""
        deadline = time.monotonic() + seconds
        for each in (self.transmit, self.worker, self.process):
            each.wait(timeout=max(1.0, deadline - time.monotonic()))
        self.log.close()
        return (self.artifacts / "status").read_text()

    def run(self, seconds: float = 300.0) -> str:
        """Start and wait."""
        self.start()
        return self.wait(seconds)

    def events(self) -> list[Json]:
        """The job's events, in order."""
        files = (self.artifacts / "job_events").glob("*.json")
        return sorted((json.loads(file.read_text()) for file in files), key=lambda event: int(event["counter"]))

    def stats(self) -> Json:
        """The counts of the recap: ok, changed, failures … by host."""
        (last,) = [event for event in self.events() if event["event"] == "playbook_on_stats"]
        data: Json = last["event_data"]
        return data

    def handed_on(self) -> Json:
        """What `set_stats` hands to the next job of a workflow."""
        data: Json = self.stats()["artifact_data"]
        return data

    def output(self) -> str:
        """What the job printed, and what ansible-runner said."""
        events = "\n".join(str(event.get("stdout", "")) for event in self.events())
        return events + "\n" + (self.folder / "log").read_text(errors="replace")

    def failed_hosts(self) -> list[str]:
        """What AWX re-launches a job on: hosts with failures, or that were not reached."""
        stats = self.stats()
        return sorted({*stats["failures"], *stats["dark"]})


def sliced(inventory: Json, number: int, count: int) -> Json:
    """The inventory of one of `count` slices, as AWX cuts it: every count-th host by name; groups keep their names."""
    wanted = set(sorted(inventory["_meta"]["hostvars"])[number::count])
    cut: Json = {}
    for name, group in inventory.items():
        if name == "_meta":
            cut[name] = {"hostvars": {host: each for host, each in group["hostvars"].items() if host in wanted}}
        else:
            hosts = [host for host in group.get("hosts", []) if host in wanted]
            cut[name] = {**group, **({"hosts": hosts} if "hosts" in group else {})}
    return cut


def everything_written(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The files below a folder and what is in them."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()
