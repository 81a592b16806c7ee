# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hints name what the reader can set: the option of a module's user, the variable of a role's user."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._option_names import (
    ROLE_OPTIONS,
    ROLE_VARIABLE,
    SHARED_VARIABLES,
    all_with_names,
    named_here,
    named_in_role,
    with_names,
)

ROOT = Path(__file__).parents[5]
SPECS: dict[str, dict[str, Any]] = {
    path.parents[1].name: yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")
}
HINT = "Run again with O(repair=true), or give more O(wait_timeout); O(abort=true) ends it."
MARK = re.compile(r"(?<![A-Za-z])O\(([a-z_.]+|create_\{store\.option\})[=)]")


def marked_options() -> set[str]:
    """The options that texts of module_utils name; one of them is put together from two stores' names."""
    files = (ROOT / "plugins" / "module_utils").rglob("*.py")
    found = {name for file in files if file.name != "_option_names.py" for name in MARK.findall(file.read_text())}
    assert "create_{store.option}" in found
    return found - {"create_{store.option}"} | {"create_workspace", "create_azure_monitor_workspace"}


def test_a_user_of_the_module_reads_options_and_a_user_of_the_role_variables() -> None:
    assert with_names(HINT) == "Run again with repair: true, or give more wait_timeout; abort: true ends it."
    assert with_names(HINT, named_in_role("node_pool")) == (
        "Run again with node_pool_repair: true, or give more node_pool_wait_timeout; "
        "abort: true (an option of the module, not of the role) ends it."
    )
    assert with_names("O(run) and O(gpu_stack=managed)", named_in_role("mnist")) == "aks_gpu_run and gpu_stack: managed"


def test_what_only_looks_like_a_mark_stays() -> None:
    text = "IO(repair=true), O(Repair), O(n log n), O(), NO(x)"
    assert with_names(text, named_in_role("node_pool")) == text


def test_the_task_says_of_which_role_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROLE_VARIABLE, raising=False)
    assert with_names("O(repair=true)", named_here()) == "repair: true"
    monkeypatch.setenv(ROLE_VARIABLE, "node_pool")
    assert with_names("O(repair=true)", named_here()) == "node_pool_repair: true"


def test_every_text_of_a_failure_has_names() -> None:
    failure = Failure(
        "It needs O(wait=true).", hint="Set O(repair=true).", problems=["O(count)", {"advice": "O(wait)"}]
    )
    assert str(failure) == "It needs wait: true. Set repair: true."
    assert all_with_names(failure.details, named_in_role("node_pool")) == {
        "problems": ["node_pool_count", {"advice": "node_pool_wait"}]
    }


@pytest.mark.parametrize("role", SPECS)
def test_the_variables_are_those_that_the_role_has(role: str) -> None:
    """Each option that a text names and that the role hands on; no variable that the role doesn't have."""
    own = {name for name in marked_options() - SHARED_VARIABLES.keys() if f"{role}_{name}" in SPECS[role]}
    assert ROLE_OPTIONS.get(role, frozenset()) == own


def test_shared_variables_are_known_to_a_role() -> None:
    known = {name for options in SPECS.values() for name in options} | {"gpu_stack"}
    assert set(SHARED_VARIABLES.values()) <= known
