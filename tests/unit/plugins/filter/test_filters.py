# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.aks.gpu.plugins.filter.listed import listed
from ansible_collections.aks.gpu.plugins.filter.tolerations import tolerations

SKU = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("value", "items"),
    [("1, 2 ,3", ["1", "2", "3"]), ("", []), (" , ", []), (None, []), (["a ", "", 5], ["a", 5]), (("x",), ["x"])],
)
def test_listed(value: Any, items: list[Any]) -> None:
    assert listed(value) == items


def test_listed_refuses_a_number() -> None:
    with pytest.raises(AnsibleFilterError, match="not 5"):
        listed(5)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("sku=gpu:NoSchedule", [SKU]),
        (["sku=gpu:NoSchedule", {"operator": "Exists"}], [SKU, {"operator": "Exists"}]),
        ("nvidia.com/gpu:NoSchedule", [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]),
        ("", []),
    ],
)
def test_tolerations(value: Any, expected: list[dict[str, Any]]) -> None:
    assert tolerations(value) == expected


@pytest.mark.parametrize("taint", ["sku", "sku:", ":NoSchedule", "=gpu:NoSchedule"])
def test_what_is_no_taint(taint: str) -> None:
    with pytest.raises(AnsibleFilterError, match="is not a taint"):
        tolerations(taint)
