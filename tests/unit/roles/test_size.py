# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logic lives in Python: the variables of the roles stay few, and the lines of their templates short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROLES = Path(__file__).parents[3] / "roles"
TEMPLATES = sorted(ROLES.rglob("*.j2"))
VARIABLES = sorted(ROLES.glob("*/vars/main.yml"))

MOST_CODE_LINES = 343
"""Of all vars/main.yml together, neither blank nor comments. Lower it when you take logic out."""

MOST_CHARACTERS = 120
"""Of a line of a template."""


def code_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not re.fullmatch(r"\s*(#.*)?|---", line)]


def test_the_variables_of_the_roles_do_not_grow() -> None:
    assert len(VARIABLES) >= 7
    assert sum(len(code_lines(path)) for path in VARIABLES) <= MOST_CODE_LINES


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROLES)))
def test_the_lines_of_a_template_are_short(path: Path) -> None:
    assert [line for line in path.read_text().splitlines() if len(line) > MOST_CHARACTERS] == []
