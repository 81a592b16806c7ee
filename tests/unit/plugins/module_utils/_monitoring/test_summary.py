# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster's summary takes for none, and what for unknown."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._metrics import METRICS, Series
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._metrics_summary import metrics_summary
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._workspaces import MonitoredCluster

NOW = datetime.datetime(2026, 11, 22, 18, 0, tzinfo=datetime.timezone.utc)
CLUSTER = MonitoredCluster("/c", "c", "1.36.0", insights=True, workspace_id="/w", prometheus=False)


def series(name: str) -> Series:
    found = Series(METRICS[name], "container_insights", {"cluster_id": "/c", "node": "n", "container_name": "u/c"})
    found.add(NOW, 1.0, (NOW, 1.0), 1.0, 1.0)
    return found


@pytest.mark.parametrize(
    ("told", "whole", "requests"),
    [
        (["nodeGpuCapacity", "containerGpuRequests"], ["containerGpuRequests"], 1.0),
        (["nodeGpuCapacity"], ["containerGpuRequests"], 0.0),
        (["nodeGpuCapacity"], [], None),  # not asked for, or the answer was partial
        ([], ["containerGpuRequests"], None),
    ],
)
def test_what_was_not_answered_is_not_none(told: list[str], whole: list[str], requests: float | None) -> None:
    assert metrics_summary(CLUSTER, [series(name) for name in told], 5.0, frozenset(whole))["requests"] == requests
