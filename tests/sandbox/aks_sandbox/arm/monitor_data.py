"""What the agents of monitored clusters send, and the two interfaces that it is queried by: Log Analytics' (KQL) and an
Azure Monitor workspace's (PromQL).

Nothing is made up when a question comes: agents look at the clusters (`observation`) at an interval, and only at those
whose add-on is on and whose data collection rule leads somewhere. What a GPU would measure follows from the containers
that run: a training keeps it busy, anything else leaves it idle. Formats of InsightsMetrics are those of Azure's
agent; labels of the DCGM exporter those of Azure's default target, which drops modelName, UUID and Hostname.

Witness: Microsoft's pages on the table InsightsMetrics, on GPU metrics in Container Insights, on the query interfaces,
and the settings of ama-metrics.
No witness: the values that a training's GPU shows, the texts of query errors, and which metrics an Azure Monitor
workspace refuses to combine.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import re
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import yaml

from ..apiclient import ApiError
from ..interfaces import NodePlane, SandboxError
from ..nodeplane import KubernetesNodePlane
from ..observation import Observation, SeenContainer, SeenNode, of_cluster, without_kubernetes
from . import kql, promql
from .authorization import Authorization
from .calls import Call, Reply, Route, route
from .errors import ArmError
from .identity import Identity, stable_id
from .monitor_resources import MonitorResources
from .world import Cluster, World

Json = dict[str, Any]
log = logging.getLogger(__name__)

PROMETHEUS_AUDIENCE = "https://prometheus.monitor.azure.com"
GPU_NAMESPACE = "container.azm.ms/gpu"
COLUMNS = {
    "TenantId": "string",
    "SourceSystem": "string",
    "TimeGenerated": "datetime",
    "Computer": "string",
    "Origin": "string",
    "Namespace": "string",
    "Name": "string",
    "Val": "real",
    "Tags": "string",
    "Type": "string",
    "_ResourceId": "string",
}
"""Of the table InsightsMetrics."""
DEFAULT_TIMEOUT = 180.0
LONGEST_TIMEOUT = 600.0
MIB = 1024.0 * 1024.0
SETTINGS_MAP = "/api/v1/namespaces/kube-system/configmaps/ama-metrics-settings-configmap"
POD_MONITORS = "/apis/azmonitoring.coreos.com/v1/podmonitors"
CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
LOAD_SHARE = 0.15
"""Of a training's time that it spends on loading its data."""


class QueryError(ArmError):
    """Log Analytics' errors: wrapped, with a correlation id and an inner error."""

    def __init__(self, status: int, code: str, message: str, inner: Json | None = None) -> None:
        super().__init__(status, code, message)
        self.inner = inner

    def body(self) -> Json:
        error: Json = {"message": self.message, "code": self.code, "correlationId": str(uuid.uuid4())}
        if self.inner:
            error["innererror"] = self.inner
        return {"error": error}


class PrometheusError(ArmError):
    """Prometheus' errors."""

    def body(self) -> Json:
        return {"status": "error", "errorType": self.code, "error": self.message}


