# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the clusters that were read is the host's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

VARS = Path(__file__).parents[3] / "roles/gpu_monitoring/vars/main.yml"


def own(group: str, name: str, *found: tuple[str, str]) -> Any:
    loader = DataLoader()
    clusters = [
        {"id": f"/subscriptions/s/resourceGroups/{each}/providers/Microsoft.ContainerService/managedClusters/{cluster}"}
        for each, cluster in found
    ]
    variables = {
        **loader.load_from_file(str(VARS), trusted_as_template=True),
        "gpu_monitoring_found": {"clusters": clusters},
        "aks_resource_group": group,
        "aks_cluster_name": name,
    }
    template = Templar(loader=loader, variables=variables).template(trust_as_template("{{ gpu_monitoring_own }}"))
    return template.get("id", "").split("/")[4::4] if template else None


@pytest.mark.parametrize("group", ["rg-(prod)", "rg.prod", "(a)_b-1", "RG-Prod", "rg_(1).(2)"])
def test_a_resource_group_is_no_regular_expression(group: str) -> None:
    """Names may have parentheses and full stops:
    https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftresources.
    """
    assert own(group, "c", (group, "c")) == [group, "c"]
    assert own(group.lower(), "C", (group, "c")) == [group, "c"]


def test_another_group_is_not_taken_for_it() -> None:
    assert own("rg.prod", "c", ("rgxprod", "c")) is None
