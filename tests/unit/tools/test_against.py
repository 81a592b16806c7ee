# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make against`: its table names tests that are there, and a test that fails for a missing name shows nothing."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import against
import against_plugin
import pytest
from against import Finding
from environment import ROOT, SetUpError

TEST = "tests/unit/test_x.py::test_x"
PLUGINS = "ansible_collections.aks.gpu.plugins.module_utils"


def test_every_row_names_tests_that_are_there() -> None:
    rows = against.findings([])
    assert len(rows) == 7 + 8 + 14 + 10 + 13 + 6 + 12
    for row in rows:
        assert row.tests, row.name
        for test in (*row.tests, *row.kept):
            file, name = test.split("::")
            functions = [each.name for each in ast.parse((ROOT / file).read_text()).body if hasattr(each, "name")]
            assert name in functions, f"{row.name}: {test}"


def test_an_unknown_row_is_refused() -> None:
    with pytest.raises(SetUpError, match="has no row Z9"):
        against.findings(["A1", "Z9"])


def test_a_row_with_other_tests_can_not_be_paired() -> None:
    now, then = Finding("A1", ["tests/unit/test_a.py::test_a"]), Finding("A1", ["tests/unit/test_b.py::test_b"])
    assert against.paired(now, then) == {"tests/unit/test_a.py::test_a": "tests/unit/test_b.py::test_b"}
    with pytest.raises(SetUpError, match="A1 has not as many tests"):
        against.paired(now, Finding("A1", then.tests, kept=["tests/unit/test_b.py::test_c"]))


def failed(call: Any) -> str:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it is
        call()
    return against_plugin.ending(caught.value)


def unpacked() -> None:
    (_one,) = ()  # type: ignore[misc]


def not_raised() -> None:
    with pytest.raises(KeyError):
        pass


@pytest.mark.parametrize(
    ("call", "ending"),
    [
        (lambda: pytest.fail("it does not hold"), "assertion"),
        (not_raised, "assertion"),
        (unpacked, "assertion"),
        (lambda: int("x"), "ValueError"),
        (lambda: importlib.import_module(f"{PLUGINS}._not_there"), "missing name"),
        (lambda: Path.not_there, "missing name"),  # type: ignore[attr-defined]
        (lambda: Finding("A1", [], nothing=1), "missing name"),  # type: ignore[call-arg]
        (lambda: pytest.fail("Unsupported parameters for (aks.gpu.gpu_probe) module: grace"), "missing name"),
    ],
)
def test_endings(call: Any, ending: str) -> None:
    assert failed(call) == ending


@pytest.mark.parametrize(
    ("now", "old", "error", "shown"),
    [
        (["passed"], ["assertion"], "", True),
        (["passed", "passed"], ["passed", "assertion"], "", True),
        (["passed"], ["missing name"], "", False),
        (["passed"], ["passed"], "", False),
        (["passed"], ["ValueError"], "", False),
        (["passed"], ["ValueError"], "ValueError", True),
        (["assertion"], ["assertion"], "", False),
        (["passed"], [], "", False),
    ],
)
def test_what_shows_a_row(now: list[str], old: list[str], error: str, shown: bool) -> None:
    def ended(endings: list[str]) -> against.Ended:
        return [{"id": f"{TEST}[{number}]", "ending": each, "detail": ""} for number, each in enumerate(endings)]

    row = Finding("A1", [TEST], error=error)
    assert against.is_shown(row, {(row.product, TEST): {"now": ended(now), "old": ended(old)}}) is shown


def test_the_first_phase_that_fails_counts() -> None:
    phases = [{"id": TEST, "ending": ending, "detail": ""} for ending in ("assertion", "ExceptionGroup")]
    assert against.counted(phases) == {"assertion": 1}


SAMPLE = f"""
from {PLUGINS}._not_there import old_name
from {PLUGINS}._kubernetes._problems import Problem, not_there
from {PLUGINS}._kubernetes import _neither

CASES = [old_name("at the collection"), not_there.THIS, _neither.that(1)]

def test_passes():
    assert Problem

def test_fails():
    assert Problem is None

def test_uses_a_function():
    old_name()

def test_uses_a_constant():
    assert not_there == 1 or not_there.THIS

def test_uses_a_module():
    assert _neither.that(1) is None
"""


def test_names_that_are_missing_stop_only_the_tests_that_use_them(tmp_path: Path) -> None:
    file = tmp_path / "test_sample.py"
    file.write_text(SAMPLE)
    report = tmp_path / "report"
    words = ["-m", "pytest", "-p", "against_plugin", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(file)]
    environment = {**os.environ, "AGAINST_REPORT": str(report)}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests/tools"), str(ROOT / ".dev/collections")])
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)
    assert report.exists(), done.stdout + done.stderr
    endings = {each["id"].partition("::")[2]: each["ending"] for each in against.lines_of(report)}
    assert endings == {
        "test_passes": "passed",
        "test_fails": "assertion",
        "test_uses_a_function": "missing name",
        "test_uses_a_constant": "missing name",
        "test_uses_a_module": "missing name",
    }
