# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions, comparisons, and what is kept out of sight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._secrets import MASK
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._manifest_objects import (
    masked_pair,
    parse_definition,
    without_server_fields,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._secrets import mask_objects
from ansible_collections.aks.gpu.plugins.modules import manifest
from ansible_collections.aks.gpu.plugins.plugin_utils import _isolation
from api_server import Asked, api_server, status

NAMESPACE: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}


def run(module: Any, folder: Path, **options: Any) -> dict[str, Any]:
    """The result of a module as the action plugins run it."""
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode()
    ended = _isolation.call_main(
        module.main, arguments, environment={}, working_directory=str(folder), parent_directory=str(folder), show=print
    )
    return dict(json.loads(ended.stdout.strip().splitlines()[-1]))


def test_definitions_of_every_form() -> None:
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n"
    assert parse_definition(NAMESPACE) == [NAMESPACE]
    assert parse_definition([NAMESPACE, NAMESPACE]) == [NAMESPACE, NAMESPACE]
    assert parse_definition(text) == [NAMESPACE]
    assert parse_definition(f"---\n{text}---\n---\n{text}") == [NAMESPACE, NAMESPACE]
    assert parse_definition({"apiVersion": "v1", "kind": "List", "items": [NAMESPACE]}) == [NAMESPACE]
    assert parse_definition("") == []


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(Failure) as caught:
        parse_definition(
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
        parse_definition("a: b\n  c: [")


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
    assert without_server_fields(live) == {**NAMESPACE, "metadata": {"name": "n", "labels": {"a": "b"}}}


def test_secrets_are_masked_but_seen_to_change() -> None:
    before: dict[str, Any] = {"kind": "Secret", "data": {"a": "MQ==", "b": "Mg=="}}
    after = {"kind": "Secret", "data": {"a": "MQ==", "b": "Mw==", "c": "NA=="}}
    assert mask_objects(before)["data"] == {"a": MASK, "b": MASK}
    shown = masked_pair(before, after)
    assert shown[0]["data"] == {"a": MASK, "b": f"{MASK} (before)"}
    assert shown[1]["data"] == {"a": MASK, "b": f"{MASK} (after)", "c": MASK}
    assert before["data"]["b"] == "Mg=="
    assert mask_objects(NAMESPACE) is NAMESPACE


@pytest.mark.parametrize("namespace", [{}, {"namespace": None}, {"namespace": ""}])
def test_a_namespace_that_is_null_or_empty_is_that_of_the_context(tmp_path: Path, namespace: dict[str, Any]) -> None:
    """Findings, D10: a template with an unset value renders so; kubectl takes the namespace of the context as well."""
    definition = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", **namespace}}
    kinds = {"resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": True}]}

    def answer(asked: Asked) -> tuple[int, Any]:
        if asked.path == "/api/v1":
            return 200, kinds
        if asked.method == "GET":
            return status(404, "NotFound", 'configmaps "c" not found')
        return 200, asked.body

    with api_server(tmp_path, answer) as server:
        result = run(manifest, tmp_path, kubeconfig=server.kubeconfig, definition=definition)
    assert server.paths("PATCH") == ["/api/v1/namespaces/default/configmaps/c"] * 2
    assert (result["resources"][0]["namespace"], result["resources"][0]["action"]) == ("default", "created")
