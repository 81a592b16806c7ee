# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA's GPU Operator: whose it is, and which values its chart gets."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_operator import (
    InstalledOperator,
    refused_values,
    with_needed,
)

PERMANENT = "aks.gpu has not installed NVIDIA's GPU Operator in this cluster."
DEPLOYMENT = ("gpu-operator/gpu-operator",)


def found(**more: Any) -> InstalledOperator:
    return InstalledOperator("gpu-operator", "gpu-operator", **more)


@pytest.mark.parametrize(
    ("there", "foreign", "refusal", "left"),
    [
        pytest.param(found(), False, "", "", id="nothing"),
        pytest.param(found(own=True, status="deployed", policies=("p",)), False, "", "", id="ours"),
        pytest.param(found(own=True), False, "", "", id="our mark, and no release yet"),
        pytest.param(
            found(status="deployed", operators=DEPLOYMENT, policies=("p",)), True, "", "left as it is", id="theirs"
        ),
        # OLM, or another release name
        pytest.param(found(operators=("b/gpu-operator",), policies=("p",)), True, "", "left as it is", id="no Helm"),
        # NVIDIA/gpu-operator#2571
        pytest.param(
            found(status="deployed", operators=DEPLOYMENT, clusters=("c",)), True, "by DRA", "left", id="GPUCluster"
        ),
        pytest.param(
            found(status="deployed", operators=DEPLOYMENT, clusters=("c",), policies=("p",)), True, "by DRA", "left",
            id="both kinds",
        ),
        pytest.param(found(clusters=("c",)), True, "by DRA", "left", id="a GPUCluster that is left"),
        pytest.param(found(policies=("p",)), True, "No operator runs", "left", id="a ClusterPolicy that is left"),
        pytest.param(found(status="failed"), True, "(failed)", "left", id="a release that failed"),
        pytest.param(found(status="deployed", operators=DEPLOYMENT), True, "no ClusterPolicy", "left", id="no kind"),
        pytest.param(
            found(own=True, status="deployed", clusters=("c",)), False, "GPUCluster c is in the cluster beside", "",
            id="ours, and a GPUCluster of somebody",
        ),
        pytest.param(
            found(own=True, status="deployed", operators=("b/gpu-operator",)), False, "Deployment b/gpu-operator", "",
            id="ours, and a second operator",
        ),
    ],
)  # fmt: skip
def test_whose_it_is(there: InstalledOperator, foreign: bool, refusal: str, left: str) -> None:
    assert there.foreign is foreign
    assert (refusal in there.refusal()) if refusal else there.refusal() == ""
    for to_be in ("present", "absent"):
        text = there.left(to_be)
        if left:
            assert left in text
        else:
            assert text == ("" if there.own or to_be == "present" else PERMANENT)


def test_values_go_over_those_that_are_needed() -> None:
    """Keys are those of values.yaml of NVIDIA/gpu-operator at v26.7.0; a list replaces a list, as in Helm."""
    given = {
        "operator": {"tolerations": [], "defaultGPUMode": "container"},
        "node-feature-discovery": {"master": {"nodeSelector": {"agentpool": "infra"}}},
        "driver": {"version": "1"},
    }
    values = with_needed(given)
    assert values["operator"] == {
        "tolerations": [], "defaultGPUMode": "container", "nodeSelector": {"kubernetes.io/os": "linux"}
    }  # fmt: skip
    discovery = values["node-feature-discovery"]
    assert discovery["master"]["nodeSelector"] == {"kubernetes.io/os": "linux", "agentpool": "infra"}
    assert {"key": "CriticalAddonsOnly", "operator": "Exists"} in discovery["gc"]["tolerations"]
    assert values["daemonsets"] == {"tolerations": [{"operator": "Exists"}]}
    assert values["driver"] == {"version": "1"}
    assert with_needed({})["operator"]["tolerations"], "what was given before has changed what is needed"


@pytest.mark.parametrize("values", [{}, {"gpuCluster": None}, {"gpuCluster": {"deployCR": False}}, {"gpuCluster": 1}])
def test_values_that_are_taken(values: dict[str, Any]) -> None:
    assert refused_values(values) == ""


def test_dra_is_refused() -> None:
    assert "by DRA" in refused_values({"gpuCluster": {"deployCR": True}})
