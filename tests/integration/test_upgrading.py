# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every old name that docs/upgrading.md lists is refused with the new one named, and nothing is written."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aks_sandbox.testing import Sandbox
from environment import ROOT
from harness import Ansible, pools

ROWS = re.findall(
    r"^\| (variable|option|filter) \| (?:role|module|all) `?(\w+)`? \| `([\w.]+)` \| `([\w.]+)` \|$",
    (ROOT / "docs" / "upgrading.md").read_text(),
    re.MULTILINE,
)

FAILURE = "{{ (ansible_failed_result.results | default([ansible_failed_result]) | first).msg }}"
"""Of a task with a loop, the message of its first item."""


def cluster(sandbox: Sandbox) -> dict[str, Any]:
    return {"aks_resource_group": sandbox.resource_group, "aks_cluster_name": sandbox.cluster}


def task(kind: str, where: str, old: str) -> dict[str, Any]:
    if kind == "variable":
        return {"ansible.builtin.include_role": {"name": f"aks.gpu.{where}"}, "vars": {old: True}}
    if kind == "option":
        return {f"aks.gpu.{where}": {old: True}}
    return {"ansible.builtin.debug": {"msg": f"{{{{ 'a, b' | {old} }}}}"}}


def test_page_lists_all_kinds() -> None:
    assert [kind for kind, *_rest in ROWS] == ["variable"] * 4 + ["option"] * 5 + ["filter"] * 2


def test_old_names_are_refused_with_the_new_one(sandbox: Sandbox, ansible: Ansible) -> None:
    plays = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": cluster(sandbox),
            "tasks": [
                {
                    "block": [{"name": old, **task(kind, where, old)}],
                    "rescue": [
                        {
                            "name": f"{where}.{old}",
                            "ansible.builtin.debug": {"msg": FAILURE},
                        }
                    ],
                }
            ],
        }
        for kind, where, old, _new in ROWS
    ]
    run = ansible.playbook(plays)
    for _kind, where, old, new in ROWS:
        message = run[f"{where}.{old}"]["msg"]
        assert re.search(rf"\b{re.escape(old)}\b.*\b{re.escape(new)}\b", message), message
    assert set(pools(sandbox)) == {"nodepool1"}


@pytest.mark.parametrize(("old", "new"), [(old, new) for kind, _where, old, new in ROWS if kind == "variable"][:3])
def test_site_refuses_an_old_variable_at_its_start(sandbox: Sandbox, ansible: Ansible, old: str, new: str) -> None:
    mark = sandbox.mark()
    run = ansible.playbook("aks.gpu.site", {**cluster(sandbox), old: True}, fails=True)
    assert f"The variable {old} has been renamed to {new}" in " ".join(run.failures)
    assert not sandbox.traffic(mark)


@pytest.mark.parametrize("empty", ["", " ", None])
def test_an_old_variable_without_a_value_is_unset(sandbox: Sandbox, ansible: Ansible, empty: str | None) -> None:
    run = ansible.playbook(
        "aks.gpu.site", {**cluster(sandbox), "mnist_run_again": empty, "mnist_state": "gone"}, fails=True
    )
    assert "mnist_state" in " ".join(run.failures)
    assert "renamed" not in " ".join(run.failures)
