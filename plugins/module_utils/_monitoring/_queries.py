# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Questions to Log Analytics and to an Azure Monitor workspace, and what their answers mean.

Log Analytics is asked by plain requests: azure-monitor-query would be one more library to install and to import, for
one POST (``docs/metrics.md`` has the figures); its answers are the same.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._azure._client import ArmClient, ServiceClient
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError, error_fields
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._metrics import (
    CONTAINER_INSIGHTS,
    METRICS,
    PROMETHEUS,
    Metric,
    Series,
    Span,
    parse_metric_time,
)

LONGEST_QUERY_SECONDS = 600
METRIC_NAMESPACE = "container.azm.ms/gpu"
MOST_NAMES_IN_A_QUERY = 40
"""Names of clusters that a query of Prometheus lists; with more it asks for all, for a URL has an end."""


class QueryClient(ServiceClient):
    """A client of a query interface, of which a query that took too long is not asked again."""

    @classmethod
    def of(cls, client: ArmClient, endpoint: str, audience: str) -> QueryClient:
        """Returns a client of an endpoint, signed in as another client.

        Args:
            client: Of Resource Manager.
            endpoint: Base URL, without a slash at the end.
            audience: What tokens for it are issued for.
        """
        return cls(
            endpoint,
            client.tokens.of(audience),
            client.deadline,
            client.progress,
            ca_bundle=client.ca_bundle,
            read_seconds=LONGEST_QUERY_SECONDS + 30.0,
            final=(504,),
        )


@dataclass
class QueryParameters:
    """A query that was sent, and how it went.

    Attributes:
        source: ``container_insights`` or ``prometheus``.
        place: ARM id, or endpoint, of what was asked.
        query: KQL or PromQL.
        rows: How many rows, or series, were answered.
        partial: Why the answer is not complete, or None.
        series: What was found.
    """

    source: str
    place: str
    query: str
    rows: int = 0
    partial: str | None = None
    series: list[Series] = field(default_factory=list)

    def as_result(self) -> dict[str, Any]:
        """Returns it as a module returns it."""
        return {
            "source": self.source,
            "place": self.place,
            "query": self.query,
            "rows": self.rows,
            "partial": self.partial is not None,
        }


# --- Log Analytics -----------------------------------------------------------------------------------------------

_COLUMNS = {
    "ClusterId": "container.azm.ms/clusterId",
    "ClusterName": "container.azm.ms/clusterName",
    "ContainerName": "containerName",
    "GpuId": "gpuId",
    "GpuModel": "gpuModel",
    "GpuVendor": "gpuVendor",
}
"""Columns that the query makes of the tags of InsightsMetrics."""

_DIMENSIONS = {
    "ClusterId": "cluster_id",
    "ClusterName": "cluster_name",
    "ContainerName": "container_name",
    "GpuId": "gpu_id",
    "GpuModel": "gpu_model",
    "GpuVendor": "gpu_vendor",
}


def kql(
    metrics: Iterable[str],
    cluster_ids: Sequence[str],
    nodes: Sequence[str],
    containers: Sequence[str],
    span: Span,
) -> str:
    """Returns the one query that a workspace is asked, for any number of clusters and metrics.

    Args:
        metrics: Names.
        cluster_ids: ARM ids.
        nodes: Names; none: all.
        containers: Names; none: all.
        span: The time.
    """
    tags = ", ".join(f'{column} = tostring(Tags["{tag}"])' for column, tag in _COLUMNS.items())
    columns = ", ".join(_COLUMNS)
    filters = f"| where Computer in~ ({_error_texts(nodes)})\n" if nodes else ""
    if containers:
        container = 'tostring(split(ContainerName, "/")[1])'
        filters += f"| where isempty(ContainerName) or {container} in ({_error_texts(containers)})\n"
    return (
        f"let Wanted = dynamic([{_error_texts(cluster_ids)}]);\n"
        "InsightsMetrics\n"
        f"| where TimeGenerated between (datetime({_kql_time(span.start)}) .. datetime({_kql_time(span.end)}))\n"
        f'| where Namespace == "{METRIC_NAMESPACE}" and Name in ({_error_texts(metrics)})\n'
        "| extend Tags = todynamic(Tags)\n"
        f"| extend {tags}\n"
        "| where ClusterId in~ (Wanted)\n"
        f"{filters}"
        "| summarize arg_max(TimeGenerated, Val), Average = avg(Val), Minimum = min(Val), Maximum = max(Val)\n"
        f"    by Name, Computer, {columns}, Start = bin(TimeGenerated, {span.interval}s)\n"
        "| order by Name asc, ClusterId asc, Computer asc, ContainerName asc, GpuId asc, Start asc"
    )


