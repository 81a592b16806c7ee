# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists in docs/ and .github/ that repeat what stands elsewhere are whole; the README is short."""

from __future__ import annotations

import re
from pathlib import Path

import matrix
import pytest
import yaml
from ansible_collections.aks.gpu.plugins.inventory import clusters

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
INNER = {"main", "credentials", "evidence", "exporter", "judge", "look", "probe", "variables"}
"""Files of tasks that only other files of the role, or another role of ours, import."""
TWO_SCREENS = 80
WORKFLOW = (ROOT / ".github" / "workflows" / "test.yml").read_text()


@pytest.mark.parametrize("role", ROLES)
def test_a_roles_entry_points_are_listed(role: str) -> None:
    page = (ROOT / "docs" / "own-playbooks.md").read_text()
    (line,) = [line for line in page.splitlines() if line.startswith(f"| `{role}` |")]
    listed = set(re.findall(r"`(\w+)`", line.split("|")[3]))
    there = {path.stem for path in (ROOT / "roles" / role / "tasks").glob("*.yml")} - INNER
    specified = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    assert listed == there
    assert set(specified) - {"main"} <= listed


def test_the_variables_of_an_inventory_host_are_listed() -> None:
    description = " ".join(yaml.safe_load(clusters.DOCUMENTATION)["description"])
    page = (ROOT / "docs" / "inventory.md").read_text()
    told = set(re.findall(r"C\((aks_\w+)\)", description))
    assert len(told) > 10
    assert told <= set(re.findall(r"`(aks_\w+)`", page))


def test_the_workflow_runs_every_row_of_the_matrix() -> None:
    rows = yaml.safe_load(WORKFLOW)["jobs"]["versions"]["strategy"]["matrix"]["row"]
    assert rows == [row.name for row in matrix.ROWS]


def test_the_workflow_calls_make_targets() -> None:
    makefiles = "".join((ROOT / name).read_text() for name in ("Makefile", "tests/peers.mk"))
    called = re.findall(r"run: make ([a-z-]+)", WORKFLOW)
    assert called
    assert len(called) == len(re.findall(r"run:", WORKFLOW))
    assert set(called) <= set(re.findall(r"^([a-z-]+):", makefiles, re.MULTILINE))


def test_the_readme_fits_two_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= TWO_SCREENS
