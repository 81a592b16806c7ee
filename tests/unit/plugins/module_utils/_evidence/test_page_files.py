# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the report's page: what is in them, and how they reach the module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import HANDED_DOWN
from ansible_collections.aks.gpu.plugins.modules import evidence_report
from ansible_collections.aks.gpu.plugins.plugin_utils import _isolation
from ansible_collections.aks.gpu.plugins.plugin_utils._evidence_page import PAGE_FOLDER, page_files

FILES = sorted(PAGE_FOLDER.iterdir())
MOST_CHARACTERS = 120
"""Of a line."""


def report(folder: Path, **internal: Any) -> dict[str, Any]:
    """What the module returns without its action plugin."""
    options = {"directory": str(folder / "evidence"), "_ansible_verbosity": 3, **internal}
    ended = _isolation.call_main(
        evidence_report.main,
        json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode(),
        environment={},
        working_directory=str(folder),
        parent_directory=str(folder),
        show=print,
    )
    return dict(json.loads(ended.stdout.strip().splitlines()[-1]))


def test_every_file_is_read() -> None:
    assert [path.name for path in FILES] == ["report.css", "report.html.j2", "report.js"]
    files = page_files()
    assert files.style.startswith("\n:root {")
    assert files.script.startswith("\n(function () {")
    assert "<!doctype html>" in files.template


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_names_its_licence_and_has_short_lines(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert "Copyright: (c)" in lines[0]
    assert "SPDX-License-Identifier: GPL-3.0-or-later" in lines[2]
    assert [line for line in lines if len(line) > MOST_CHARACTERS or line != line.rstrip() or "\t" in line] == []


def test_ansible_takes_no_file_for_an_action_plugin() -> None:
    """It lists every file below plugins/action, at any depth, that it does not know for something else."""
    files = (path for path in (PAGE_FOLDER.parents[1] / "action").rglob("*") if path.is_file())
    assert {path.suffix for path in files if path.parent.name != "__pycache__"} == {".py"}


def test_the_page_is_made_of_what_the_action_plugin_hands_down(tmp_path: Path) -> None:
    page = {"template": "{{ style | safe }} {{ script | safe }} {{ title }}", "style": "s", "script": "t"}
    done = report(tmp_path, **{HANDED_DOWN: {"page": page}})
    assert Path(done["page"]).read_text() == "s t No clusters"
    assert HANDED_DOWN not in json.dumps(done)


def test_without_its_action_plugin_the_module_says_so(tmp_path: Path) -> None:
    done = report(tmp_path)
    assert done["failed"]
    assert "runs without its action plugin" in done["msg"]
    assert not (tmp_path / "evidence").exists()