def _error_texts(values: Iterable[str]) -> str:
    return ", ".join(json.dumps(value) for value in values)


def _kql_time(when: datetime.datetime) -> str:
    return when.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def ask_logs(
    client: QueryClient, customer_id: str, place: str, query: str, span: Span, seconds: int
) -> QueryParameters:
    """Asks a Log Analytics workspace.

    Args:
        client: Of Log Analytics.
        customer_id: The workspace's own id, a GUID.
        place: What a message calls the workspace.
        query: KQL.
        span: The time.
        seconds: How long Log Analytics may take, 600 at most.

    Raises:
        AzureError: Log Analytics refused.
        Failure: The answer is none.
    """
    body = {"query": query, "timespan": f"{_kql_time(span.start)}/{_kql_time(span.end)}"}
    answer = client.post(
        f"{client.base_url}/v1/workspaces/{quote(customer_id)}/query",
        "",
        body=body,
        headers={"Prefer": f"wait={seconds}"},
        activity=f"Querying workspace {place}",
    ).body
    tables = answer.get("tables") if isinstance(answer, Mapping) else None
    if not tables:
        raise Failure(f"Querying workspace {place}: the answer holds no table.")
    table = tables[0]
    names = [column["name"] for column in table["columns"]]
    rows = [dict(zip(names, row, strict=True)) for row in table["rows"]]
    asked = QueryParameters(CONTAINER_INSIGHTS, place, query, len(rows), series=list(_series_of_rows(rows)))
    if answer.get("error"):
        asked.partial = _innermost_message(answer["error"])
    return asked


def _series_of_rows(rows: Iterable[Mapping[str, Any]]) -> Iterable[Series]:
    found: dict[tuple[str, ...], Series] = {}
    for row in rows:
        metric = METRICS.get(row["Name"])
        if metric is None or row["Val"] is None:
            continue
        key = (row["Name"], row["Computer"], *(str(row[column]) for column in _COLUMNS))
        if key not in found:
            found[key] = Series(metric, CONTAINER_INSIGHTS, _dimensions(metric, row))
        found[key].add(
            parse_metric_time(row["Start"]),
            float(row["Average"]),
            (parse_metric_time(row["TimeGenerated"]), float(row["Val"])),
            float(row["Minimum"]),
            float(row["Maximum"]),
        )
    return found.values()


def _dimensions(metric: Metric, row: Mapping[str, Any]) -> dict[str, str]:
    """Returns the metric's dimensions, the node, and for a container the two parts of its name."""
    values = {name: str(row[column] or "") for column, name in _DIMENSIONS.items()}
    found = {"node": str(row["Computer"]), **{name: values[name] for name in metric.dimensions}}
    if "container_name" in found:
        uid, slash, name = found["container_name"].partition("/")
        found |= {"pod_uid": uid, "container": name} if slash else {"container": uid}
    return found


def _innermost_message(error: Any) -> str:
    """Returns the message that says most: Log Analytics wraps it in several others."""
    if not isinstance(error, Mapping):
        return str(error)
    inner = error.get("innererror") or next(iter(error.get("details") or ()), None)
    if inner:
        return _innermost_message(inner)
    return str(error.get("message") or error.get("code") or "no reason given")


def reason_of(error: AzureError) -> str:
    """Returns what a query interface says of a failure."""
    return error_fields({"code": error.code, "message": error.azure_message}).get("message") or error.code


# --- Prometheus --------------------------------------------------------------------------------------------------


def promql(name: str, counterpart_selector: str, cluster_names: Sequence[str], interval: int) -> str:
    """Returns the query of one metric of an Azure Monitor workspace; each value is the average of an interval.

    Args:
        name: The metric.
        counterpart_selector: Matchers of the metric.
        cluster_names: Names of clusters; too many for a URL: all of the workspace.
        interval: Seconds.
    """
    matchers = [counterpart_selector] if counterpart_selector else []
    if len(cluster_names) <= MOST_NAMES_IN_A_QUERY:
        # A cluster's name holds letters, digits, hyphens and underscores only: no sign of a regular expression.
        matchers.append(f'cluster=~"{"|".join(sorted(set(cluster_names)))}"')
    return f"avg_over_time({name}{{{','.join(matchers)}}}[{interval}s])"


def ask_prometheus(
    client: QueryClient, place: str, query: str, span: Span, seconds: int
) -> tuple[QueryParameters, Any]:
    """Asks an Azure Monitor workspace. Returns the query and the series of the answer, as Prometheus has them.

    Args:
        client: Of the workspace's query endpoint.
        place: What a message calls the workspace.
        query: PromQL.
        span: The time.
        seconds: How long it may take.

    Raises:
        AzureError: It refused.
        Failure: The answer is none.
    """
    # A step at each end of an interval, the last one at the end.
    first = span.start + datetime.timedelta(seconds=span.interval)
    parameters = {
        "query": query,
        "start": f"{min(first, span.end).timestamp():.3f}",
        "end": f"{span.end.timestamp():.3f}",
        "step": str(span.interval),
        "timeout": f"{seconds}s",
    }
    url = f"{client.base_url}/api/v1/query_range?{urlencode(parameters)}"
    answer = client.get(url, "", activity=f"Querying workspace {place}").body
    if not isinstance(answer, Mapping) or answer.get("status") != "success":
        raise Failure(f"Querying workspace {place}: the answer holds no result: {str(answer)[:200]}")
    result = (answer.get("data") or {}).get("result") or []
    asked = QueryParameters(PROMETHEUS, place, query, len(result))
    if answer.get("warnings"):
        asked.partial = "; ".join(map(str, answer["warnings"]))
    return asked, result


def series_of_prometheus(
    metric: Metric, answers: Sequence[Any], clusters: Mapping[str, str], span: Span
) -> Iterable[Series]:
    """Returns the series that the counterparts of a metric amount to.

    Args:
        metric: One of the seven.
        answers: Of each counterpart; their values at the same time are added.
        clusters: ARM ids by the lower-case name that the label ``cluster`` has.
        span: The time.
    """
    scale = metric.counterpart.scale
    sums: dict[tuple[tuple[str, str], ...], dict[float, list[float]]] = {}
    for result in answers:
        for each in result:
            key = tuple(sorted((name, text) for name, text in each["metric"].items() if name != "__name__"))
            values = sums.setdefault(key, {})
            for when, text in each["values"]:
                values.setdefault(float(when), []).append(float(text))
    for key, values in sums.items():
        labels = dict(key)
        cluster_id = clusters.get(labels.get("cluster", "").lower())
        if cluster_id is None:
            continue
        series = Series(metric, PROMETHEUS, _dimensions_of_labels(metric, labels, cluster_id))
        for when, parts in sorted(values.items()):
            if len(parts) < len(answers):
                continue
            end = datetime.datetime.fromtimestamp(when, datetime.timezone.utc)
            value = sum(parts) * scale
            series.add(end - datetime.timedelta(seconds=span.interval), value, (end, value), value, value)
        if series.points:
            yield series


def _dimensions_of_labels(metric: Metric, labels: Mapping[str, str], cluster_id: str) -> dict[str, str]:
    """Returns the dimensions that labels amount to. Where a scrape renamed one, the exporter's own is meant."""

    def label(name: str) -> str:
        return labels.get(f"exported_{name}") or labels.get(name, "")

    container = label("container")
    uid = labels.get("uid", "")
    values = {
        "cluster_id": cluster_id,
        "cluster_name": labels.get("cluster", ""),
        "container_name": f"{uid}/{container}" if uid else container,
        "gpu_id": labels.get("UUID") or labels.get("gpu", ""),
        "gpu_model": labels.get("modelName", ""),
        "gpu_vendor": "nvidia",
    }
    node = labels.get("node") or labels.get("Hostname") or labels.get("instance", "").rpartition(":")[0]
    found = {"node": node, **{name: values[name] for name in metric.dimensions}}
    if "container_name" in metric.dimensions:
        found |= {"namespace": label("namespace"), "pod": label("pod"), "container": container}
        if uid:
            found["pod_uid"] = uid
    return found


__all__ = [
    "QueryClient",
    "QueryParameters",
    "ask_logs",
    "ask_prometheus",
    "kql",
    "promql",
    "reason_of",
    "series_of_prometheus",
]
