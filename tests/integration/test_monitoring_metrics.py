# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPU metrics read, on a sandbox without Kubernetes: what is known of its Pods is what the tests say.

The official client of Log Analytics asks the same and is answered the same.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from aks_sandbox.testing import Sandbox
from monitoring_harness import POOL, Monitored, eventually, monitoring_environment

Json = dict[str, Any]

MINUTES = 30
SEVEN = (
    "containerGpuDutyCycle",
    "containerGpuLimits",
    "containerGpuRequests",
    "containerGpumemoryTotalBytes",
    "containerGpumemoryUsedBytes",
    "nodeGpuAllocatable",
    "nodeGpuCapacity",
)
ACCELERATOR = {"containerGpuDutyCycle", "containerGpumemoryTotalBytes", "containerGpumemoryUsedBytes"}
T4_BYTES = round(14.58 * 1024**3)


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    """Two clusters with GPU pools; agents report each minute of the past only, and then hardly ever."""
    settings = {"clock_speed": 20.0, "metrics_interval_seconds": 3600.0}
    with Sandbox.started("metrics", clusters=2, kubernetes=False, settings=settings) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def clusters(shared: Sandbox) -> list[Monitored]:
    """myAKSCluster with two T4 nodes, one of two Pods idle; myAKSCluster2 with one managed node. 30 minutes of data."""
    patch = pytest.MonkeyPatch()
    for name, value in monitoring_environment(shared).items():
        patch.setenv(name, value)
    found = [Monitored(shared), Monitored(shared, f"{shared.cluster}2")]
    shared.act("feature", name="ManagedGPUExperiencePreview", state="Registered")
    arm = found[0].arm
    arm.ask("POST", f"{arm.subscription}/providers/Microsoft.ContainerService/register", version="2025-04-01")
    managed = {"gpuProfile": {"nvidia": {"managementMode": "Managed"}}, "nodeLabels": {}}
    for cluster, properties in zip(found, ({**POOL, "count": 2}, {**POOL, **managed}), strict=True):
        started = cluster.arm.ask("PUT", f"{cluster.path}/agentPools/gpunp", {"properties": properties})
        assert cluster.arm.wait(started)["status"] == "Succeeded", started.text
    found[0].workspace("logs-one")
    found[0].account("metrics-one")
    for cluster in found:
        made = cluster.run("monitoring", container_insights=True, workspace="logs-one")
        assert not made["failed"], made["msg"]
    found[1].run("monitoring", prometheus=True, azure_monitor_workspace="metrics-one")
    shared.act("gpu_pod", cluster=found[0].name, pool="gpunp", name="trainer", gpus=1, trains=True)
    shared.act("gpu_pod", cluster=found[0].name, pool="gpunp", name="sleeper", gpus=1, trains=False, container="cuda")
    shared.act("gpu_pod", cluster=found[1].name, pool="gpunp", name="notebook", gpus=1, trains=False)
    for cluster in found:
        shared.act("metrics_history", cluster=cluster.name, minutes=MINUTES)
    patch.undo()
    return found


@pytest.fixture
def cluster(clusters: list[Monitored], monkeypatch: pytest.MonkeyPatch) -> Iterator[Monitored]:
    sandbox = clusters[0].sandbox
    for name, value in monitoring_environment(sandbox).items():
        monkeypatch.setenv(name, value)
    yield clusters[0]
    sandbox.clear_faults()


def by_name(result: Json, source: str = "container_insights") -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    for each in result["metrics"]:
        if each["source"] == source:
            found.setdefault(each["name"], []).append(each)
    return found


def texts(result: Json, kind: str) -> str:
    return " ".join(each["text"] for each in result["messages"] if each["kind"] == kind)


