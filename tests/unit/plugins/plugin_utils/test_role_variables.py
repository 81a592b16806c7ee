# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the variables of the roles: all of it at once, and nothing is said of what isn't set."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.plugin_utils._role_variables import (
    ROLES,
    misspelt_variables,
    role_of,
    wrong_variables,
    wrong_variables_of_entry,
)

ROLE_NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())
CLUSTER = {"aks_resource_group": "myResourceGroup", "aks_cluster_name": "myAKSCluster"}


def wrong(variables: dict[str, Any], *roles: str) -> list[str]:
    return wrong_variables(roles or ("node_pool", "mnist"), variables, lambda values: values)


def test_what_must_be_set_is_named_and_what_need_not_be_is_not() -> None:
    assert wrong(CLUSTER) == []
    (said,) = wrong({"aks_cluster_name": "myAKSCluster"})
    assert "aks_resource_group" in said
    assert "aks_cluster_name" not in said


def test_everything_that_is_wrong_is_named() -> None:
    said = " ".join(wrong({**CLUSTER, "node_pool_wait": "perhaps", "mnist_state": "gone", "somebody_elses": 1}))
    assert "node_pool_wait" in said
    assert "mnist_state" in said
    assert "somebody" not in said


@pytest.mark.parametrize("nothing", [None, "", " ", "\n"])
@pytest.mark.parametrize("role", ROLE_NAMES)
def test_every_variable_may_be_unset_but_for_what_is_required(role: str, nothing: Any) -> None:
    options = role_of(role).options
    required = {name for name, rule in options.items() if rule.get("required")}
    assert wrong({**dict.fromkeys(options, nothing), **dict.fromkeys(required, "x")}, role) == []
    for name in required:
        (said,) = wrong({**dict.fromkeys(required, "x"), name: nothing}, role)
        assert said == f"missing required arguments: {name}"


@pytest.mark.parametrize(
    ("value", "described"), [(1.3, "the number 1.3"), (34, "the number 34"), (True, "the boolean true")]
)
@pytest.mark.parametrize("role", ROLE_NAMES)
def test_a_text_that_has_become_something_else_is_refused(role: str, value: Any, described: str) -> None:
    """What ansible-core 2.19.14 to 2.22.0rc1 make of AWX's '1.30', '0042' and 'true'."""
    options = role_of(role).options
    required = {name for name, rule in options.items() if rule.get("required")}
    texts = {name for name, rule in options.items() if rule["type"] == "str"}
    assert texts
    for name in texts:
        said = wrong({**dict.fromkeys(required, "x"), name: value}, role)
        assert any(text.startswith(f"{name} is text, but {described} has arrived") for text in said)


def test_where_a_role_runs_its_own_values_are_passed_over_and_its_entry_point_counts() -> None:
    role = role_of("gpu_verify")
    told = {**role.defaults, **CLUSTER}

    def said(entry: str, **more: Any) -> list[str]:
        return wrong_variables_of_entry("gpu_verify", entry, {**told, **more}, lambda values: values)

    assert said("main") == said("failed") == said("report") == []
    assert "gpu_verify_wait_timeout" in said("main", gpu_verify_wait_timeout="soon")[0]
    assert said("report", aks_cluster_name="", gpu_verify_wait_timeout="soon") == []
    assert said("main", gpu_stack="magic")[0].startswith("value of gpu_stack must be one of: device_plugin, ")
    assert said("main", aks_cluster_name="") == ["missing required arguments: aks_cluster_name"]


def test_the_shared_variable_is_judged_with_the_others() -> None:
    said = " ".join(wrong({**CLUSTER, "gpu_stack": "magic", "mnist_state": "gone"}))
    assert "gpu_stack must be one of: device_plugin, " in said
    assert "mnist_state" in said
    assert wrong({**CLUSTER, "gpu_stack": ""}) == []


def test_a_misspelt_variable_is_told_and_a_users_own_is_not() -> None:
    own = ["node_pool_owner", "mnist_of_our_team", "vm_sise", "node_pool_vm_size", "gpu_stack", "node_pool_result"]
    own += ["__node_pool_wait", "__mnist_wait"]  # of the roles' own, and there where a play imports them
    assert misspelt_variables(["node_pool", "mnist"], own) == []
    (said,) = misspelt_variables(["node_pool", "mnist"], [*own, "node_pool_vm_sise"])
    assert said == "No role takes the variable node_pool_vm_sise. Is node_pool_vm_size meant?"


def test_a_role_is_read_once_also_when_a_template_names_it() -> None:
    """ansible-core 2.19 hands on tagged text, which functools.cache takes for another key."""

    class Tagged(str):
        __slots__ = ()

    assert role_of(Tagged("mnist")) is role_of("mnist")
    with pytest.raises(KeyError):
        role_of("no_role")


def test_only_variables_that_matter_are_templated() -> None:
    asked: list[dict[str, Any]] = []

    def templated(values: dict[str, Any]) -> dict[str, Any]:
        asked.append(values)
        return {**values, "node_pool_wait": "perhaps"}

    said = wrong_variables(["node_pool"], {**CLUSTER, "node_pool_wait": "{{ x }}", "other": "{{ y }}"}, templated)
    assert asked == [{**CLUSTER, "node_pool_wait": "{{ x }}"}]
    assert "node_pool_wait" in said[0]


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_every_role_can_be_judged(role: str) -> None:
    assert role_of(role).options
    assert not any("description" in rule for rule in role_of(role).options.values())
