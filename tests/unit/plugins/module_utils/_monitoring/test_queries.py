# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import datetime
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._cluster import (
    insights_state,
    set_insights,
    set_prometheus,
    writable_cluster,
)
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._metrics import (
    METRICS,
    duration,
    is_unavailable,
    parse_metric_time,
    span_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._queries import kql, promql

NOW = datetime.datetime(2026, 11, 22, 18, 0, tzinfo=datetime.timezone.utc)

CLUSTER: dict[str, Any] = {
    "id": "/subscriptions/s/resourcegroups/g/providers/Microsoft.ContainerService/managedClusters/c",
    "name": "c",
    "location": "westus2",
    "eTag": "1",
    "identity": {"type": "UserAssigned", "principalId": "p", "userAssignedIdentities": {"/id": {"clientId": "x"}}},
    "unknown": {"kept": True},
    "properties": {
        "provisioningState": "Succeeded",
        "fqdn": "x",
        "dnsPrefix": "d",
        "agentPoolProfiles": [{"name": "a", "nodeImageVersion": "v", "eTag": "2", "count": 1, "powerState": {}}],
        "addonProfiles": {"OmsAgent": {"enabled": True, "identity": {"clientId": "i"}, "config": {"x": "y"}}},
        "azureMonitorProfile": {"metrics": {"enabled": True, "kubeStateMetrics": {"a": 1}}, "other": 1},
    },
}


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("7d", 604800)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "1x", "1h soon"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        duration(text)


def test_times_of_azure_have_seven_digits() -> None:
    assert parse_metric_time("2026-11-22T18:00:00.1234567Z") == NOW.replace(microsecond=123456)
    assert parse_metric_time("2026-11-22T18:00:00.5Z") == NOW.replace(microsecond=500000)
    assert parse_metric_time("2026-11-22") == NOW.replace(hour=0)


@pytest.mark.parametrize(("since", "interval"), [("5m", 60), ("1h", 60), ("1d", 1800), ("7d", 14400), ("365d", 86400)])
def test_about_sixty_points(since: str, interval: int) -> None:
    assert span_of(since, None, None, None, NOW).interval == interval


def test_a_span_names_all_problems() -> None:
    with pytest.raises(Failure) as caught:
        span_of("soon", None, "yesterday", "x")
    assert [part in str(caught.value) for part in ("since", "end", "interval")] == [True] * 3


@pytest.mark.parametrize(("version", "ended"), [("1.24.9", False), ("1.25.0", True), ("1.36", True), ("", True)])
def test_what_cannot_come(version: str, ended: bool) -> None:
    assert is_unavailable(version) is ended


def test_texts_in_queries_are_quoted() -> None:
    query = kql(["nodeGpuCapacity"], ['/x"; drop'], ["n'1"], ['c"\\'], span_of("1h", None, None, None, NOW))
    assert r'dynamic(["/x\"; drop"])' in query
    assert r'in ("c\"\\")' in query


def test_too_many_clusters_for_a_url_are_asked_for_together() -> None:
    assert "cluster" not in promql("M", "", [f"c{number}" for number in range(100)], 60)
    assert promql("M", 'a="b"', ["d", "c", "c"], 60) == 'avg_over_time(M{a="b",cluster=~"c|d"}[60s])'


def test_the_article_s_seven() -> None:
    assert len(METRICS) == 7
    assert sum(metric.accelerator for metric in METRICS.values()) == 3


def test_a_body_that_changes_nothing() -> None:
    before = copy.deepcopy(CLUSTER)
    body = writable_cluster(CLUSTER)
    assert before == CLUSTER
    assert body["unknown"] == {"kept": True}
    assert body["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {"/id": {}}}
    assert body["properties"]["agentPoolProfiles"] == [{"name": "a", "count": 1, "powerState": {}}]
    assert body["properties"]["addonProfiles"] == {"OmsAgent": {"enabled": True, "config": {"x": "y"}}}
    assert not {"id", "name", "eTag"} & set(body)
    assert not {"provisioningState", "fqdn"} & set(body["properties"])


def test_what_is_set_besides_stays() -> None:
    properties = writable_cluster(CLUSTER)["properties"]
    set_prometheus(properties, False)
    assert properties["azureMonitorProfile"] == {
        "metrics": {"enabled": False, "kubeStateMetrics": {"a": 1}},
        "other": 1,
    }
    set_insights(properties, True, "/w", "addon")
    assert properties["addonProfiles"]["OmsAgent"]["config"] == {
        "x": "y",
        "logAnalyticsWorkspaceResourceID": "/w",
        "useAADAuth": "true",
    }
    set_insights(properties, False, None, "addon")
    assert properties["addonProfiles"]["OmsAgent"]["config"]["logAnalyticsWorkspaceResourceID"] == "/w"
    assert insights_state(properties) == {"enabled": False, "method": None, "workspace": "/w"}
