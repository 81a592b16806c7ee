# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an object lives: names and namespaces that would lead elsewhere, and namespaces with many objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._manifest_objects import parse_definition
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._paths import CONFIG_MAP
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._resources import Resources
from api_server import Asked, api_server


def found(name: Any = "n", namespace: Any = "space", api_version: str = "v1") -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}


@pytest.mark.parametrize(
    ("definition", "source"),
    [
        (found("../../kube-system/configmaps/victim"), "findings, D6"),
        (found("."), "https://github.com/kubernetes/kubernetes/pull/16717"),
        (found(".."), "https://github.com/openshift/origin/issues/1120"),
        (found("a%2fb"), "https://github.com/openshift/origin/issues/1120"),
        (found("feature/TY-357-some-issue"), "https://github.com/nytimes/drone-gke/issues/102"),
        (found("clickhouse/jk-storage"), "https://github.com/kubernetes/kubectl/issues/1304"),
        (found(namespace=".."), "https://github.com/kubernetes/kubernetes/issues/119269"),
        (found(namespace="."), "https://github.com/kubernetes/kubernetes/issues/119269"),
        (found(namespace="a/../kube-system"), "https://github.com/kubernetes/kubernetes/issues/119269"),
        (found(namespace="Space"), "https://kubernetes.io/docs/concepts/overview/working-with-objects/names/"),
        (found(namespace=["a"]), "a list in the place of a namespace"),
        (found(api_version="../../api/v1"), "a path in the place of a version"),
    ],
)
def test_what_would_lead_elsewhere_is_refused(definition: dict[str, Any], source: str) -> None:
    with pytest.raises(Failure, match=r"object 1: .* is not a valid") as caught:
        parse_definition(definition)
    assert "\n" not in str(caught.value), source


@pytest.mark.parametrize("name", ["system:node", "a.b-c", "kube-root-ca.crt", "Upper_Case@x"])
def test_names_that_kubernetes_has_are_let_pass(name: str) -> None:
    """RBAC's names have colons: https://kubernetes.io/docs/reference/access-authn-authz/rbac/."""
    assert parse_definition(found(name)) == [found(name)]


def test_every_part_of_a_path_is_one_segment() -> None:
    assert CONFIG_MAP.path("a", "b") == "/api/v1/namespaces/a/configmaps/b"
    assert CONFIG_MAP.path("a/b", "../c?d#e") == "/api/v1/namespaces/a%2Fb/configmaps/..%2Fc%3Fd%23e"
    assert CONFIG_MAP.path("a", "system:node").endswith("/system:node")


@pytest.mark.parametrize("count", [3, 1200])
def test_a_namespace_is_looked_at_to_its_end(tmp_path: Path, count: int) -> None:
    """A list is cut at its limit: https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks."""
    kinds = [{"resource": "configmaps", "responseKind": {"kind": "ConfigMap"}, "scope": "Namespaced"}]
    group = {"versions": [{"version": "v1", "resources": [{**kinds[0], "verbs": ["list", "delete"]}]}]}

    def answer(asked: Asked) -> tuple[int, Any]:
        if asked.path == "/api":
            return 200, {"items": [group]}
        if asked.path == "/apis":
            return 200, {"items": []}
        start, limit = int(asked.query.get("continue", 0)), int(asked.query["limit"])
        names = [f"c{number}" for number in range(start, min(start + limit, count))]
        metadata = {"continue": str(start + limit)} if start + limit < count else {}
        return 200, {"items": [{"metadata": {"name": name}} for name in names], "metadata": metadata}

    with api_server(tmp_path, answer) as server:
        contents, unknown = Resources(server.client).contents("n")
    assert (len(contents), unknown) == (count, [])
