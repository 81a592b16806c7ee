# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specs that merge."""

from __future__ import annotations

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure, MissingLibrary

NAME = ArgumentSpec({"name": {"type": "str"}}, required_if=(("state", "present", ["name"]),))
STATE = ArgumentSpec({"state": {"type": "str"}}, required_by={"state": ("name",)})


def test_a_merge_has_the_options_and_rules_of_all() -> None:
    merged = NAME.merge(STATE, ArgumentSpec({"wait": {"type": "bool"}}))
    assert list(merged.options) == ["name", "state", "wait"]
    assert merged.module_arguments()["required_if"] == [["state", "present", ["name"]]]
    assert merged.module_arguments()["required_by"] == {"state": ["name"]}


def test_an_option_defined_twice_is_a_defect() -> None:
    with pytest.raises(ValueError, match="options defined twice: name"):
        NAME.merge(STATE, NAME)


def test_a_failure_reads_as_message_and_hint() -> None:
    assert str(Failure("It failed.", hint="Do this.")) == "It failed. Do this."
    assert str(Failure("It failed.")) == "It failed."
    missing = MissingLibrary("azure-identity", python="/usr/bin/python3", reason="No module named 'azure'")
    assert "/usr/bin/python3 -m pip install azure-identity" in str(missing)
    assert missing.details == {"library": "azure-identity"}
