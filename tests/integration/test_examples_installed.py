# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""examples/ as somebody uses it who has the collection's tarball: one cluster; a fleet with a playbook of its own.

The third example, examples/awx, is run by test_awx.py.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aks_sandbox.testing import Sandbox
from environment import ROOT
from harness import QUICK, pools
from runner_harness import Image, credential

Json = dict[str, Any]

EXAMPLES = ROOT / "examples"
RECAP = re.compile(r"^(\S+) +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)
TRAINING = ("myAKSCluster", "myAKSCluster2")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image.built(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def azure() -> Iterator[Sandbox]:
    with Sandbox.started("examples", clusters=3, settings=QUICK) as own:
        yield own


class Project:
    """A copy of one of the examples, and ansible-playbook in it."""

    def __init__(self, name: str, folder: Path, image: Image, azure: Sandbox) -> None:
        self.folder = folder / name
        shutil.copytree(EXAMPLES / name, self.folder)
        self._environment = {**image.environment(), **credential(azure), "PWD": str(self.folder)}  # as a shell sets it

    def playbook(self, *arguments: str, fails: bool = False) -> tuple[str, dict[str, int]]:
        """What was printed, and how much was changed by host."""
        done = subprocess.run(
            ["ansible-playbook", *arguments],
            env=self._environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout, {host: int(changed) for host, _ok, changed, _un, _failed in RECAP.findall(done.stdout)}


def test_one_cluster(tmp_path: Path, image: Image, azure: Sandbox) -> None:
    project = Project("one_cluster", tmp_path, image, azure)
    mark = azure.mark()
    project.playbook("aks.gpu.site", "-e", "@vars.yml", "--check", "--diff")
    assert azure.writes(mark) == []
    printed, _changed = project.playbook("aks.gpu.site", "-e", "@vars.yml")
    assert "myAKSCluster works" in printed
    assert pools(azure)["gpunp"]["properties"]["maxCount"] == 2
    assert (project.folder / "evidence" / "index.html").is_file()
    _printed, changed = project.playbook("aks.gpu.site", "-e", "@vars.yml")
    assert set(changed.values()) == {0}
    project.playbook("aks.gpu.cleanup", "-e", "@vars.yml")
    assert "gpunp" not in pools(azure)


def test_a_fleet(tmp_path: Path, image: Image, azure: Sandbox) -> None:
    project = Project("fleet", tmp_path, image, azure)
    mark = azure.mark()
    project.playbook("fleet.yml", "--check")
    assert azure.writes(mark) == []

    printed, changed = project.playbook("fleet.yml", "--tags", "gpu", "--limit", "training")
    assert set(changed) == set(TRAINING)
    assert "maintenance begins" not in printed
    for name in TRAINING:
        pool = pools(azure, name)["training"]["properties"]
        assert (pool["vmSize"], pool["tags"]["owner"]) == ("Standard_NC24ads_A100_v4", "platform")

    azure.fault(
        method="PUT",
        path="myAKSCluster3/agentPools/gpunp",
        times=0,
        status=409,
        body={"code": "ScopeLocked", "message": "The scope is locked."},
    )
    printed, _changed = project.playbook("fleet.yml", fails=True)
    assert "ScopeLocked" in printed
    assert (project.folder / "fleet.retry").read_text().split() == ["myAKSCluster3"]
    azure.clear_faults()
    printed, changed = project.playbook("fleet.yml", "--limit", "@fleet.retry")
    assert list(changed) == ["myAKSCluster3"]
    assert "maintenance begins" in printed
    assert pools(azure, "myAKSCluster3")["gpunp"]["properties"]["vmSize"] == "Standard_NC4as_T4_v3"
    _printed, changed = project.playbook("fleet.yml")
    assert set(changed) == {*TRAINING, "myAKSCluster3"}
    assert set(changed.values()) == {0}
