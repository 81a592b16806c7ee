# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`awx import < examples/awx/assets.yml`, by AWX's own client; and its field names against what that client knows."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from awx_server import Awx, serving
from environment import ROOT, virtual_environment

Json = dict[str, Any]

FILE = ROOT / "examples" / "awx" / "assets.yml"
ASSETS: Json = {name: value for name, value in yaml.safe_load(FILE.read_text()).items() if name[:2] != "x-"}
NODE_FIELDS = ["identifier", "unified_job_template"]


@pytest.fixture(scope="module")
def programs() -> Path:
    return virtual_environment("awx").parent


def fields(kind: str) -> list[str]:
    return sorted({name for each in ASSETS[kind] for name in each} - {"related", "natural_key"})


def do_import(programs: Path, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(programs / "awx"), "--conf.host", url, "--conf.token", "token", "-f", "yaml", "import"],
        input=FILE.read_text(),
        env={"PATH": os.defpath, "HOME": "/nonexistent"},
        text=True,
        capture_output=True,
        check=False,
    )


def test_awx_import(programs: Path) -> None:
    lists = {("inventories" if kind == "inventory" else kind): fields(kind) for kind in ASSETS}
    awx = Awx({**lists, "workflow_job_template_nodes": NODE_FIELDS})
    with serving(awx) as url:
        for _unused in range(2):
            done = do_import(programs, url)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "rror" not in done.stdout + done.stderr

    templates = awx.objects["job_templates"]
    assert len(templates) == 6
    for template in templates.values():
        for field in ("organization", "inventory", "project", "execution_environment"):
            assert template[field] == 1, field
        assert awx.attached[f"/api/v2/job_templates/{template['id']}/credentials/"][0] == 1
        survey = f"/api/v2/job_templates/{template['id']}/survey_spec/" in awx.surveys
        assert survey is template["survey_enabled"]
    (source,) = awx.objects["inventory_sources"].values()
    assert (source["inventory"], source["source_project"], source["credential"]) == (1, 1, 1)

    names = {number: each["name"] for number, each in templates.items()}
    nodes = awx.objects["workflow_job_template_nodes"]
    jobs = {each["identifier"]: names.get(each.get("unified_job_template", 0)) for each in nodes.values()}
    assert jobs == {
        "provision": "GPU site",
        "verify": "GPU verify",
        "metrics": "GPU metrics",
        "approve": None,
        "cleanup": "GPU cleanup after a failure",
        "failed": "GPU failure",
    }
    assert set(awx.approvals) == {"approve"}
    assert awx.approvals["approve"]["timeout"] == 86400
    after = {
        (nodes[int(path.split("/")[4])]["identifier"], path.split("/")[5]): {nodes[each]["identifier"] for each in ends}
        for path, ends in awx.attached.items()
        if path.endswith("_nodes/")
    }
    assert after == {
        ("provision", "success_nodes"): {"verify"},
        ("provision", "failure_nodes"): {"approve"},
        ("verify", "success_nodes"): {"metrics"},
        ("verify", "failure_nodes"): {"approve"},
        ("approve", "success_nodes"): {"cleanup"},
        ("approve", "failure_nodes"): {"failed"},
        ("cleanup", "always_nodes"): {"failed"},
    }


@pytest.mark.parametrize("kind", ASSETS)
def test_field_names(programs: Path, kind: str) -> None:
    """A name that AWX doesn't know would be dropped without a word; its client knows what objects of AWX have."""
    files = programs.parent.glob("lib/python3*/site-packages/awxkit/**/*.py")
    known = {word for file in files for word in re.findall(r"\w+", file.read_text())}
    assert set(fields(kind)) <= known
