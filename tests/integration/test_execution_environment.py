# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The execution environment: its build context, and what it brings in. test_awx.py runs site.yml from just that."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

import yaml
from aks_sandbox.build import HELM_VERSION, KUBELOGIN_VERSION
from environment import ROOT, virtual_environment
from runner_harness import Image

DEFINITION = ROOT / "execution-environment.yml"
PAGE = ROOT / "docs" / "awx.md"
MOST_PACKAGES = 50
MOST_MEGABYTES = 210
"""Most of it is the official Kubernetes client: release 37 takes 126 MB, release 35 takes 36."""


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


def archived(folder: Path, url: str, member: str) -> Path:
    """An archive as the one behind the URL is laid out, with a program that says its own name."""
    source = folder / "program"
    source.write_text(f"#!/bin/sh\necho {Path(member).name}\n")
    source.chmod(0o755)
    path = folder / url.rpartition("/")[2]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as made:
            made.write(source, member)
    else:
        with tarfile.open(path, "w:gz") as made:
            made.add(source, member)
    return path


def test_the_documented_extras(tmp_path: Path) -> None:
    """kubelogin and helm: the builder takes their lines, and the lines install what the archives hold."""
    (text,) = [
        block
        for block in re.findall("^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        if "additional_build_steps" in block and "https://" in block
    ]
    extras = yaml.safe_load(text)
    definition = {**yaml.safe_load(DEFINITION.read_text()), "additional_build_steps": extras["additional_build_steps"]}
    file, context = tmp_path / "execution-environment.yml", tmp_path / "context"
    file.write_text(yaml.safe_dump(definition))
    create = ["ansible-builder", "create", "-f", str(file), "-c", str(context), "--output-filename", "Containerfile"]
    subprocess.run(create, check=True)
    final = (context / "Containerfile").read_text().rpartition("\nFROM ")[2]

    tested = {"kubelogin": KUBELOGIN_VERSION, "helm": HELM_VERSION}
    members = {"kubelogin": "bin/linux_amd64/kubelogin", "helm": "linux-amd64/helm"}
    lines = extras["additional_build_steps"]["append_final"]
    assert len(lines) == len(members)
    for (program, member), line in zip(members.items(), lines, strict=True):
        assert line in final.splitlines()
        (url,) = re.findall(r"https://\S+", line)
        assert f"v{tested[program]}" in url
        folder = tmp_path / program
        folder.mkdir()
        command = line.removeprefix("RUN ").replace(url, "URL")
        for place in ("/tmp", "/usr/local/bin"):
            command = command.replace(place, str(folder))
        command = command.replace("URL", f"file://{archived(folder, url, member)}")
        subprocess.run(["sh", "-c", command], check=True)
        assert subprocess.run([folder / program], check=True, capture_output=True, text=True).stdout == f"{program}\n"


def test_the_surveys_offer_what_the_image_can_do() -> None:
    """The GPU stack operator needs Helm, which the image has only where somebody adds the documented line."""
    assets = yaml.safe_load((ROOT / "examples" / "awx" / "assets.yml").read_text())
    surveys = [each["related"].get("survey_spec", {"spec": []}) for each in assets["job_templates"]]
    stacks = {stack for each in surveys for asked in each["spec"] for stack in asked.get("choices", ())}
    assert ("operator" in stacks) == ("helm" in DEFINITION.read_text())


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
