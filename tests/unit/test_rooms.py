# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What import-linter can't see: one concept has one name, a module declares and a room plans, files stay short."""

from __future__ import annotations

import ast
import collections
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "plugins"
FILES = sorted(path for path in PLUGINS.rglob("*.py") if path.name != "__init__.py")
MODULES = sorted((PLUGINS / "modules").glob("*.py"))

OF_ANSIBLE = {"DOCUMENTATION", "EXAMPLES", "RETURN", "main", "ActionModule", "FilterModule", "InventoryModule",
              "ModuleDocFragment", "TestModule", "__all__"}  # fmt: skip
"""What Ansible or Python looks for in each file."""

MOST_CODE_LINES = 12
"""Of a module: an import, `main` and its call."""

MOST_LINES = 700
"""Of a file, documentation of options included."""


def names_of(path: Path) -> Iterator[str]:
    """The names that a file defines at its top level."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def code_lines_of(path: Path) -> list[str]:
    """The lines of a module that are neither blank, comments, docstrings nor its documentation."""
    tree = ast.parse(path.read_text())
    passed: set[int] = set()
    for node in ast.walk(tree):
        if (isinstance(node, ast.Assign) and names_assigned(node) & OF_ANSIBLE) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            passed.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(path.read_text().splitlines(), 1)
    return [line for number, line in lines if number not in passed and line.strip() and not line.startswith("#")]


def names_assigned(node: ast.Assign) -> set[str]:
    return {target.id for target in node.targets if isinstance(target, ast.Name)}


def test_a_name_is_defined_in_one_file() -> None:
    where: dict[str, set[str]] = collections.defaultdict(set)
    for path in FILES:
        for name in names_of(path):
            where[name].add(str(path.relative_to(PLUGINS)))
    assert len(where) > 1000
    assert {name: sorted(files) for name, files in where.items() if len(files) > 1 and name not in OF_ANSIBLE} == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_is_its_documentation_and_one_call(path: Path) -> None:
    lines = code_lines_of(path)
    assert len(lines) <= MOST_CODE_LINES, lines
    if path.stem != "role_variables":  # its action does all of it
        arguments, plan = f"{path.stem.upper()}_ARGUMENTS", f"plan_{path.stem}"
        assert f"    run({arguments}, {plan})" in lines


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PLUGINS)))
def test_files_stay_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES
