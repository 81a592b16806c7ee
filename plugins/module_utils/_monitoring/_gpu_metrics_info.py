# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``gpu_metrics_info``: every place is asked once, whatever the number of clusters."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import duration_text
from ansible_collections.aks.gpu.plugins.module_utils._azure._arguments import AZURE_ARGUMENTS
from ansible_collections.aks.gpu.plugins.module_utils._azure._client import ArmClient
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError
from ansible_collections.aks.gpu.plugins.module_utils._azure._session import sign_in
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._metrics import (
    CONTAINER_INSIGHTS,
    METRICS,
    PROMETHEUS,
    SOURCES,
    Series,
    Span,
    is_unavailable,
    metric_time_text,
    span_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._metrics_summary import idle_text, metrics_summary
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._queries import (
    LONGEST_QUERY_SECONDS,
    QueryClient,
    QueryParameters,
    ask_logs,
    ask_prometheus,
    kql,
    promql,
    series_of_prometheus,
)
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._workspaces import (
    MonitoredCluster,
    accounts_of,
    customer_id,
    find_clusters,
    normalized_workspace_id,
    query_endpoint,
)

LATE_SECONDS = 600
"""Newest sample older than this: Log Analytics takes minutes, not more, so ingestion is late or has ended."""


METRICS_READ_SECONDS = 300.0
IDLE_PERCENT = 5.0

PROMETHEUS_AUDIENCES = {
    "azureusgovernment": "https://prometheus.monitor.azure.us",
    "azurechinacloud": "https://prometheus.monitor.azure.cn",
}
PROMETHEUS_AUDIENCE = "https://prometheus.monitor.azure.com"

GPU_METRICS_INFO_ARGUMENTS = AZURE_ARGUMENTS.merge(
    ArgumentSpec(
        options={
            "resource_group": {"type": "str", "aliases": ["resource_group_name"]},
            "cluster_name": {"type": "str"},
            "clusters": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "subscription_id": {"type": "str"},
                    "resource_group": {"type": "str", "required": True},
                    "cluster_name": {"type": "str", "required": True},
                },
            },
            "metrics": {"type": "list", "elements": "str", "choices": list(METRICS)},
            "sources": {"type": "list", "elements": "str", "choices": list(SOURCES), "default": list(SOURCES)},
            "nodes": {"type": "list", "elements": "str"},
            "containers": {"type": "list", "elements": "str"},
            "since": {"type": "str", "default": "1h"},
            "start": {"type": "str"},
            "end": {"type": "str"},
            "interval": {"type": "str"},
            "workspace": {"type": "str"},
            "azure_monitor_workspace": {"type": "str"},
            "log_analytics_endpoint": {"type": "str"},
            "prometheus_audience": {"type": "str"},
            "query_timeout": {"type": "int", "default": 180},
            "idle_percent": {"type": "float", "default": IDLE_PERCENT},
        },
        required_together=(("resource_group", "cluster_name"),),
        mutually_exclusive=(("cluster_name", "clusters"),),
        required_one_of=(("cluster_name", "clusters"),),
    )
)


class MetricsUnavailable(Failure):
    """Nothing of what was asked for could be read."""


def plan_gpu_metrics_info(task: Task) -> Plan:
    """Says what a task of the module ``gpu_metrics_info`` returns. Raises subclasses of ``Failure``."""
    return Plan(changed=False, result=_MetricsQuery(task).answer())


@dataclass
class _Findings:
    """What was found out so far.

    Attributes:
        asked: The queries.
        messages: What a user must know, a kind and a text each.
        failed: How many places could not be asked.
    """

    asked: list[QueryParameters] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    failed: int = 0

    def tell(self, kind: str, text: str, clusters: Iterable[str] = (), metrics: Iterable[str] = ()) -> None:
        """Adds a message."""
        self.messages.append({"kind": kind, "text": text, "clusters": sorted(clusters), "metrics": list(metrics)})