def test_all_seven_below_1_25(clusters: list[Monitored], monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = clusters[0].sandbox
    for name, value in monitoring_environment(sandbox).items():
        monkeypatch.setenv(name, value)
    with Sandbox.started(
        "old", kubernetes=False, options=["--kubernetes-version", "1.24.9"], settings={"clock_speed": 20.0}
    ) as old:
        for name, value in monitoring_environment(old).items():
            monkeypatch.setenv(name, value)
        cluster = Monitored(old)
        cluster.arm.create("gpunp", {**POOL, "vmSize": "Standard_NC64as_T4_v3"})
        cluster.workspace("logs-one")
        cluster.run("monitoring", container_insights=True, workspace="logs-one")
        old.act("gpu_pod", cluster=cluster.name, pool="gpunp", name="trainer", gpus=2)
        old.act("metrics_history", cluster=cluster.name, minutes=10)
        found = cluster.metrics(since="15m", interval="1m")
        series = by_name(found)
        assert tuple(sorted(series)) == SEVEN
        assert not texts(found, "not_available")
        (requests,) = series["containerGpuRequests"]
        assert (requests["value"], requests["unit"]) == (2.0, "GPUs")
        assert set(requests["dimensions"]) == {
            "node", "cluster_id", "cluster_name", "container_name", "pod_uid", "container",
        }  # fmt: skip
        assert requests["dimensions"]["container"] == "trainer"
        assert len(series["containerGpuDutyCycle"]) == 2
        for name in ACCELERATOR:
            for each in series[name]:
                dimensions = each["dimensions"]
                assert dimensions["cluster_id"].lower() == cluster.cluster()["id"].lower()
                assert dimensions["cluster_name"] == cluster.name
                assert dimensions["gpu_id"].startswith("GPU-")
                assert (dimensions["gpu_model"], dimensions["gpu_vendor"]) == ("Tesla T4", "nvidia")
                assert dimensions["container_name"].endswith("/trainer")
        duty = series["containerGpuDutyCycle"][0]
        assert duty["unit"] == "percent"
        assert 60 <= duty["value"] <= 100
        assert len(duty["points"]) >= 10
        assert [each["value"] for each in series["containerGpumemoryTotalBytes"]] == [T4_BYTES, T4_BYTES]
        assert all(0 < each["value"] <= T4_BYTES for each in series["containerGpumemoryUsedBytes"])
        (capacity,) = series["nodeGpuCapacity"]
        assert (capacity["value"], capacity["dimensions"]["gpu_vendor"]) == (4.0, "nvidia.com/gpu")
        assert series["nodeGpuAllocatable"][0]["value"] == 4.0


def test_the_four_of_today(cluster: Monitored) -> None:
    found = cluster.metrics(sources=["container_insights"])
    series = by_name(found)
    assert set(series) == set(SEVEN) - ACCELERATOR
    assert sorted(each["value"] for each in series["nodeGpuCapacity"]) == [1.0, 1.0]
    assert {each["dimensions"]["container"]: each["value"] for each in series["containerGpuRequests"]} == {
        "trainer": 1.0,
        "cuda": 1.0,
    }
    (summary,) = found["clusters"]
    assert (summary["capacity"], summary["allocatable"], summary["requests"], summary["limits"]) == (2, 2, 2, 2)
    assert summary["duty_cycle"] is None
    said = texts(found, "not_available")
    assert "can't come from Container Insights on Kubernetes 1.25 and later" in said
    assert "containerGpuDutyCycle: DCGM_FI_DEV_GPU_UTIL (DCGM exporter)" in said
    assert "DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE" in said
    assert "prometheus: true" in said


def test_filters(cluster: Monitored) -> None:
    whole = by_name(cluster.metrics(sources=["container_insights"]))
    node = whole["nodeGpuCapacity"][0]["dimensions"]["node"]
    one = by_name(cluster.metrics(sources=["container_insights"], nodes=[node]))
    assert {each["dimensions"]["node"] for series in one.values() for each in series} == {node}
    container = by_name(cluster.metrics(containers=["cuda"], metrics=["containerGpuLimits"]))
    assert [each["dimensions"]["container"] for each in container["containerGpuLimits"]] == ["cuda"]
    now = datetime.datetime.now(datetime.timezone.utc)
    end = now - datetime.timedelta(minutes=10)
    start = end - datetime.timedelta(minutes=10)
    found = cluster.metrics(metrics=["nodeGpuCapacity"], start=start.isoformat(), end=end.isoformat(), interval="1m")
    for each in by_name(found)["nodeGpuCapacity"]:
        assert 9 <= len(each["points"]) <= 11
        assert start.strftime("%Y-%m-%dT%H:%M") <= each["points"][0][0] < end.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found["interval"] == 60


def test_prometheus_has_the_counterparts(clusters: list[Monitored], cluster: Monitored) -> None:
    other = clusters[1]
    found = other.metrics(since="30m", interval="1m")
    series = by_name(found, "prometheus")
    assert set(series) == set(SEVEN)
    duty = series["containerGpuDutyCycle"][0]
    assert (duty["value"], duty["unit"]) == (0.0, "percent")
    assert duty["dimensions"]["container"] == "notebook"
    assert duty["dimensions"]["pod"] == "notebook"
    assert duty["dimensions"]["node"].startswith("aks-gpunp-")
    # Azure drops UUID and modelName of this target.
    assert (duty["dimensions"]["gpu_id"], duty["dimensions"]["gpu_model"]) == ("0", "")
    assert series["containerGpumemoryTotalBytes"][0]["value"] == round(14.58 * 1024) * 1024**2
    assert series["nodeGpuCapacity"][0]["value"] == 1.0
    assert "They are returned with the source prometheus" in texts(found, "not_available")
    idle = texts(found, "idle")
    assert "default/notebook, container notebook, holds 1 GPU" in idle
    assert "doesn't use it: its duty cycle is 0 % at most" in idle
    assert found["clusters"][0]["idle"][0]["gpus"] == 1.0
    assert {each["rows"] > 0 for each in found["queries"]} == {True}


def test_fleets_ask_each_workspace_once(clusters: list[Monitored], cluster: Monitored) -> None:
    sandbox = cluster.sandbox
    mark = sandbox.mark()
    found = cluster.run("gpu_metrics_info", resource_group=None, cluster_name=None)
    assert found["failed"]
    places = [{"resource_group": sandbox.resource_group, "cluster_name": each.name} for each in clusters]
    from module_runner import run

    found = run("gpu_metrics_info", {"clusters": places, "sources": ["container_insights"]})
    assert [each["name"] for each in found["clusters"]] == [each.name for each in clusters]
    assert [each["capacity"] for each in found["clusters"]] == [2.0, 1.0]
    sent = [each["url"] for each in sandbox.traffic(mark) if each["url"].partition("?")[0].endswith("/query")]
    assert len(sent) == 1
    assert len(found["queries"]) == 1
    nobody = run("gpu_metrics_info", {"clusters": [*places, {"resource_group": "none", "cluster_name": "no"}]})
    assert "There is no cluster no in none" in nobody["msg"]


def test_the_official_client_gets_the_same_rows(cluster: Monitored) -> None:
    query_sdk = pytest.importorskip("azure.monitor.query")
    sandbox = cluster.sandbox
    end = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1)
    start = end - datetime.timedelta(minutes=20)
    found = cluster.metrics(sources=["container_insights"], start=start.isoformat(), end=end.isoformat(), interval="5m")
    (asked,) = found["queries"]
    workspace = cluster.of_kind("Microsoft.OperationalInsights/workspaces", "2023-09-01")["logs-one"]
    client = query_sdk.LogsQueryClient(
        sandbox.credential("monitoring"),
        endpoint=sandbox.url,
        audience=sandbox.url,
        connection_verify=str(sandbox.state.ca),
    )
    answer = client.query_workspace(workspace["properties"]["customerId"], asked["query"], timespan=(start, end))
    assert answer.status == query_sdk.LogsQueryStatus.SUCCESS
    (table,) = answer.tables
    assert len(table.rows) == asked["rows"] > 0
    theirs = {
        (row["Name"], row["Computer"], row["ContainerName"], row["Start"].strftime("%Y-%m-%dT%H:%M:%SZ")): row[
            "Average"
        ]
        for row in table.rows
    }
    ours = {
        (each["name"], each["dimensions"]["node"], each["dimensions"].get("container_name", ""), point[0]): point[1]
        for each in found["metrics"]
        for point in each["points"]
    }
    assert ours == theirs
    # By the ARM id of the workspace as well.
    again = client.query_resource(workspace["id"], asked["query"], timespan=(start, end))
    assert [list(row) for row in again.tables[0].rows] == [list(row) for row in table.rows]


