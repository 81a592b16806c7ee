# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The execution environment: its build context, and what it brings in. test_awx.py runs site.yml from just that."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import yaml
from environment import ROOT, virtual_environment
from runner_harness import Image

DEFINITION = ROOT / "execution-environment.yml"
MOST_PACKAGES = 30
MOST_MEGABYTES = 60


def lines_of(path: Path) -> list[str]:
    """The requirements of a file, without comments and spaces."""
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return sorted(line.replace(" ", "") for line in lines if line)


def test_the_build_context(tmp_path: Path) -> None:
    """`ansible-builder create` makes it; what it reads in the collection is requirements.txt."""
    context = tmp_path / "context"
    create = ["ansible-builder", "create", "-f", str(DEFINITION), "-c", str(context)]
    subprocess.run([*create, "--output-filename", "Containerfile"], check=True)
    definition = yaml.safe_load(DEFINITION.read_text())
    assert definition["images"]["base_image"]["name"] in (context / "Containerfile").read_text()
    galaxy = yaml.safe_load((context / "_build" / "requirements.yml").read_text())
    assert [each["name"] for each in galaxy["collections"]] == ["aks.gpu"]

    image = Image.built(tmp_path / "image")
    found = subprocess.run(
        ["ansible-builder", "introspect", "--write-pip", str(tmp_path / "pip.txt"), str(image.collections)],
        check=True,
        capture_output=True,
        text=True,
    )
    brought_by_core = {line for line in lines_of(ROOT / "requirements.txt") if line.startswith("PyYAML")}
    assert {*lines_of(tmp_path / "pip.txt"), *brought_by_core} == set(lines_of(ROOT / "requirements.txt")), found.stdout
    dependencies = definition["dependencies"]
    asked = {dependencies[name]["package_pip"] for name in ("ansible_core", "ansible_runner")}
    tested = set(lines_of(ROOT / "tests" / "requirements-ee.txt")) - {"-r../requirements.txt"}
    assert {re.split("[~=<>]", each)[0] for each in asked} == tested


def test_it_stays_small(tmp_path: Path) -> None:
    wanted = tmp_path / "requirements.txt"
    asked = [line for line in lines_of(ROOT / "tests" / "requirements-ee.txt") if not line.startswith("-r")]
    wanted.write_text("\n".join([*asked, *lines_of(ROOT / "requirements.txt")]))
    measured = subprocess.run(
        [
            str(virtual_environment("ee")),
            str(ROOT / "bench" / "installed.py"),
            str(wanted),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    counts = json.loads(measured.stdout)
    assert counts["packages"] <= MOST_PACKAGES
    assert counts["bytes"] <= MOST_MEGABYTES * 10**6