class MonitorData:
    """Agents, their data, and the query interfaces."""

    def __init__(
        self,
        world: World,
        plane: NodePlane,
        identity: Identity,
        authorization: Authorization,
        resources: MonitorResources,
    ) -> None:
        self._world = world
        self._plane = plane
        self._identity = identity
        self._authorization = authorization
        self._resources = resources
        self.rows: dict[str, list[kql.Row]] = {}
        """Of InsightsMetrics, by workspace."""
        self.series: dict[str, dict[promql.Labels, promql.Series]] = {}
        self._pods: dict[str, list[Json]] = {}
        self._since: dict[tuple[str, str], float] = {}
        self._agents: asyncio.Task[None] | None = None
        self._scraping: dict[str, tuple[float, bool, list[Json]]] = {}

    def routes(self) -> list[Route]:
        """Everything served here; each looks at its token by itself, because audience and errors are not ARM's."""
        found = []
        for method in ("GET", "POST"):
            for name in ("query", "query_range"):
                found.append(route(method, f"/prometheus/{{account}}/api/v1/{name}", self.prometheus, None, reads=True))
            found += [
                route(method, "/v1/workspaces/{workspace}/query", self.query, None, reads=True),
                route(method, "/v1/{resource*}/query", self.query, None, reads=True),
            ]
        return found

    # agents

    def start(self) -> None:
        """Have the agents run, from the first time that there is anything for them to do."""
        if self._agents is None:
            self._agents = self._world.spawn(self._run(), "monitoring agents")

    async def _run(self) -> None:
        while True:
            now = time.time()
            for cluster in list(self._world.clusters.values()):
                try:
                    await self.collect(cluster, now)
                except (SandboxError, KeyError, aiohttp.ClientError, OSError, TimeoutError):
                    log.exception("monitoring agent of %s", cluster.name)
            while (left := now + self._world.settings.metrics_interval_seconds - time.time()) > 0:
                await asyncio.sleep(min(left, 0.25))  # the interval may be changed meanwhile

    async def collect(self, cluster: Cluster, now: float) -> None:
        """One report of a cluster's agents, as of `now`."""
        workspaces, accounts = self._workspaces(cluster), self._accounts(cluster)
        if cluster.power != "Running" or not (workspaces or accounts):
            return
        seen = await self._observe(cluster)
        if workspaces:
            rows = list(self._insights(cluster, seen, now))
            for workspace in workspaces:
                self.rows.setdefault(workspace["id"].lower(), []).extend(rows)
        if accounts:
            samples = [*self._kube_state(seen), *await self._dcgm(cluster, seen, now)]
            for account in accounts:
                store = self.series.setdefault(account["id"].lower(), {})
                for labels, value in samples:
                    key = tuple(sorted({**labels, "cluster": cluster.name}.items()))
                    store.setdefault(key, promql.Series(dict(key))).samples.append((now, value))

    async def history(self, cluster: Cluster, minutes: int) -> None:
        """Reports of the last minutes, one a minute, as if all had been as it is now."""
        end = time.time()
        for container in (await self._observe(cluster)).containers:
            self._since[(container.pod_uid, container.name)] = end - 60.0 * minutes
        for minute in range(minutes, 0, -1):
            await self.collect(cluster, end - 60.0 * minute)
        for rows in self.rows.values():
            rows.sort(key=lambda row: row["TimeGenerated"])
        for store in self.series.values():
            for series in store.values():
                series.samples.sort()

    def pod(self, cluster: Cluster, values: Json) -> None:
        """A Pod on GPUs of a cluster without Kubernetes; `gpus` 0 takes it away."""
        pods = self._pods.setdefault(cluster.key, [])
        pods[:] = [each for each in pods if each["name"] != values["name"]]
        if values.get("gpus", 1):
            pods.append({"pool": values["pool"], **values})

    def _insights_on(self, cluster: Cluster) -> bool:
        profile = (cluster.properties.get("azureMonitorProfile") or {}).get("containerInsights") or {}
        return bool(profile.get("enabled")) or bool(_omsagent(cluster).get("enabled"))

    def _workspaces(self, cluster: Cluster) -> list[Json]:
        if not self._insights_on(cluster):
            return []
        addon = _omsagent(cluster)
        config = {name.lower(): value for name, value in (addon.get("config") or {}).items()}
        if addon.get("enabled") and str(config.get("useaadauth", "")).lower() != "true":
            found = self._resources.resources.get(str(config.get("loganalyticsworkspaceresourceid", "")).lower())
            return [found] if found else []
        return self._resources.workspaces_of(cluster.key)

    def _accounts(self, cluster: Cluster) -> list[Json]:
        metrics = (cluster.properties.get("azureMonitorProfile") or {}).get("metrics") or {}
        return self._resources.accounts_of(cluster.key) if metrics.get("enabled") else []

    async def _observe(self, cluster: Cluster) -> Observation:
        if isinstance(self._plane, KubernetesNodePlane):
            return of_cluster(self._plane.cluster(cluster.key))
        counts = await self._plane.node_counts(cluster.key)
        pools = {name: (pool.for_nodes(), counts.get(name, 0)) for name, pool in cluster.pools.items()}
        number = int(hashlib.sha256(cluster.key.encode()).hexdigest()[:8], 16) % 10**8
        return without_kubernetes(number, pools, self._pods.get(cluster.key, []))

    # Container Insights

    def _insights(self, cluster: Cluster, seen: Observation, now: float) -> Iterator[kql.Row]:
        """The rows of the namespace container.azm.ms/gpu, and one that has nothing to do with GPUs, for each node."""
        base = {
            "container.azm.ms/clusterId": _arm_id(cluster),
            "container.azm.ms/clusterName": cluster.name,
        }

        def row(name: str, node: str, value: float, tags: Json, namespace: str = GPU_NAMESPACE) -> kql.Row:
            return {
                "TenantId": stable_id("workspace"),
                "SourceSystem": "Insights",
                "TimeGenerated": datetime.fromtimestamp(now, timezone.utc),
                "Computer": node,
                "Origin": "container.azm.ms",
                "Namespace": namespace,
                "Name": name,
                "Val": float(value),
                "Tags": json.dumps({**base, **tags}, separators=(",", ":")),
                "Type": "InsightsMetrics",
                "_ResourceId": _arm_id(cluster).lower(),
            }

        for node in seen.nodes:
            yield row("used_percent", node.name, 40.0, {"hostName": node.name}, "container.azm.ms/disk")
            if node.capacity is not None:
                yield row("nodeGpuCapacity", node.name, node.capacity, {"gpuVendor": "nvidia.com/gpu"})
                yield row("nodeGpuAllocatable", node.name, node.allocatable or 0, {"gpuVendor": "nvidia.com/gpu"})
        for each in seen.containers:
            name = {"containerName": f"{each.pod_uid}/{each.name}"}
            if each.requests:
                yield row("containerGpuRequests", each.node, each.requests, name)
            if each.limits:
                yield row("containerGpuLimits", each.node, each.limits, name)
            if not self._accelerator_metrics(cluster):
                continue
            duty, used = self._load(each, now)
            for device in each.devices:
                total = device.model.memory_gib * 1024 * MIB
                tags = {**name, "gpuId": device.uuid, "gpuModel": device.model.name, "gpuVendor": device.model.vendor}
                yield row("containerGpuDutyCycle", each.node, duty, tags)
                yield row("containerGpumemoryTotalBytes", each.node, round(total), tags)
                yield row("containerGpumemoryUsedBytes", each.node, round(total * used), tags)

    def _accelerator_metrics(self, cluster: Cluster) -> bool:
        setting = self._world.settings.accelerator_metrics
        if setting in ("always", "never"):
            return setting == "always"
        version = str(cluster.properties.get("currentKubernetesVersion", "")).split(".")
        return [int(part) for part in version[:2] if part.isdigit()] < [1, 25]

    def _load(self, container: SeenContainer, now: float) -> tuple[float, float]:
        """Duty cycle in percent, and share of the memory that is used."""
        if not container.running or not container.trains:
            return 0.0, 0.0
        since = self._since.setdefault((container.pod_uid, container.name), now)
        elapsed = now - since
        if elapsed < LOAD_SHARE * min(self._world.settings.workload_seconds, 600.0):
            return 4.0, 0.02
        phase = int(hashlib.sha256(container.pod_uid.encode()).hexdigest()[:4], 16) % 60
        return float(round(82 + 12 * math.sin((elapsed + phase) / 37.0))), 0.93

    # Prometheus

    def _kube_state(self, seen: Observation) -> Iterator[tuple[dict[str, str], float]]:
        """What kube-state-metrics shows; its names of resources are Kubernetes' with everything else turned to _."""
        job = {"job": "kube-state-metrics", "resource": "nvidia_com_gpu", "unit": "integer"}
        for node in seen.nodes:
            if node.capacity is not None:
                yield {"__name__": "kube_node_status_capacity", "node": node.name, **job}, float(node.capacity)
                yield (
                    {"__name__": "kube_node_status_allocatable", "node": node.name, **job},
                    float(node.allocatable or 0),
                )
        for each in seen.containers:
            place = {
                "namespace": each.namespace,
                "pod": each.pod,
                "uid": each.pod_uid,
                "container": each.name,
                "node": each.node,
            }
            for name, count in (("requests", each.requests), ("limits", each.limits)):
                if count:
                    yield {"__name__": f"kube_pod_container_resource_{name}", **place, **job}, float(count)

    async def _dcgm(self, cluster: Cluster, seen: Observation, now: float) -> list[tuple[dict[str, str], float]]:
        target, monitors = await self._scraped(cluster)
        exporters = {each.node: each for each in seen.containers if each.exporter and each.running}
        found: list[tuple[dict[str, str], float]] = []
        for node in seen.nodes:
            if not node.devices:
                continue
            if node.managed and target:
                labels = {"job": "dcgm-exporter", "instance": f"{node.name}:19400"}
                found += self._gpus_of(node, seen, now, labels, dropped=True)
            exporter = exporters.get(node.name)
            if exporter is not None and any(_selects(monitor, exporter) for monitor in monitors):
                labels = {"job": f"{exporter.namespace}/{exporter.name}", "instance": f"{node.name}:9400"}
                found += self._gpus_of(node, seen, now, labels, dropped=False)
        return found

    def _gpus_of(
        self, node: SeenNode, seen: Observation, now: float, labels: dict[str, str], *, dropped: bool
    ) -> Iterator[tuple[dict[str, str], float]]:
        users = {device.uuid: each for each in seen.containers if each.node == node.name for device in each.devices}
        for index, device in enumerate(node.devices):
            own = {**labels, "gpu": str(index), "device": f"nvidia{index}"}
            if not dropped:
                own |= {"UUID": device.uuid, "modelName": device.model.name, "Hostname": node.name}
            user = users.get(device.uuid)
            duty, used = self._load(user, now) if user else (0.0, 0.0)
            if user:
                own |= {"namespace": user.namespace, "pod": user.pod, "container": user.name}
            total = device.model.memory_gib * 1024
            yield {"__name__": "DCGM_FI_DEV_GPU_UTIL", **own}, duty
            yield {"__name__": "DCGM_FI_DEV_FB_USED", **own}, float(round(total * used))
            yield {"__name__": "DCGM_FI_DEV_FB_FREE", **own}, float(round(total) - round(total * used))

    async def _scraped(self, cluster: Cluster) -> tuple[bool, list[Json]]:
        """Whether the default target dcgmexporter is on, and the PodMonitors there are. Read again every second."""
        if not isinstance(self._plane, KubernetesNodePlane):
            return True, []
        known = self._scraping.get(cluster.key)
        if known is not None and time.monotonic() - known[0] < 1.0:
            return known[1], known[2]
        client = self._plane.cluster(cluster.key).control_plane.client
        if known is None:
            await self._install_crd(client)
        on = False
        try:
            on = scrapes_dcgm((await client.get(SETTINGS_MAP)).get("data") or {})
        except ApiError as error:
            if error.status != 404:
                raise
        monitors = (await client.get(POD_MONITORS)).get("items", [])
        self._scraping[cluster.key] = (time.monotonic(), on, monitors)
        return on, monitors

    async def _install_crd(self, client: Any) -> None:
        """The add-on brings the kinds PodMonitor and ServiceMonitor of its own API group."""
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        for kind in ("PodMonitor", "ServiceMonitor"):
            plural = kind.lower() + "s"
            body = {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": f"{plural}.azmonitoring.coreos.com"},
                "spec": {
                    "group": "azmonitoring.coreos.com",
                    "scope": "Namespaced",
                    "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
                    "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
                },
            }
            try:
                await client.create(CRD_PATH, body)
            except ApiError as error:
                if error.status != 409:
                    raise
        for _unused in range(100):
            try:
                await client.get(POD_MONITORS)
                return
            except ApiError as error:
                if error.status != 404:
                    raise
            await asyncio.sleep(0.1)

    # queries

    def _visible_until(self) -> float:
        return time.time() - self._world.settings.ingestion_delay_seconds

    async def query(self, call: Call) -> Reply:
        """POST /v1/workspaces/{customer id}/query, or /v1/{resource id}/query"""
        principal = self._identity.authenticate(
            call.headers.get("authorization"), call.base_url, audiences=(call.base_url,)
        )
        body = call.json() if call.method == "POST" else {"query": call.query.get("query"), **call.query}
        asked = [call.names.get("workspace") or "/" + call.names["resource"], *(body.get("workspaces") or ())]
        if not self._authorization.may(principal, "Microsoft.OperationalInsights/workspaces/query/read"):
            raise QueryError(
                403,
                "InsufficientAccessError",
                "The provided credentials have insufficient access to perform the requested operation",
            )
        text = body.get("query")
        if not isinstance(text, str) or not text.strip():
            raise QueryError(
                400,
                "BadArgumentError",
                "The request had some invalid properties",
                {"code": "QueryValidationError", "message": "Request is invalid: query is missing"},
            )
        await self._take_time(call)
        start, end = _timespan(body.get("timespan"))
        until = self._visible_until()
        rows: list[kql.Row] = []
        for each in asked:
            rows += self._rows_of(each)
        rows = [
            row for row in rows if row["TimeGenerated"].timestamp() <= until and start <= row["TimeGenerated"] <= end
        ]
        tables = {"InsightsMetrics": kql.Table(COLUMNS, rows)}
        try:
            answer = kql.run(text, tables, datetime.now(timezone.utc))
        except kql.KqlError as error:
            raise _query_refused(error, text) from error
        limit = self._world.settings.logs_row_limit
        if len(answer.rows) <= limit:
            return Reply(200, {"tables": [kql.as_json(answer)]})
        answer.rows = answer.rows[:limit]
        return Reply(200, {"tables": [kql.as_json(answer)], "error": _partial(limit)})

    async def _take_time(self, call: Call) -> None:
        seconds = self._world.settings.logs_query_seconds
        wanted = re.search(r"wait=(\d+)", call.headers.get("prefer", ""))
        patience = min(float(wanted[1]) if wanted else DEFAULT_TIMEOUT, LONGEST_TIMEOUT)
        await asyncio.sleep(min(seconds, patience))
        if seconds > patience:
            raise QueryError(504, "GatewayTimeout", "The query execution timed out")

    def _rows_of(self, asked: str) -> list[kql.Row]:
        wanted = asked.lower()
        for key, resource in self._resources.resources.items():
            if wanted in (key, resource["properties"].get("customerId")):
                return self.rows.get(key, [])
        if wanted in self._world.clusters:
            return [row for rows in self.rows.values() for row in rows if row["_ResourceId"] == wanted]
        raise QueryError(404, "PathNotFoundError", "The requested path does not exist")

    async def prometheus(self, call: Call) -> Reply:
        """GET or POST /prometheus/{account}/api/v1/query and query_range"""
        principal = self._identity.authenticate(
            call.headers.get("authorization"), call.base_url, audiences=(PROMETHEUS_AUDIENCE,)
        )
        if not self._authorization.may(principal, "Microsoft.Monitor/accounts/data/metrics/read"):
            raise PrometheusError(403, "forbidden", "The caller does not have permission to query this workspace.")
        store = next(
            (
                self.series.get(key, {})
                for key, resource in self._resources.resources.items()
                if key.endswith(f"/providers/microsoft.monitor/accounts/{call.names['account'].lower()}")
            ),
            None,
        )
        if store is None:
            raise PrometheusError(404, "not_found", f"There is no workspace {call.names['account']}.")
        form = {**call.query}
        if call.method == "POST":
            form |= {name: values[-1] for name, values in parse_qs(call.body.decode()).items()}
        await self._take_time(call)
        until = self._visible_until()
        shown = [
            promql.Series(each.labels, [(when, value) for when, value in each.samples if when <= until])
            for each in store.values()
        ]
        try:
            query = promql.Query(form.get("query", ""), shown)
            # Azure: a query is scoped to one metric, by exactly one matcher of the name.
            if len(query.name_matchers) != 1:
                raise promql.PromqlError("each query must be scoped to a metric: exactly one __name__ label matcher")
            if call.path.rstrip("/").endswith("query_range"):
                return Reply(200, {"status": "success", "data": _matrix(query, form)})
            when = promql_time(form.get("time")) if form.get("time") else time.time()
            return Reply(200, {"status": "success", "data": _vector(query, when)})
        except (promql.PromqlError, re.error) as error:
            raise PrometheusError(400, "bad_data", str(error)) from error


