# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX hands over for a question without an answer, and for a text that ansible-core takes for a number.

Source of the values: AWX's awx/main/utils/safe_yaml.py writes `!unsafe ''` and `!unsafe '1.30'`; ansible-core 2.16.19
reads them as texts, 2.19.14, 2.21.5 and 2.22.0rc1 as None and 1.3.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.filter.or_else import FilterModule
from ansible_collections.aks.gpu.plugins.module_utils._ansible._values import (
    is_unset,
    misread_texts,
    without_unset,
)

NOTHING = [None, "", " ", "\t\n"]
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True, "aliases": ["called"]},
    "path": {"type": "path"},
    "plain": {},
    "count": {"type": "int"},
    "wait": {"type": "bool"},
    "labels": {"type": "dict"},
    "taints": {"type": "list", "elements": "str"},
    "zones": {"type": "list", "elements": "raw"},
    "profile": {"type": "dict", "options": {"driver": {"type": "str"}, "days": {"type": "int"}}},
    "pools": {"type": "list", "elements": "dict", "options": {"size": {"type": "str"}}},
}


@pytest.mark.parametrize("nothing", NOTHING)
def test_nothing_is_unset_at_every_level(nothing: Any) -> None:
    assert is_unset(nothing)
    assert without_unset(OPTIONS, dict.fromkeys([*OPTIONS, "called"], nothing)) == {}
    inner = {"profile": {"driver": nothing, "days": 1}, "pools": [{"size": nothing}], "_ansible_diff": nothing}
    assert without_unset(OPTIONS, inner) == {"profile": {"days": 1}, "pools": [{}], "_ansible_diff": nothing}


@pytest.mark.parametrize("value", [False, 0, [], {}, "0", " x "])
def test_what_says_something_is_kept(value: Any) -> None:
    assert not is_unset(value)
    assert without_unset(OPTIONS, dict.fromkeys(OPTIONS, value)) == dict.fromkeys(OPTIONS, value)


@pytest.mark.parametrize("nothing", NOTHING)
def test_the_filter_of_the_roles_takes_the_same_for_unset(nothing: Any) -> None:
    or_else = FilterModule().filters()["or_else"]
    assert or_else(nothing) == ""
    assert or_else(nothing, 3) == 3
    values: list[Any] = [False, 0, [], {}, "x"]
    assert [or_else(value, 3) for value in values] == values


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("name", 1.3, "name is text, but the number 1.3 has arrived"),
        ("called", 34, "called is text, but the number 34 has arrived"),
        ("path", True, "path is text, but the boolean true has arrived"),
        ("plain", False, "plain is text, but the boolean false has arrived"),
        ("plain", date(2026, 1, 2), "plain is text, but the date 2026-01-02 has arrived"),
        ("taints", ["a", 1.3], "taints is text, but the number 1.3 has arrived"),
        ("taints", True, "taints is text, but the boolean true has arrived"),
        ("profile", {"driver": 1}, "profile.driver is text, but the number 1 has arrived"),
        ("pools", [{"size": 2}], "pools.size is text, but the number 2 has arrived"),
    ],
)
def test_what_has_lost_its_spelling_is_named_with_one_that_survives(name: str, value: Any, says: str) -> None:
    (said,) = misread_texts(OPTIONS, {name: value})
    assert said.startswith(says)
    assert "Quote it in YAML" in said
    assert ("1.30.4" in said) == ("1.3 " in says)


def test_texts_and_what_need_not_be_text_are_taken() -> None:
    texts = {"name": "1.30", "path": "0042", "plain": "true", "taints": ["1.30"], "profile": {"driver": "1"}}
    assert misread_texts(OPTIONS, texts) == []
    numbers = {"count": 3, "wait": True, "labels": {"a": 1}, "zones": [1, 2], "profile": {"days": 1}, "of_another": 1.3}
    assert misread_texts(OPTIONS, numbers) == []