def test_a_partial_answer(cluster: Monitored) -> None:
    with cluster.sandbox.having(logs_row_limit=10):
        found = cluster.metrics(sources=["container_insights"])
    assert found["queries"][0]["partial"]
    assert found["queries"][0]["rows"] == 10
    assert "is not complete: The results of this query exceed the set limit of 10 records" in texts(found, "partial")


def test_an_empty_table(cluster: Monitored) -> None:
    found = cluster.metrics(sources=["container_insights"], start="2020-01-01", end="2020-01-02")
    assert found["metrics"] == []
    said = texts(found, "empty")
    assert "InsightsMetrics has no row of the namespace container.azm.ms/gpu for myAKSCluster from 2020-01-01" in said
    assert found["clusters"][0]["capacity"] is None


def test_late_ingestion(cluster: Monitored) -> None:
    with cluster.sandbox.having(ingestion_delay_seconds=1200.0):
        found = cluster.metrics(sources=["container_insights"])
    said = texts(found, "delayed")
    assert "The newest sample of myAKSCluster in Container Insights is 20 min" in said
    assert "ingestion is late" in said


def test_without_permission(cluster: Monitored, monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster.sandbox.having(
        permissions_removed=["Microsoft.OperationalInsights/workspaces/query/*", "Microsoft.Monitor/accounts/data/*"]
    ):
        found = cluster.run("gpu_metrics_info", sources=["container_insights"])
    assert found["failed"]
    assert found["messages"][0]["kind"] == "forbidden"
    assert "The principal may not query workspace logs-one (InsufficientAccessError)" in found["msg"]
    assert "Log Analytics Reader" in found["msg"]


def test_a_query_that_times_out(cluster: Monitored) -> None:
    mark = cluster.sandbox.mark()
    with cluster.sandbox.having(logs_query_seconds=30.0):
        found = cluster.run("gpu_metrics_info", sources=["container_insights"], query_timeout=1)
    assert found["failed"]
    assert "The query of workspace logs-one took longer than 1 s (GatewayTimeout)" in found["msg"]
    assert "raise query_timeout" in found["msg"]
    queries = [each for each in cluster.sandbox.traffic(mark) if each["url"].partition("?")[0].endswith("/query")]
    assert len(queries) == 1  # it is not asked again


def test_part_of_a_fleet_that_cannot_be_read(clusters: list[Monitored], cluster: Monitored) -> None:
    """Prometheus' counterparts come although Log Analytics does not answer."""
    cluster.sandbox.fault("POST", "/v1/workspaces/", status=403, body={"error": {"code": "Forbidden", "message": "no"}})
    found = clusters[1].metrics()
    assert texts(found, "forbidden")
    assert by_name(found, "prometheus")
    assert not by_name(found)


def test_monitoring_that_is_off(cluster: Monitored) -> None:
    profile = cluster.cluster()["properties"]["azureMonitorProfile"]
    cluster.sandbox.act("cluster", cluster=cluster.name, properties={"azureMonitorProfile": None})
    try:
        found = cluster.metrics()
    finally:
        cluster.sandbox.act("cluster", cluster=cluster.name, properties={"azureMonitorProfile": profile})
    assert "Container Insights is off on myAKSCluster" in texts(found, "off")
    assert found["metrics"] == []
    assert found["queries"] == []


def test_throttling_is_waited_for(cluster: Monitored) -> None:
    cluster.sandbox.fault("POST", "/v1/workspaces/", status=429, headers={"Retry-After": "1"}, body={})
    assert by_name(cluster.metrics(sources=["container_insights"]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"since": "soon"}, "since: 'soon' is no duration"),
        ({"start": "yesterday"}, "start: 'yesterday' is no time"),
        ({"start": "2026-01-02", "end": "2026-01-01"}, "is not before end"),
        ({"since": "7d", "interval": "1s"}, "gives 604800 points"),
        ({"query_timeout": 601}, "query_timeout: 601 is not between 1 and 600"),
        ({"log_analytics_endpoint": "http://x"}, "is no https URL"),
    ],
)
def test_bad_input(cluster: Monitored, options: Json, said: str) -> None:
    found = cluster.run("gpu_metrics_info", **options)
    assert found["failed"]
    assert said in found["msg"]


def test_samples_keep_coming(cluster: Monitored) -> None:
    with cluster.sandbox.having(metrics_interval_seconds=0.2):
        assert eventually(lambda: by_name(cluster.metrics(sources=["container_insights"], since="1m")))
