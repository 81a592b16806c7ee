# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a kubeconfig or a definition may be shown."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.aks.gpu.plugins.module_utils._ansible._secrets import MASK
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._secrets import (
    mask_objects,
    seal_definition,
    seal_kubeconfig,
)


def test_what_has_no_secret_is_shown_as_it_is() -> None:
    definition = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}
    assert seal_definition(definition).shown == definition
    assert seal_definition(yaml.safe_dump(definition)).shown == yaml.safe_dump(definition)
    assert seal_kubeconfig("~/.kube/config").shown == "~/.kube/config"
    assert seal_kubeconfig(None).shown is None


@pytest.mark.parametrize("value", [["pl4nted-value"], {"b": "pl4nted-value"}, [{"b": ["pl4nted-value"]}]])
@pytest.mark.parametrize("key", ["data", "stringData"])
def test_values_of_a_wrong_type_are_masked(key: str, value: Any) -> None:
    """The API server: "expected string, got &value.valueUnstructured{Value:[]interface {}{…}}", with the value."""
    definition = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, key: {"a": value}}
    sealed = seal_definition(definition)
    assert "pl4nted-value" in sealed.secrets
    assert sealed.shown[key] == {"a": MASK}
    assert "pl4nted-value" in seal_definition({**definition, key: "pl4nted-value"}).secrets


def test_what_kubectl_noted_of_a_secret_is_masked() -> None:
    """kubectl apply notes the whole object: https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/"""
    note = "kubectl.kubernetes.io/last-applied-configuration"
    noted = {note: '{"data":{"a":"MQ=="}}', "b": "c"}
    live: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "annotations": noted}}
    assert mask_objects(live)["metadata"]["annotations"] == {note: MASK, "b": "c"}