def _omsagent(cluster: Cluster) -> Json:
    addons = cluster.properties.get("addonProfiles") or {}
    return next((value for name, value in addons.items() if name.lower() == "omsagent"), None) or {}


def _arm_id(cluster: Cluster) -> str:
    """As the agent gets it from AKS."""
    return cluster.id.replace("/resourcegroups/", "/resourceGroups/")


def _selects(monitor: Json, exporter: SeenContainer) -> bool:
    spec = monitor.get("spec") or {}
    namespaces = spec.get("namespaceSelector") or {}
    names = namespaces.get("matchNames") or [monitor["metadata"]["namespace"]]
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    have = dict(exporter.labels)
    right = all(have.get(name) == value for name, value in wanted.items())
    return right and (bool(namespaces.get("any")) or exporter.namespace in names)


def scrapes_dcgm(data: dict[str, str]) -> bool:
    """What ama-metrics makes of its settings, schema v1 or v2: is the default target dcgmexporter on?"""
    if data.get("schema-version", "").strip() == "v2":
        sections = yaml.safe_load(data.get("cluster-metrics", "")) or {}
        text = str(sections.get("default-targets-scrape-enabled", ""))
    else:
        text = data.get("default-scrape-settings-enabled", "")
    values = dict(re.findall(r"^\s*([\w-]+)\s*=\s*(\w+)\s*(?:#.*)?$", text, re.MULTILINE))
    return bool(values.get("dcgmexporter") == "true")


