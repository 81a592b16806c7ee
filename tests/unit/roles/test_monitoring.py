# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the clusters that were read is the host's own, and what is written of them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).parents[3] / "roles/gpu_monitoring"
VARS = ROLE / "vars/main.yml"


def cluster_id(group: str, name: str) -> str:
    return f"/subscriptions/s/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{name}"


def variable(expression: str, **variables: Any) -> Any:
    loader = DataLoader()
    layers = loader.load_from_file(str(VARS), trusted_as_template=True)
    return Templar(loader=loader, variables={**layers, **variables}).template(trust_as_template(expression))


def own(group: str, name: str, *found: tuple[str, str]) -> Any:
    template = variable(
        "{{ __gpu_monitoring_cluster_metrics }}",
        gpu_monitoring_found={"clusters": [{"id": cluster_id(each, cluster)} for each, cluster in found]},
        aks_resource_group=group,
        aks_cluster_name=name,
    )
    return template.get("id", "").split("/")[4::4] if template else None


def problems(nodes: dict[str, int], metrics: dict[str, float], **messages: str) -> str:
    """What ``verify`` says of a cluster's nodes and what the metrics say, with messages of gpu_metrics_info by kind."""
    summary = {"id": cluster_id("g", "c"), "capacity_by_node": metrics, "newest": {"x": "now"} if metrics else {}}
    said = [{"kind": kind, "text": text, "clusters": ["c"], "metrics": []} for kind, text in messages.items()]
    found = variable(
        "{{ __gpu_monitoring_problems }}",
        gpu_monitoring_found={"clusters": [summary], "messages": said},
        __gpu_monitoring_gpu_nodes={"nodes": [{"name": name, "capacity": count} for name, count in nodes.items()]},
        gpu_monitoring_idle_is_a_failure=False,
        aks_resource_group="g",
        aks_cluster_name="c",
    )
    return " ".join(found)


@pytest.mark.parametrize("kind", ["forbidden", "timeout", "missing", "ambiguous", "off"])
@pytest.mark.parametrize("nodes", [{}, {"n": 1}])
def test_what_could_not_be_read_agrees_with_nothing(kind: str, nodes: dict[str, int]) -> None:
    """Findings C13: without a GPU node, metrics that nobody may read agreed "on the GPUs of 0 nodes"."""
    assert problems(nodes, {}, **{kind: "so it is"}).endswith("so nothing can be compared: so it is")


def test_no_sample_of_a_cluster_without_gpus_agrees() -> None:
    assert problems({}, {}, empty="no row") == ""
    assert problems({"n": 1}, {}, empty="no row").startswith("No metric of c could be read")


def test_what_a_partial_answer_lacks_is_not_known() -> None:
    assert problems({"n": 1, "m": 1}, {"n": 1.0}).startswith("c has other GPUs than its metrics: m offers 1")
    assert problems({"n": 1, "m": 1}, {"n": 1.0}, partial="it was cut").endswith("is not known for m: it was cut")
    assert problems({"n": 1}, {"n": 1.0}, partial="it was cut") == ""


@pytest.mark.parametrize("group", ["rg-(prod)", "rg.prod", "(a)_b-1", "RG-Prod", "rg_(1).(2)"])
def test_a_resource_group_is_no_regular_expression(group: str) -> None:
    """Names may have parentheses and full stops:
    https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftresources.
    """
    assert own(group, "c", (group, "c")) == [group, "c"]
    assert own(group.lower(), "C", (group, "c")) == [group, "c"]


def test_another_group_is_not_taken_for_it() -> None:
    assert own("rg.prod", "c", ("rgxprod", "c")) is None


def written_csv(**labels: str) -> list[list[str]]:
    """The rows of the metrics.csv that the role writes of one sample with these labels."""
    (block,) = DataLoader().load_from_file(str(ROLE / "tasks/read.yml"), trusted_as_template=True)
    (content,) = (
        file["content"] for task in block["block"] for file in task.get("loop") or [] if file["name"] == "metrics.csv"
    )
    known = {"cluster_name": "c", "cluster_id": cluster_id("g", "c"), "node": "n", **labels}
    point = ["2026-01-01T00:00:00Z", 1.5]
    sample = {"name": "m", "unit": "count", "source": "x", "dimensions": known, "points": [point]}
    text = variable(content, gpu_monitoring_found={"metrics": [sample]}, ansible_search_path=[str(ROLE)])
    return list(csv.reader(io.StringIO(text, newline="")))[1:]


@pytest.mark.parametrize(
    ("label", "cell"),
    [
        # Findings D5; https://owasp.org/www-community/attacks/CSV_Injection
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("a\n2026-01-01T00:00:00Z,forged", "a\n2026-01-01T00:00:00Z,forged"),
    ],
)
def test_a_label_is_one_harmless_cell(label: str, cell: str) -> None:
    rows = written_csv(pod=label)
    assert [row[8] for row in rows] == [cell]
    assert [len(row) for row in rows] == [15]
