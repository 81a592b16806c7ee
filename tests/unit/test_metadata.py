# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in one file about others is true: action groups, action plugins, the groups of doc fragments."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
GROUPS = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_in_the_groups_whose_options_it_documents(module: str) -> None:
    """ansible-test compares what is documented with what is accepted."""
    code = importlib.import_module(f"ansible_collections.aks.gpu.plugins.modules.{module}")
    fragments = yaml.safe_load(code.DOCUMENTATION)["extends_documentation_fragment"]
    for group, members in GROUPS.items():
        assert (module in members) == (f"aks.gpu.{group}" in fragments), group


def test_each_module_has_its_action_plugin() -> None:
    assert sorted(path.stem for path in (ROOT / "plugins" / "action").glob("*.py")) == MODULES