def _timespan(text: Any) -> tuple[datetime, datetime]:
    """An ISO 8601 interval or duration; none: everything."""
    now = datetime.now(timezone.utc)
    if not text:
        return datetime.min.replace(tzinfo=timezone.utc), now + timedelta(days=1)
    try:
        first, _slash, second = str(text).partition("/")
        if not second:
            return now - _duration(first), now + timedelta(days=1)
        if first.startswith("P"):
            end = kql.parse_time(second)
            return end - _duration(first), end
        start = kql.parse_time(first)
        return start, start + _duration(second) if second.startswith("P") else kql.parse_time(second)
    except ValueError as error:
        raise QueryError(
            400,
            "BadArgumentError",
            "The request had some invalid properties",
            {"code": "TimespanValidationError", "message": f"Invalid timespan: {text}"},
        ) from error


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?", text)
    if found is None:
        raise ValueError(text)
    days, hours, minutes, seconds = (float(each or 0) for each in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _query_refused(error: kql.KqlError, text: str) -> QueryError:
    line = text[: error.position].count("\n") + 1
    column = error.position - (text.rfind("\n", 0, error.position) + 1)
    if error.semantic:
        inner = {"code": "SemanticError", "message": "A semantic error occurred."}
        inner["innererror"] = {"code": "SEM0100", "message": error.message}  # type: ignore[assignment]
    else:
        inner = {"code": "SyntaxError", "message": "A recognition error occurred in the query."}
        inner["innererror"] = {  # type: ignore[assignment]
            "code": "SYN0002",
            "message": f"{error.message} on line [{line},{column}]",
            "line": line,
            "pos": column,
            "token": error.token,
        }
    return QueryError(400, "BadArgumentError", "The request had some invalid properties", inner)


def _partial(limit: int) -> Json:
    return {
        "code": "PartialError",
        "message": "There were some errors when processing your query.",
        "details": [
            {
                "code": "EngineError",
                "message": "Something went wrong processing your query on the server.",
                "innererror": {
                    "code": "-2133196797",
                    "message": f"The results of this query exceed the set limit of {limit} records, so not all records "
                    "were returned (E_QUERY_RESULT_SET_TOO_LARGE, 0x80DA0003).",
                    "severity": 2,
                    "severityName": "Error",
                },
            }
        ],
    }


def promql_time(text: str | None) -> float:
    """A time of Prometheus' API: seconds since the epoch, or RFC 3339.

    Raises:
        PromqlError: it is neither.
    """
    try:
        return float(text or "")
    except ValueError:
        pass
    try:
        return kql.parse_time(text or "").timestamp()
    except ValueError as error:
        raise promql.PromqlError(f'invalid parameter: cannot parse "{text}" to a valid timestamp') from error


def _matrix(query: promql.Query, form: dict[str, str]) -> Json:
    start, end = promql_time(form.get("start")), promql_time(form.get("end"))
    step = promql.seconds_of(form.get("step", ""))
    if step <= 0 or (end - start) / step > 11000:
        raise promql.PromqlError(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution "
            "(?step=XX)"
        )
    result = [
        {"metric": dict(labels), "values": [[when, _number(value)] for when, value in values]}
        for labels, values in query.range(start, end, step).items()
    ]
    return {"resultType": "matrix", "result": result}


def _vector(query: promql.Query, when: float) -> Json:
    found = query.instant(when)
    if isinstance(found, float):
        return {"resultType": "scalar", "result": [when, _number(found)]}
    result = [{"metric": dict(labels), "value": [when, _number(value)]} for labels, value in found.items()]
    return {"resultType": "vector", "result": result}


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
