# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each survey of examples/awx with no answer at all: the jobs do what they do without extra variables.

AKS_GPU_TEST_ANSIBLE names the `bin` of another ansible-core: `make matrix` runs this file with each. What arrives differs,
see tests/unit/plugins/plugin_utils/test_unset_variables.py, which empties each question alone.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from aks_sandbox.testing import Sandbox
from awx_variables import extra_variables
from environment import ROOT, tool_environment
from harness import pools

from playbooks import python_under_test

Json = dict[str, Any]

PROJECT = ROOT / "examples" / "awx"
TEMPLATES: dict[str, Json] = {
    each["name"]: each for each in yaml.safe_load((PROJECT / "assets.yml").read_text())["job_templates"]
}


def unanswered(template: str, nothing: str) -> Json:
    return {question["variable"]: nothing for question in TEMPLATES[template]["related"]["survey_spec"]["spec"]}


def job(folder: Path, sandbox: Sandbox, template: str, nothing: str) -> str:
    """Run a job template's playbook with the extra variables in a file, and return what it printed."""
    variables = folder / "extravars"
    variables.write_text(extra_variables(unanswered(template, nothing)))
    inventory = folder / "inventory.yml"
    host = {"aks_resource_group": sandbox.resource_group, "aks_cluster_name": sandbox.cluster}
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {"one": host}}}))
    python = python_under_test()
    done = subprocess.run(
        [python.with_name("ansible-playbook"), PROJECT / TEMPLATES[template]["playbook"], "-i", inventory,
         "-e", f"@{variables}"],
        cwd=folder,
        env={**tool_environment(python), **sandbox.variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("nothing", [""])
def test_surveys_without_an_answer(tmp_path: Path, sandbox: Sandbox, nothing: str) -> None:
    """Site, verify, cleanup and metrics, one after the other, as the templates stand in the workflow."""
    site = job(tmp_path, sandbox, "GPU site", nothing)
    pool = pools(sandbox)["gpunp"]["properties"]
    assert (pool["vmSize"], pool["enableAutoScaling"], pool["minCount"], pool["maxCount"]) == (
        "Standard_NC4as_T4_v3", True, 1, 3,
    )  # fmt: skip
    assert pool["nodeTaints"] == ["sku=gpu:NoSchedule"]
    assert re.search(r"failed=0 .*rescued=0", site)

    verify = job(tmp_path, sandbox, "GPU verify", nothing)
    assert "samples-tf-mnist-demo" in verify

    job(tmp_path, sandbox, "GPU cleanup", nothing)
    assert "gpunp" not in pools(sandbox)
    left = sandbox.kubectl("get", "jobs,daemonsets", "--all-namespaces", "-o", "name")
    assert left.split() == []

    assert "failed=0" in job(tmp_path, sandbox, "GPU metrics", nothing)
