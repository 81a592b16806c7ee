# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that would lead elsewhere in an API server, and namespaces that are null or empty, wherever they come from."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes import _paths
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import access_of
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import InvalidKubeconfig, KubernetesError
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._manifest_objects import parse_definition
from ansible_collections.aks.gpu.plugins.modules import gpu_probe, manifest, wait_for_job
from ansible_collections.aks.gpu.plugins.plugin_utils import _isolation
from api_server import Asked, api_server, status

PLUGINS = Path(_paths.__file__).parents[2]
VICTIM = "../../kube-system/configmaps/victim"


def run(module: Any, folder: Path, **options: Any) -> dict[str, Any]:
    """The result of a module as the action plugins run it."""
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode()
    ended = _isolation.call_main(
        module.main, arguments, environment={}, working_directory=str(folder), parent_directory=str(folder), show=print
    )
    return dict(json.loads(ended.stdout.strip().splitlines()[-1]))


def is_path_of_names(text: ast.JoinedStr) -> bool:
    """True for an f-string that puts a value into a path of an API server."""
    constants = [str(part.value) for part in text.values if isinstance(part, ast.Constant)]
    begins = bool(constants) and isinstance(text.values[0], ast.Constant) and constants[0].startswith(("/api", "/apis"))
    return begins or any("/namespaces/" in each or "/pods/" in each for each in constants)


def test_values_become_parts_of_paths_in_one_place() -> None:
    found = [
        f"{file.relative_to(PLUGINS)}:{node.lineno}"
        for file in sorted(PLUGINS.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.JoinedStr) and is_path_of_names(node)
    ]
    assert found == []


def test_the_search_finds_what_it_is_for() -> None:
    old = 'f"/api/v1/namespaces/{log.namespace}/pods/{log.pod}/log"'
    assert is_path_of_names(ast.parse(old, mode="eval").body)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("module", "options", "source"),
    [
        (wait_for_job, {"name": VICTIM}, "findings, D6: a survey's mnist_name"),
        (wait_for_job, {"name": ".."}, "https://github.com/openshift/origin/issues/1120"),
        (wait_for_job, {"name": "a%2fb"}, "https://github.com/openshift/origin/issues/1120"),
        (wait_for_job, {"name": "feature/TY-357"}, "https://github.com/nytimes/drone-gke/issues/102"),
        (wait_for_job, {"name": "Mnist"}, "https://kubernetes.io/docs/concepts/overview/working-with-objects/names/"),
        (wait_for_job, {"name": "a,metadata.name!=b"}, "the name is a part of a field selector as well"),
        (wait_for_job, {"name": "a", "namespace": ".."}, "https://github.com/kubernetes/kubernetes/issues/119269"),
        (wait_for_job, {"name": "a", "namespace": "a/../kube-system"}, "kubernetes/kubernetes#119269"),
        (gpu_probe, {"namespace": "../../api/v1/namespaces/kube-system"}, "kubernetes/kubernetes#119269"),
        (gpu_probe, {"namespace": "kube-system/pods?x="}, "a path and a query"),
    ],
)
def test_options_that_would_lead_elsewhere_are_refused(
    tmp_path: Path, module: Any, options: dict[str, Any], source: str
) -> None:
    with api_server(tmp_path, lambda _asked: (200, {})) as server:
        result = run(module, tmp_path, kubeconfig=server.kubeconfig, wait_timeout=1, **options)
    assert result["failed"], source
    assert "is not a valid" in result["msg"]
    assert server.asked == []


def test_an_empty_name_is_none(tmp_path: Path) -> None:
    """The path of an empty name is that of the list."""
    with api_server(tmp_path, lambda _asked: (200, {})) as server:
        result = run(wait_for_job, tmp_path, kubeconfig=server.kubeconfig, name="")
    assert result["msg"] == "missing required arguments: name"
    assert server.asked == []


