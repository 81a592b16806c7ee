# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each survey of examples/awx with no answer at all: the jobs do what they do without extra variables.

AKS_GPU_TEST_ANSIBLE names the `bin` of another ansible-core: `make matrix` runs this file with each. What arrives
differs, see tests/unit/plugins/plugin_utils/test_unset_variables.py, which empties each question alone.
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


def ran(folder: Path, playbook: Path, variables: Json, environment: dict[str, str], *words: str) -> tuple[bool, str]:
    """Run a playbook with the extra variables in a file, and return whether it ended well and what it printed."""
    file = folder / "extravars"
    file.write_text(extra_variables(variables))
    python = python_under_test()
    done = subprocess.run(
        [python.with_name("ansible-playbook"), playbook, *words, "-e", f"@{file}"],
        cwd=folder,
        env={**tool_environment(python), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout + done.stderr


def job(folder: Path, sandbox: Sandbox, template: str, nothing: str) -> str:
    """Run a job template's playbook to its good end, and return what it printed."""
    inventory = folder / "inventory.yml"
    host = {"aks_resource_group": sandbox.resource_group, "aks_cluster_name": sandbox.cluster}
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {"one": host}}}))
    playbook = PROJECT / TEMPLATES[template]["playbook"]
    well, printed = ran(folder, playbook, unanswered(template, nothing), sandbox.variables, "-i", str(inventory))
    assert well, printed
    return printed


def number_arrives(folder: Path) -> bool:
    """Whether this ansible-core makes a number of an extra variable that is the text 1.30, without anything of ours."""
    shown = {"name": "Show", "ansible.builtin.debug": {"msg": "it is <{{ given }}>"}}
    playbook = folder / "shown.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [shown]}]))
    well, printed = ran(folder, playbook, {"given": "1.30"}, {})
    assert well, printed
    assert ("it is <1.3>" in printed) != ("it is <1.30>" in printed), printed
    return "it is <1.3>" in printed


@pytest.fixture
def own_playbook(tmp_path: Path) -> Path:
    """A role as a user imports it, whose variables ansible-core would judge."""
    role = {"name": "Pool", "ansible.builtin.import_role": {"name": "aks.gpu.node_pool"}}
    path = tmp_path / "own.yml"
    path.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [role]}]))
    return path


@pytest.mark.parametrize("nothing", ["", " "])
def test_a_role_takes_nothing_for_unset_where_core_would_refuse_it(
    tmp_path: Path, own_playbook: Path, nothing: str
) -> None:
    """Booleans, numbers and choices: without a sign-in, the first thing that is missed is the subscription."""
    spec = yaml.safe_load((ROOT / "roles" / "node_pool" / "meta" / "argument_specs.yml").read_text())
    options = spec["argument_specs"]["main"]["options"]
    variables = {**dict.fromkeys(options, nothing), "aks_resource_group": "rg-one", "aks_cluster_name": "one"}
    nobody = {"HOME": str(tmp_path)}
    well, printed = ran(tmp_path, own_playbook, variables, nobody)
    assert not well
    assert "subscription_id is needed" in printed, printed

    well, printed = ran(tmp_path, own_playbook, {**variables, "aks_cluster_name": nothing}, nobody)
    assert not well
    assert "missing required arguments: aks_cluster_name" in printed, printed


def test_a_role_never_uses_a_text_that_has_become_a_number(tmp_path: Path, own_playbook: Path) -> None:
    """'1.30' arrives as text with ansible-core 2.18 and older, and as 1.3 since 2.19."""
    variables = {"aks_resource_group": "rg-one", "aks_cluster_name": "one", "node_pool_orchestrator_version": "1.30"}
    well, printed = ran(tmp_path, own_playbook, variables, {"HOME": str(tmp_path)})
    assert not well
    lost = "node_pool_orchestrator_version is text, but the number 1.3 has arrived"
    if number_arrives(tmp_path):
        assert lost in printed, printed
        assert "1.30.4" in printed
    else:
        assert "subscription_id is needed" in printed, printed
        assert lost not in printed


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
