# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helm: how it reaches a cluster, what it said, and which Pods it waits for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Executed
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics import _helm
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._helm import (
    RELEASE_NAME,
    Chart,
    Release,
    kubeconfig_of,
    said,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import access_of
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import WaitFailed
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._watch import State


@pytest.mark.parametrize(
    ("name", "fits"),
    [("gpu-operator", True), ("a", True), ("a.b", True), ("a" * 53, True), ("a" * 54, False), ("GPU", False),
     ("a--b", True), ("-a", False), ("a.", False), ("../a", False), ("", False)],
)  # fmt: skip
def test_names_of_releases(name: str, fits: bool) -> None:
    """helm/helm, pkg/chart/common/util: its pattern, and 53 characters."""
    assert bool(RELEASE_NAME.fullmatch(name)) is fits


@pytest.mark.parametrize(
    ("chart", "version"),
    [("gpu-operator-v25.3.4", "v25.3.4"), ("my-gpu-operator-1.2.3-rc.1", "1.2.3-rc.1"), ("gpu-operator", "")],
)
def test_the_version_of_a_release(chart: str, version: str) -> None:
    assert Release(chart, "deployed", 1, "").version == version


def test_a_chart_whose_version_is_inside(tmp_path: Path) -> None:
    """Then Helm has to be asked, whatever version was asked for."""
    assert Chart("gpu-operator", "https://h.example", "v1.0.0").names_one_version
    assert Chart("oci://h.example/gpu-operator", None, "v1.0.0").names_one_version
    assert not Chart("gpu-operator", "https://h.example").names_one_version
    assert not Chart(str(tmp_path), None, "v1.0.0").names_one_version
    assert not Chart("https://h.example/gpu-operator-v1.0.0.tgz", None, "v1.0.0").names_one_version


@pytest.mark.parametrize(
    ("stdout", "stderr", "text"),
    [
        ("", "WARNING: loose\nError: UPGRADE FAILED: a\nb\n", "UPGRADE FAILED: a b"),
        ("", "level=WARN msg=x", "level=WARN msg=x"),
        ("Error: out", "", "out"),
        ("", "", "nothing, and ended with 3"),
        ("", "Error: \x1b[31mred", "red"),
    ],
)
def test_what_helm_said(stdout: str, stderr: str, text: str) -> None:
    assert said(Executed(3, stdout, stderr)) == text


def test_it_reaches_the_cluster_as_the_client_does(tmp_path: Path) -> None:
    """Fields of https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/."""
    user = {
        "token": "secret-token",
        "as": "näme",
        "as-uid": "7",
        "as-groups": ["a", "b"],
        "as-user-extra": {"Ab/c": ["1", "2"]},
    }
    cluster = {"server": "https://h.example/", "insecure-skip-tls-verify": True, "proxy-url": "socks5://p.example:1",
               "tls-server-name": "t.example"}  # fmt: skip
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    access = access_of({"kubeconfig": config}, str(tmp_path), lambda *_values: None, lambda *_all: (0, "", ""))
    made = kubeconfig_of(access)
    assert made["users"][0]["user"] == user
    assert made["clusters"][0]["cluster"] == {**cluster, "server": "https://h.example"}


def pod(name: str, revision: str = "1", made: str = "2026-01-01T00:00:00Z", *, taint: bool = True) -> dict[str, Any]:
    text = "0/1 nodes are available: 1 node(s) had untolerated taint(s)."
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": text}
    labels = {"app": name.partition("-")[0], "pod-template-hash": revision}
    return {
        "metadata": {"namespace": "n", "name": name, "uid": name, "labels": labels, "creationTimestamp": made},
        "status": {"phase": "Pending", "conditions": [scheduled]} if taint
        else {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }  # fmt: skip


def state(*pods: dict[str, Any]) -> State:
    return State(objects={"pods": {each["metadata"]["uid"]: each for each in pods}, "events": {}})


def test_a_pod_that_does_not_come_ends_the_wait() -> None:
    shown: list[str] = []
    wait = _helm._ReleaseWait("Helm release n/r: being installed", 0.0, shown.append)
    wait.begin(state())
    with pytest.raises(WaitFailed) as caught:
        wait.look(state(pod("a-1"), pod("b-1", taint=False)))
    assert "1 of 2 Pods ready; Pod n/a-1: Unschedulable: 0/1 nodes are available" in shown[-1]
    assert "- Pod n/a-1: Unschedulable: 0/1 nodes are available: 1 node(s) had untolerated taint(s)." in str(
        caught.value
    )
    assert "tolerations to the values of the chart" in str(caught.value)


def test_a_pod_of_before_may_be_about_to_go() -> None:
    """An upgrade that mends tolerations: its hook runs first, then the new Pod comes, then the old one goes."""
    wait = _helm._ReleaseWait("w", 0.2, lambda _text: None)
    wait.begin(state(pod("a-old")))
    wait.look(state(pod("a-old")))
    time.sleep(0.25)
    wait.look(state(pod("a-old")))
    newer = pod("a-new", "2", "2026-01-01T00:00:01Z", taint=False)
    time.sleep(0.5)
    wait.look(state(pod("a-old"), newer))
    assert wait.problems == []


def test_a_pod_of_before_that_stays_ends_the_wait_later() -> None:
    wait = _helm._ReleaseWait("w", 0.1, lambda _text: None)
    wait.begin(state(pod("a-old")))
    wait.look(state(pod("a-old")))
    time.sleep(0.35)
    with pytest.raises(WaitFailed):
        wait.look(state(pod("a-old")))
