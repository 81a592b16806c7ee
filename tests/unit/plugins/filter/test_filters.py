# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.aks.gpu.plugins.filter.absolute_path import absolute_path
from ansible_collections.aks.gpu.plugins.filter.gpus_offered import gpus_offered
from ansible_collections.aks.gpu.plugins.filter.metrics_csv import metrics_csv
from ansible_collections.aks.gpu.plugins.filter.to_list import to_list
from ansible_collections.aks.gpu.plugins.filter.tolerations import tolerations

SKU = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("value", "items"),
    [("1, 2 ,3", ["1", "2", "3"]), ("", []), (" , ", []), (None, []), (["a ", "", 5], ["a", 5]), (("x",), ["x"])],
)
def test_listed(value: Any, items: list[Any]) -> None:
    assert to_list(value) == items


def test_listed_refuses_a_number() -> None:
    with pytest.raises(AnsibleFilterError, match="not 5"):
        to_list(5)


def test_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert absolute_path("evidence/new") == str(tmp_path / "evidence" / "new")
    assert absolute_path("../evidence") == str(tmp_path.parent / "evidence")
    assert absolute_path("~/.kube/fleet") == "/home/me/.kube/fleet"
    assert absolute_path("/srv/evidence/") == "/srv/evidence"
    assert absolute_path("") == ""
    with pytest.raises(AnsibleFilterError, match="not 5"):
        absolute_path(5)


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


@pytest.mark.parametrize(
    ("size", "options", "resource_name", "per_node"),
    [
        ("Standard_NC4as_T4_v3", {}, "nvidia.com/gpu", 1),
        ("Standard_NC64as_T4_v3", {"replicas": "4"}, "nvidia.com/gpu", 16),
        ("standard_nc4as_t4_v3", {"replicas": 4, "rename": "yes"}, "nvidia.com/gpu.shared", 4),
        ("Standard_NC4as_T4_v3", {"replicas": 1, "rename": True}, "nvidia.com/gpu", 1),
        ("Standard_NC24ads_A100_v4", {"gpu_instance_profile": "MIG1g"}, "nvidia.com/gpu", 1),
        ("Standard_NC24ads_A100_v4", {"gpu_instance_profile": "MIG1g", "mig_strategy": "single"}, "nvidia.com/gpu", 7),
        (
            "Standard_NC48ads_A100_v4",
            {"gpu_instance_profile": "MIG3g", "mig_strategy": "mixed"},
            "nvidia.com/mig-3g.40gb",
            4,
        ),
        (
            "Standard_ND96asr_v4",
            {"gpu_instance_profile": "MIG1g", "mig_strategy": "mixed"},
            "nvidia.com/mig-1g.5gb",
            56,
        ),
        (
            "Standard_NC24ads_A100_v4",
            {
                "gpu_instance_profile": "MIG1g",
                "mig_strategy": "mixed",
                "replicas": 2,
                "sharing_resource": "nvidia.com/mig-1g.10gb",
            },
            "nvidia.com/mig-1g.10gb",
            14,
        ),
        ("Standard_NC999_B900_v9", {"replicas": 2}, "nvidia.com/gpu", None),
    ],
)
def test_gpus_offered(size: str, options: dict[str, Any], resource_name: str, per_node: int | None) -> None:
    assert gpus_offered(size, **options) == {"resource_name": resource_name, "per_node": per_node}


def test_gpus_offered_by_an_unknown_size() -> None:
    with pytest.raises(AnsibleFilterError, match="gpu_verify_resource_name"):
        gpus_offered("Standard_NC999_B900_v9", gpu_instance_profile="MIG1g", mig_strategy="mixed")


def series(**dimensions: Any) -> dict[str, Any]:
    known = {"cluster_name": "c", "cluster_id": "/subscriptions/s", "node": "n", **dimensions}
    return {
        "name": "m",
        "unit": "count",
        "source": "x",
        "dimensions": known,
        "points": [["2026-01-01T00:00:00Z", -1.5]],
    }


@pytest.mark.parametrize(
    "text",
    [
        # https://owasp.org/www-community/attacks/CSV_Injection
        "=cmd|' /C calc'!A0",
        "+1+1",
        "-2+3",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        " =1",
        "\n=1",
    ],
)
def test_a_label_is_no_formula_in_csv(text: str) -> None:
    [_headings, row] = csv.reader(io.StringIO(metrics_csv([series(pod=text)]), newline=""))
    assert row[8] == f"'{text}"
    assert row[-1] == "-1.5"


@pytest.mark.parametrize("text", ["a\nforged,row", 'say "x", y', "a\r\nb", "plain", "ünicode", ""])
def test_a_label_is_one_cell_in_csv(text: str) -> None:
    """RFC 4180, 2.6 and 2.7."""
    [_headings, row] = csv.reader(io.StringIO(metrics_csv([series(pod=text)]), newline=""))
    assert (len(row), row[8]) == (15, text)


def test_csv_of_something_else_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="takes the metrics"):
        metrics_csv([{"name": "m"}])
