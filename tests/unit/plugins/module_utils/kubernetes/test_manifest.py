# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions, comparisons, and what is kept out of sight."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._secrets import MASK
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._manifest import essence, masked_pair, parse
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._secrets import masked

NAMESPACE: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}


def test_definitions_of_every_form() -> None:
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n"
    assert parse(NAMESPACE) == [NAMESPACE]
    assert parse([NAMESPACE, NAMESPACE]) == [NAMESPACE, NAMESPACE]
    assert parse(text) == [NAMESPACE]
    assert parse(f"---\n{text}---\n---\n{text}") == [NAMESPACE, NAMESPACE]
    assert parse({"apiVersion": "v1", "kind": "List", "items": [NAMESPACE]}) == [NAMESPACE]
    assert parse("") == []


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(Failure) as caught:
        parse(
            [
                {"kind": "Pod", "metadata": {}},
                NAMESPACE,
                "text",
                {"apiVersion": "v1", "kind": 3, "metadata": {"name": "x"}},
            ]
        )
    assert str(caught.value) == (
        "The definition can't be used: object 1 lacks apiVersion, metadata.name; object 3 is text; object 4 lacks kind."
    )


def test_invalid_yaml() -> None:
    with pytest.raises(Failure, match=r"not valid YAML in line 2"):
        parse("a: b\n  c: [")


def test_essence_leaves_out_what_changes_by_itself() -> None:
    live = {
        **NAMESPACE,
        "metadata": {
            "name": "n",
            "uid": "u",
            "resourceVersion": "1",
            "generation": 2,
            "managedFields": [],
            "labels": {"a": "b"},
        },
        "status": {"phase": "Active"},
    }
    assert essence(live) == {**NAMESPACE, "metadata": {"name": "n", "labels": {"a": "b"}}}


def test_secrets_are_masked_but_seen_to_change() -> None:
    before: dict[str, Any] = {"kind": "Secret", "data": {"a": "MQ==", "b": "Mg=="}}
    after = {"kind": "Secret", "data": {"a": "MQ==", "b": "Mw==", "c": "NA=="}}
    assert masked(before)["data"] == {"a": MASK, "b": MASK}
    shown = masked_pair(before, after)
    assert shown[0]["data"] == {"a": MASK, "b": f"{MASK} (before)"}
    assert shown[1]["data"] == {"a": MASK, "b": f"{MASK} (after)", "c": MASK}
    assert before["data"]["b"] == "Mg=="
    assert masked(NAMESPACE) is NAMESPACE
