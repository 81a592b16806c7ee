# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of node_pool as one dictionary."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import option_values
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._reconcile import SETTINGS_OPTION, with_settings

BESIDE = {"name": "gpunp", "count": 1, "wait": True, "settings": None}


def test_settings_take_the_place_of_options_beside_them() -> None:
    settings = {"count": "3", "wait": "no", "node_labels": "team=vision", "enable_auto_scaling": False}
    found = with_settings({**BESIDE, "settings": settings})
    assert found == {
        **BESIDE,
        "settings": settings,
        "count": 3,
        "wait": False,
        "node_labels": {"team": "vision"},
        "enable_auto_scaling": False,
    }


def test_without_settings_nothing_changes() -> None:
    assert with_settings(BESIDE) == BESIDE
    assert with_settings({**BESIDE, "settings": {}}) == {**BESIDE, "settings": {}}


def test_what_is_empty_is_left_out_but_for_empty_lists_and_maps() -> None:
    found = with_settings({**BESIDE, "settings": {"count": "", "vm_size": None, "node_taints": [], "tags": {}}})
    assert found["count"] == 1
    assert "vm_size" not in found
    assert found["node_taints"] == []
    assert found["tags"] == {}


@pytest.mark.parametrize("zones", ["1, 2,", [1, "2 "], ("1", "", "2")])
def test_lists_may_be_text(zones: Any) -> None:
    found = option_values(with_settings({**BESIDE, "settings": {"availability_zones": zones}}))
    assert found["availability_zones",] == ["1", "2"]


@pytest.mark.parametrize("nothing", [None, "", "  ", "\n"])
def test_what_awx_hands_over_without_an_answer_is_left_out(nothing: Any) -> None:
    """'' from ansible-core 2.18 and older, None since 2.19."""
    assert with_settings({**BESIDE, "settings": dict.fromkeys(SETTINGS_OPTION, nothing)}) == {
        **BESIDE,
        "settings": dict.fromkeys(SETTINGS_OPTION, nothing),
    }


def test_a_version_that_has_become_a_number_is_refused() -> None:
    """AWX's '1.30' is 1.3 with ansible-core 2.19 and newer."""
    with pytest.raises(Failure, match=r"orchestrator_version is text, but the number 1\.3 has arrived.*1\.30\.4"):
        with_settings({**BESIDE, "settings": {"orchestrator_version": 1.3}})
    kept = {"orchestrator_version": "1.30", "vm_size": "0042"}
    assert with_settings({**BESIDE, "settings": kept}) == {**BESIDE, "settings": kept, **kept}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"count": "many"}, "count"),
        ({"gpu_stack": "magic"}, "gpu_stack"),
        ({"colour": "blue", "nodes": 3}, "colour"),
        ({"cluster_name": "other"}, "cluster_name"),
        ({"settings": {}}, "settings"),
    ],
)
def test_what_is_no_option_or_no_value_of_it_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(Failure, match=says):
        with_settings({**BESIDE, "settings": settings})


def test_where_the_pool_is_stands_beside_them() -> None:
    assert not {"name", "cluster_name", "resource_group", "subscription_id", "secret"} & SETTINGS_OPTION.keys()
    assert {"state", "vm_size", "wait_timeout", "gpu_profile"} <= SETTINGS_OPTION.keys()
