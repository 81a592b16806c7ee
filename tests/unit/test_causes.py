# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of docs/waits.md, the code and the integration tests name the same causes, and the same words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._jobs import _FAILURE_ADVICE, UNSCHEDULED
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import HEALTH_CONDITIONS
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._workload_log import _TROUBLES

ROOT = Path(__file__).parents[2]
ROOM = ROOT / "plugins" / "module_utils" / "_diagnostics"
NAMES = (
    "gpu_nodes",
    "gpu_observations",
    "gpu_sources",
    "nodes",
    "placement",
    "pods",
    "jobs",
    "job_logs",
    "workload_log",
    "wait_for_gpus",
    "wait_for_job",
)
SOURCES = [ROOM / f"_{name}.py" for name in NAMES]
TESTS = [ROOT / "tests" / "integration" / f"test_kubernetes_{name}.py" for name in ("waits", "causes")]
TABLES = ("GPUs of a node pool", "Jobs")

PASSED_ON = {"SchedulingGated", "CreateContainerConfigError", "FailedMount"}
"""Causes that are a reason of Kubernetes, which the code hands on as it is."""

RARE = {"SchedulerError"}
"""What the code knows and nobody can provoke."""


def rows() -> list[tuple[set[str], str]]:
    """The causes, and what is said, of each row of the tables."""
    text = (ROOT / "docs" / "waits.md").read_text()
    found = []
    for title in TABLES:
        section = text.split(f"## {title}\n")[1].split("\n## ")[0]
        for line in section.splitlines():
            if line.startswith("| `"):
                first, said, _waited = line.strip("|").split(" | ")
                found.append((set(re.findall(r"`(\w+)`", first)), said))
    return found


def strings(path: Path) -> Iterator[str]:
    """Every string of a Python file, the constant parts of f-strings included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def literal_causes(path: Path) -> Iterator[str]:
    """The causes that a source file writes out: of a Problem, and of an obstacle to a placement."""
    for node in ast.walk(ast.parse(path.read_text())):
        cause: ast.expr | None = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
            cause = node.args[1]
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2:
            cause = node.value.elts[0]
        if isinstance(cause, ast.Constant) and isinstance(cause.value, str) and cause.value[:1].isupper():
            yield cause.value


DOCUMENTED = set().union(*(causes for causes, _said in rows()))


def test_every_cause_of_the_code_is_documented() -> None:
    known = {cause for path in SOURCES for cause in literal_causes(path)}
    known |= set(HEALTH_CONDITIONS) | set(_FAILURE_ADVICE) | {cause for _phrase, cause, _advice in _TROUBLES}
    known |= set(UNSCHEDULED) - RARE
    assert known - DOCUMENTED == set()
    assert known | PASSED_ON == DOCUMENTED


def test_every_documented_cause_is_provoked() -> None:
    asserted = {text for path in TESTS for text in strings(path)}
    assert DOCUMENTED - asserted == set()


@pytest.mark.parametrize(("causes", "said"), rows(), ids=lambda value: "-".join(sorted(value))[:40])
def test_what_is_said_is_said(causes: set[str], said: str) -> None:
    """Each part of what stands in code in the second column is in the code, between the values."""
    words = [text for path in SOURCES for text in strings(path)]
    for quoted in re.findall(r"`([^`]+)`", said):
        for part in (each.strip() for each in quoted.split("…")):
            assert any(part in text for text in words), f"{causes}: nothing says {part!r}"