@pytest.mark.parametrize("namespace", ["..", "a/../kube-system", "Space", ["a"]])
def test_a_contexts_namespace_is_a_name(tmp_path: Path, namespace: Any) -> None:
    """kubernetes/kubernetes#119269; a kubeconfig comes from outside as well."""
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "https://h.invalid"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
    }
    with pytest.raises(InvalidKubeconfig, match=r"Context 'x': .* is not a valid namespace"):
        access_of({"kubeconfig": config}, str(tmp_path), lambda *_values: None, lambda *_unused: (0, "", ""))


@pytest.mark.parametrize("kind", ["../Secret", "Config Map", "configmaps/x?y"])
def test_a_kind_is_a_name(kind: str) -> None:
    found = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "n"}}
    with pytest.raises(Failure, match="is not a valid kind"):
        parse_definition(found)


def test_what_is_not_refused_is_quoted() -> None:
    pod = _paths.POD
    assert pod.path("n", "p", "log") == "/api/v1/namespaces/n/pods/p/log"
    assert pod.path("a/b", "../c", "x?y") == "/api/v1/namespaces/a%2Fb/pods/..%2Fc/x%3Fy"
    assert _paths.root_of("a/b?c") == "/apis/a/b%3Fc"
    assert _paths.NODE.path(name="n") == "/api/v1/nodes/n"
    for wrong in ("..", "a/.."):
        with pytest.raises(KubernetesError, match="is not a valid name"):
            _paths.root_of(wrong)


DAEMON_SETS = {"resources": [{"name": "daemonsets", "kind": "DaemonSet", "namespaced": True}]}
RENDERED = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata:\n  name: d\n  namespace: %s\nspec: {}\n"


@pytest.mark.parametrize(
    ("definition", "source"),
    [
        (RENDERED % '""', "https://github.com/helm/helm/issues/10019"),
        (RENDERED % "", "https://github.com/kubernetes/cloud-provider-openstack/pull/1838"),
        (RENDERED % "~", "null in YAML: https://yaml.org/spec/1.2.2/#10211-null"),
        ([{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d", "namespace": ""}}
        ]}], "https://github.com/DandyDeveloper/charts/pull/177"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("state", ["present", "absent"])
def test_an_object_without_a_namespace_is_in_that_of_the_context(
    tmp_path: Path, definition: Any, source: str, state: str
) -> None:
    """Findings, D10: "could not find the requested resource". kubectl takes the context's as well."""

    def answer(asked: Asked) -> tuple[int, Any]:
        if asked.path == "/apis/apps/v1":
            return 200, DAEMON_SETS
        return status(404, "NotFound", "not found") if asked.method == "GET" else (200, asked.body)

    with api_server(tmp_path, answer) as server:
        server.kubeconfig["contexts"][0]["context"]["namespace"] = "team"
        result = run(manifest, tmp_path, kubeconfig=server.kubeconfig, definition=definition, state=state)
    assert not result.get("failed"), (source, result)
    assert set(server.paths("GET") + server.paths("PATCH")) == {
        "/apis/apps/v1",
        "/apis/apps/v1/namespaces/team/daemonsets/d",
    }


@pytest.mark.parametrize("option", [None, ""])
@pytest.mark.parametrize("context", [{}, {"namespace": None}, {"namespace": ""}])
def test_an_option_without_a_namespace_is_that_of_the_context(
    tmp_path: Path, option: str | None, context: dict[str, Any]
) -> None:
    """Findings, D10; helm/helm-classic#71 and mittwald/go-helm-client#163 handed an empty namespace on."""

    def answer(asked: Asked) -> tuple[int, Any]:
        if "watch" in asked.query:
            return status(503, "ServiceUnavailable", "not now")
        return 200, {"metadata": {"resourceVersion": "1"}, "items": []}

    with api_server(tmp_path, answer) as server:
        server.kubeconfig["contexts"][0]["context"].update(context)
        result = run(
            wait_for_job, tmp_path, kubeconfig=server.kubeconfig, name="work", namespace=option, wait_timeout=2
        )
    assert "There is no Job work in the namespace default." in result["msg"]
    assert "/apis/batch/v1/namespaces/default/jobs" in server.paths("GET")
