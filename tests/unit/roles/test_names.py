# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal variables of a role begin with `__<role>_`, as redhat-cop/automation-good-practices asks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).parents[3]
ROLES = sorted(path.parents[1] for path in (TOP / "roles").glob("*/meta/argument_specs.yml"))
OUTPUTS = {"node_pool_result": "node_pool", "gpu_monitoring_found": "gpu_monitoring", "mnist_result": "mnist"}
"""Registers that playbooks of users read, each with its role; the role's README.md documents them."""


def registers(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.yml")):
        yield from re.findall(r"^ *register: *(\S+)", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_internal_variables_have_the_prefix_of_their_role(role: Path) -> None:
    variables = role / "vars" / "main.yml"
    names = {*(yaml.safe_load(variables.read_text()) if variables.exists() else ()), *registers(role / "tasks")}
    assert names
    assert {name for name in names if not name.startswith((f"__{role.name}_", "__aks_"))} <= OUTPUTS.keys()


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_no_option_has_the_prefix_of_internal_variables(role: Path) -> None:
    options = {
        name
        for entry in yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"].values()
        for name in entry.get("options") or {}
    }
    assert options
    assert not {name for name in options if name.startswith("_")}


@pytest.mark.parametrize(("output", "role"), OUTPUTS.items())
def test_outputs_are_documented_and_registered(output: str, role: str) -> None:
    assert f"`{output}`" in (TOP / "roles" / role / "README.md").read_text()
    assert output in registers(TOP / "roles" / role / "tasks")