class _MetricsQuery:
    """One task.

    Args:
        task: The task.
    """

    def __init__(self, task: Task) -> None:
        self.params = params = task.params
        problems = []
        if not 1 <= params["query_timeout"] <= LONGEST_QUERY_SECONDS:
            problems.append(f"query_timeout: {params['query_timeout']} is not between 1 and {LONGEST_QUERY_SECONDS}.")
        for name in ("log_analytics_endpoint", "prometheus_audience"):
            if params[name] and urlsplit(params[name]).scheme != "https":
                problems.append(f"{name}: {params[name]!r} is no https URL.")
        if problems:
            raise Failure(" ".join(problems))
        self.span: Span = span_of(params["since"], params["start"], params["end"], params["interval"])
        deadline = task.deadline(METRICS_READ_SECONDS + params["query_timeout"])
        self.session = sign_in(params, task.run_directory, task.secret, deadline, task.progress)
        self.client: ArmClient = self.session.client
        self.metrics: list[str] = params["metrics"] or list(METRICS)
        self.found = _Findings()

    def answer(self) -> dict[str, Any]:
        """Asks all places and returns the module's result.

        Raises:
            MetricsUnavailable: None of the places answered.
        """
        clusters = find_clusters(self.client, self._wanted())
        if CONTAINER_INSIGHTS in self.params["sources"]:
            self._ask_insights(clusters)
        if PROMETHEUS in self.params["sources"]:
            self._ask_prometheus(clusters)
        found = self.found
        if found.failed and not found.asked:
            raise MetricsUnavailable(
                " ".join(dict.fromkeys(message["text"] for message in found.messages)), messages=found.messages
            )
        series = self._chosen([each for asked in found.asked for each in asked.series])
        self._tell_what_cannot_come(clusters, series)
        self._tell_what_is_missing(clusters, series)
        summaries = [
            metrics_summary(cluster, series, self.params["idle_percent"], self._told_whole(cluster))
            for cluster in clusters
        ]
        for summary in summaries:
            for idle in summary["idle"]:
                found.tell("idle", idle_text(idle, self.span), [summary["name"]], ["containerGpuDutyCycle"])
        return {
            "metrics": [each.as_result() for each in series],
            "clusters": summaries,
            "messages": found.messages,
            "queries": [asked.as_result() for asked in found.asked],
            "start": metric_time_text(self.span.start),
            "end": metric_time_text(self.span.end),
            "interval": self.span.interval,
        }

    def _wanted(self) -> list[tuple[str, str, str]]:
        own = self.session.subscription_id
        if self.params["clusters"] is None:
            return [(own, self.params["resource_group"], self.params["cluster_name"])]
        if not self.params["clusters"]:
            raise Failure("clusters is an empty list.", hint="It names resource_group and cluster_name of each.")
        return [
            (each["subscription_id"] or own, each["resource_group"], each["cluster_name"])
            for each in self.params["clusters"]
        ]

    # --- Container Insights --------------------------------------------------------------------------------------

    def _ask_insights(self, clusters: list[MonitoredCluster]) -> None:
        """Sends one query to each workspace."""
        by_workspace: dict[str, list[MonitoredCluster]] = {}
        for cluster in clusters:
            workspace = self.params["workspace"] or (cluster.workspace_id if cluster.insights else None)
            if workspace:
                by_workspace.setdefault(normalized_workspace_id(workspace).lower(), []).append(cluster)
        off = [cluster for cluster in clusters if not self.params["workspace"] and not cluster.insights]
        if off and (self.params["sources"] == [CONTAINER_INSIGHTS] or not any(each.prometheus for each in off)):
            self.found.tell(
                "off",
                f"Container Insights is off on {_cluster_names(off)}: aks.gpu.monitoring with container_insights: true "
                "switches it on.",
                [each.name for each in off],
            )
        if not by_workspace:
            return
        client = QueryClient.of(self.client, self._log_analytics(), self._log_analytics())
        for workspace, members in by_workspace.items():
            name = workspace.rpartition("/")[2]
            query = kql(
                self.metrics,
                [each.id for each in members],
                self.params["nodes"] or [],
                self.params["containers"] or [],
                self.span,
            )

            def ask(workspace: str = workspace, name: str = name, query: str = query) -> QueryParameters:
                known = workspace if "/" not in workspace else customer_id(self.client, workspace)
                return ask_logs(client, known, name, query, self.span, self.params["query_timeout"])

            asked = self._tried(ask, f"workspace {name}", members, "Log Analytics Reader")
            if asked is not None:
                self.found.asked.append(asked)
                if asked.partial is not None:
                    self._tell_partial(asked, members)

    def _log_analytics(self) -> str:
        given = self.params["log_analytics_endpoint"] or self.client.cloud.log_analytics
        if not given:
            raise Failure(
                f"The cloud {self.client.cloud.name} names no Log Analytics.",
                hint="Set O(log_analytics_endpoint), such as https://api.loganalytics.azure.com.",
            )
        return str(given).rstrip("/").removesuffix("/v1")

    # --- Prometheus ----------------------------------------------------------------------------------------------

    def _ask_prometheus(self, clusters: list[MonitoredCluster]) -> None:
        """Sends a query for each metric to each Azure Monitor workspace."""
        on = [cluster for cluster in clusters if cluster.prometheus or self.params["azure_monitor_workspace"]]
        if not on:
            if self.params["sources"] == [PROMETHEUS]:
                self.found.tell(
                    "off",
                    f"Managed Prometheus is off on {_cluster_names(clusters)}: aks.gpu.monitoring with prometheus: "
                    "true switches it on.",
                    [each.name for each in clusters],
                )
            return
        by_account = self._accounts(on)
        audience = self.params["prometheus_audience"] or PROMETHEUS_AUDIENCES.get(
            self.client.cloud.name.lower(), PROMETHEUS_AUDIENCE
        )
        for account, members in by_account.items():
            self._ask_account(account, members, audience)

    def _ask_account(self, account: str, members: list[MonitoredCluster], audience: str) -> None:
        name = account.rstrip("/").rpartition("/")[2]
        what, reader = f"Azure Monitor workspace {name}", "Monitoring Data Reader"

        def endpoint() -> str:
            return account if account.startswith("https:") else query_endpoint(self.client, account)

        url = self._tried(endpoint, what, members, reader)
        if url is None:
            return
        ids = self._unambiguous(members, name)
        client = QueryClient.of(self.client, url, audience)
        chosen = [METRICS[each] for each in self.metrics]
        queries = {
            (counterpart, metric.counterpart.selector): promql(
                counterpart, metric.counterpart.selector, [each.name for each in members], self.span.interval
            )
            for metric in chosen
            for counterpart in metric.counterpart.names
        }
        answers: dict[tuple[str, str], tuple[QueryParameters, Any]] = {}
        for key, query in queries.items():

            def ask(query: str = query) -> tuple[QueryParameters, Any]:
                return ask_prometheus(client, name, query, self.span, self.params["query_timeout"])

            found = self._tried(ask, what, members, reader)
            if found is None:
                return
            answers[key] = found
            self.found.asked.append(found[0])
            if found[0].partial is not None:
                self._tell_partial(found[0], members)
        for metric in chosen:
            parts = [answers[each, metric.counterpart.selector] for each in metric.counterpart.names]
            parts[0][0].series += series_of_prometheus(metric, [result for _asked, result in parts], ids, self.span)

    def _accounts(self, clusters: list[MonitoredCluster]) -> dict[str, list[MonitoredCluster]]:
        given = self.params["azure_monitor_workspace"]
        if given:
            return {given.rstrip("/"): clusters}
        by_account: dict[str, list[MonitoredCluster]] = {}
        for cluster_id, accounts in accounts_of(self.client, clusters).items():
            members = [each for each in clusters if each.id.lower() == cluster_id]
            if not accounts:
                self.found.tell(
                    "off",
                    f"Managed Prometheus is on for {_cluster_names(members)}, but no data collection rule leads to an "
                    "Azure Monitor workspace: aks.gpu.monitoring with azure_monitor_workspace sets one.",
                    [each.name for each in members],
                )
            for account in accounts:
                by_account.setdefault(account, []).extend(members)
        return by_account

    def _unambiguous(self, members: list[MonitoredCluster], place: str) -> dict[str, str]:
        """Returns the ARM ids of clusters by lower-case name, without those that share a name."""
        ids: dict[str, list[str]] = {}
        for each in members:
            ids.setdefault(each.name.lower(), []).append(each.id)
        for name, several in ids.items():
            if len(several) > 1:
                self.found.tell(
                    "ambiguous",
                    f"Prometheus tells clusters apart by name only, and {len(several)} clusters called {name} send to "
                    f"Azure Monitor workspace {place}: their metrics are left out. A cluster_alias in "
                    "ama-metrics-settings-configmap tells them apart.",
                    [name],
                )
        return {name: several[0] for name, several in ids.items() if len(several) == 1}

    # --- what went wrong -----------------------------------------------------------------------------------------

    def _tried(self, ask: Callable[[], Any], what: str, members: list[MonitoredCluster], role: str) -> Any:
        """Returns an answer, or None after a message when this one place could not be asked.

        Raises:
            Failure: What would fail everywhere: the sign-in, the connection, a defect of the query.
        """
        names = [each.name for each in members]
        try:
            return ask()
        except AzureError as error:
            self.found.failed += 1
            if error.status == 403:
                self.found.tell(
                    "forbidden",
                    f"The principal may not query {what} ({error.code}): give it the role {role} on it; a new role "
                    "assignment takes some minutes.",
                    names,
                )
            elif error.status == 504 or "timeout" in error.code.lower() or "timed out" in error.azure_message.lower():
                self.found.tell(
                    "timeout",
                    f"The query of {what} took longer than {duration_text(self.params['query_timeout'])} "
                    f"({error.code}): ask for less time (since), for fewer metrics or clusters, or raise query_timeout "
                    f"({LONGEST_QUERY_SECONDS} s at most).",
                    names,
                )
            elif error.status == 404:
                self.found.tell("missing", f"There is no {what} any more ({error.code}).", names)
            else:
                raise
            return None

    def _tell_partial(self, asked: QueryParameters, members: list[MonitoredCluster]) -> None:
        self.found.tell(
            "partial",
            f"The answer of {asked.place} is not complete: {(asked.partial or '').rstrip('.')}. What did come is "
            "returned; ask for less time, or a longer interval, to have all.",
            [each.name for each in members],
        )

    def _tell_what_cannot_come(self, clusters: list[MonitoredCluster], series: list[Series]) -> None:
        """Three of the seven ended with Kubernetes 1.25: says so, unless they came all the same."""
        ended = [name for name in self.metrics if METRICS[name].accelerator]
        came = {
            each.dimensions["cluster_id"].lower()
            for each in series
            if each.source == CONTAINER_INSIGHTS and each.metric.accelerator
        }
        concerned = [
            each
            for each in clusters
            if each.insights and each.id.lower() not in came and is_unavailable(each.kubernetes_version)
        ]
        if not ended or not concerned or CONTAINER_INSIGHTS not in self.params["sources"]:
            return
        counterparts = "; ".join(
            f"{name}: {' + '.join(METRICS[name].counterpart.names)} ({METRICS[name].counterpart.exporter})"
            for name in ended
        )
        without = [each for each in concerned if not each.prometheus]
        advice = (
            " aks.gpu.monitoring with prometheus: true, and the role aks.gpu.gpu_monitoring for the exporter, bring "
            "them."
            if without
            else " They are returned with the source prometheus, where the exporter runs."
        )
        versions = ", ".join(sorted({each.kubernetes_version for each in concerned}))
        self.found.tell(
            "not_available",
            f"{', '.join(ended)} can't come from Container Insights on Kubernetes 1.25 and later "
            f"({_cluster_names(concerned)}: {versions}): the kubelet no longer measures GPUs. "
            f"Managed Prometheus has the counterparts {counterparts}.{advice}",
            [each.name for each in concerned],
            ended,
        )

    def _tell_what_is_missing(self, clusters: list[MonitoredCluster], series: list[Series]) -> None:
        """Empty tables, and samples that are late."""
        newest: dict[tuple[str, str], datetime.datetime] = {}
        for one in series:
            key = (one.source, one.dimensions["cluster_id"].lower())
            newest[key] = max(one.time, newest.get(key, one.time))
        not_asked = {name for message in self.found.messages for name in _not_asked(message)}
        for source in sorted({asked.source for asked in self.found.asked}):
            on = [each for each in clusters if each.name not in not_asked and self._is_on(each, source)]
            empty = [each for each in on if (source, each.id.lower()) not in newest]
            if empty:
                self.found.tell(
                    "empty", _empty_text(source, _cluster_names(empty), self.span), [each.name for each in empty]
                )
            for each in on if self.span.open_end else ():
                last = newest.get((source, each.id.lower()))
                age = (self.span.end - last).total_seconds() if last else 0.0
                if last is not None and age > max(LATE_SECONDS, 2 * self.span.interval):
                    self.found.tell(
                        "delayed",
                        f"The newest sample of {each.name} in {_source_text(source)} is {duration_text(age)} old "
                        f"({metric_time_text(last)}): ingestion is late, or the agent or the GPU nodes have stopped. "
                        "Samples usually show within 10 minutes.",
                        [each.name],
                    )

    def _is_on(self, cluster: MonitoredCluster, source: str) -> bool:
        if source == CONTAINER_INSIGHTS:
            return bool(cluster.insights or self.params["workspace"])
        return bool(cluster.prometheus or self.params["azure_monitor_workspace"])

    def _told_whole(self, cluster: MonitoredCluster) -> frozenset[str]:
        """Returns the metrics of which no series means none: those that were asked for and answered as a whole."""
        cut = any(each["kind"] == "partial" and cluster.name in each["clusters"] for each in self.found.messages)
        return frozenset() if cut else frozenset(self.metrics)

    def _chosen(self, series: list[Series]) -> list[Series]:
        """Returns the series of the nodes and containers that are asked for; Log Analytics has left out others."""
        nodes = {each.lower() for each in self.params["nodes"] or ()}
        containers = set(self.params["containers"] or ())
        return [
            each
            for each in series
            if (not nodes or each.dimensions["node"].lower() in nodes)
            and (not containers or "container" not in each.dimensions or each.dimensions["container"] in containers)
        ]


def _not_asked(message: Mapping[str, Any]) -> list[str]:
    """Clusters of a message that says that a place could not be asked."""
    return list(message["clusters"]) if message["kind"] in ("forbidden", "timeout", "missing", "ambiguous") else []


def _cluster_names(clusters: Iterable[MonitoredCluster]) -> str:
    names = sorted({each.name for each in clusters})
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more clusters" if len(names) > 10 else "")


def _source_text(source: str) -> str:
    return "Container Insights" if source == CONTAINER_INSIGHTS else "Managed Prometheus"


def _empty_text(source: str, names: str, span: Span) -> str:
    if source == CONTAINER_INSIGHTS:
        return (
            f"InsightsMetrics has no row of the namespace container.azm.ms/gpu for {names} {span.text}: the cluster "
            "had no GPU node in that time, Container Insights was switched on only now (the first samples take 10 to "
            "15 minutes), or its data collection rule doesn't lead to the workspace."
        )
    return (
        f"Managed Prometheus has none of the metrics for {names} {span.text}: the cluster had no GPU node in that "
        "time, it was switched on only now, or nothing scrapes the DCGM exporter."
    )
