# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a series of HTTP exchanges shows, each answer with what was going on when it was given.

An exchange is a dict as the sandbox's traffic and a redacted recording have it: `method`, `url`, `request_headers`,
`request_body`, `status`, `response_headers`, `response_body`. Nothing else is looked at, so that the sandbox's answers
and a recording of real Azure are read by the same code.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

Json = dict[str, Any]

_GROUP = r"/subscriptions/[^/]+/resourcegroups/[^/]+"
_CLUSTER = _GROUP + r"/providers/microsoft\.containerservice/managedclusters/[^/]+"
_AKS_LOCATION = r"/subscriptions/[^/]+/providers/microsoft\.containerservice/locations/[^/]+"
_INSIGHTS = r"/providers/microsoft\.insights"

PATHS = {
    "pool": _CLUSTER + r"/agentpools/[^/]+",
    "pools": _CLUSTER + r"/agentpools",
    "abort": _CLUSTER + r"(/agentpools/[^/]+)?/abort",
    "cluster": _CLUSTER,
    "clusters": r"/subscriptions/[^/]+(/resourcegroups/[^/]+)?/providers/microsoft\.containerservice/managedclusters",
    "power": _CLUSTER + r"/(start|stop)",
    "credentials": _CLUSTER + r"/listcluster[a-z]+credential",
    "run-command": _CLUSTER + r"/runcommand",
    "command-result": _CLUSTER + r"/commandresults/[^/]+",
    "operation": _AKS_LOCATION + r"/operations/[^/]+",
    "operation-result": _AKS_LOCATION + r"/operationresults/[^/]+",
    "feature": r"/subscriptions/[^/]+/providers/microsoft\.features/providers/[^/]+/features/[^/]+(/(un)?register)?",
    "provider": r"/subscriptions/[^/]+/providers/[^/]+(/(un)?register)?",
    "skus": r"/subscriptions/[^/]+/providers/microsoft\.compute/skus",
    "usages": r"/subscriptions/[^/]+/providers/microsoft\.compute/locations/[^/]+/usages",
    "workspace": _GROUP + r"/providers/microsoft\.operationalinsights/workspaces/[^/]+",
    "workspaces": r"/subscriptions/[^/]+(/resourcegroups/[^/]+)?/providers/microsoft\.operationalinsights/workspaces",
    "account": _GROUP + r"/providers/microsoft\.monitor/accounts/[^/]+",
    "accounts": r"/subscriptions/[^/]+(/resourcegroups/[^/]+)?/providers/microsoft\.monitor/accounts",
    "endpoint": _GROUP + _INSIGHTS + r"/datacollectionendpoints/[^/]+",
    "rule": _GROUP + _INSIGHTS + r"/datacollectionrules/[^/]+",
    "association": r"/.+" + _INSIGHTS + r"/datacollectionruleassociations/[^/]+",
}
"""What a path is about."""

ELEMENTS = {
    "pools": "pool",
    "clusters": "cluster",
    "skus": "sku",
    "usages": "usage",
    "accounts": "account",
    "workspaces": "workspace",
}
"""What the elements of a list are."""

AKS = ("pool", "pools", "abort", "cluster", "clusters", "power", "credentials", "run-command", "command-result")
KINDS = (*PATHS, "sku", "usage", "kubeconfig", "resource-type", "other")
GROUPS = ("aks", "any")
"""Tags that stand for several kinds: everything that AKS's provider answers, and everything."""

FINAL = ("Succeeded", "Failed", "Canceled")
GPU_SIZE = re.compile(r"standard_n[cdvg]", re.IGNORECASE)


@dataclass(frozen=True)
class Observation:
    """An answer, or one element of a list that was answered.

    Attributes:
        number: of the exchange, from 0.
        kind: of the resource, a key of `PATHS`, or what `ELEMENTS` makes of it.
        tags: words that a row's `of` may name: the kind, the method, the status, and what was going on.
        api: the api-version that the request named.
        known: other values that a row may compare with, by name: `request`, `sent` (the last accepted body),
            `created` (the body that made the resource), `before` (its last answer before the write),
            `running` (its last answer when it was at rest and running), `cluster` (the last answer of the cluster
            that it is in), `query`, `operation` (a guid), `segment` (the path's last).
        chain: equal for a write and the reads of the resource that follow it.
    """

    number: int
    kind: str
    tags: frozenset[str]
    api: str
    status: int
    headers: dict[str, str]
    body: Any
    known: Json
    chain: int
    where: str


@dataclass
class _Resource:
    """What is known of one resource while the exchanges are walked through."""

    missing: bool = False
    sent: Any = None
    created: Any = None
    before: Any = None
    running: Any = None
    latest: Any = None
    verb: str = ""
    chain: int = 0


def read(path: Path) -> list[Json]:
    """The exchanges of a file with one JSON object a line."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def observations(exchanges: Iterable[Json]) -> list[Observation]:
    """Every answer, and every element of the lists."""
    return list(_Walk().through(exchanges))


def kind_of(path: str) -> str:
    """What a path is about: a key of `PATHS`, or `other`."""
    plain = path.rstrip("/").lower()
    return next((kind for kind, pattern in PATHS.items() if re.fullmatch(pattern, plain)), "other")


def power_of(body: Any) -> str:
    """Running, Stopped, or nothing."""
    return str(((_properties(body).get("powerState")) or {}).get("code", ""))


def _properties(body: Any) -> Json:
    found = body.get("properties") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


class _Walk:
    """Goes through exchanges in their order and remembers what concerns later ones."""

    def __init__(self) -> None:
        self._resources: dict[str, _Resource] = {}
        self._operations: dict[str, tuple[str, str, int]] = {}
        self._chains = 0

    def through(self, exchanges: Iterable[Json]) -> Iterator[Observation]:
        for number, exchange in enumerate(exchanges):
            if exchange["status"]:
                yield from self._observe(number, exchange)

    def _observe(self, number: int, exchange: Json) -> Iterator[Observation]:
        url = urlsplit(exchange["url"])
        kind = kind_of(url.path)
        key = url.path.rstrip("/").lower()
        if kind == "abort":
            key = key.removesuffix("/abort")
        if kind in ("feature", "provider"):
            key = re.sub(r"/(un)?register$", "", key)
        if kind == "power":
            key = key.rpartition("/")[0]
        query = {name.lower(): value for name, value in parse_qsl(url.query, keep_blank_values=True)}
        headers = {name.lower(): value for name, value in exchange["response_headers"].items()}
        body, status = exchange["response_body"], int(exchange["status"])
        resource = self._resources.setdefault(key, _Resource())
        tags = {kind, exchange["method"], str(status), "ok" if status < 400 else "refused"}
        tags |= {"any"} | ({"aks"} if kind in AKS else set())
        tags |= {f"sends:{name.lower()}" for name in exchange["request_headers"]}
        tags |= self._situation(kind, key, exchange, query, resource, status < 400)
        guid = self._remember_operation(headers, kind, tags, resource)
        known = {
            "request": exchange["request_body"],
            "sent": resource.sent,
            "created": resource.created,
            "before": resource.before,
            "running": resource.running,
            "query": query,
            "cluster": body if kind == "cluster" and status < 300 else self._cluster_of(key),
            "operation": guid,
            "segment": url.path.rstrip("/").rpartition("/")[2],
        }
        if kind in ("operation", "operation-result"):
            tags |= self._operation_tags(key, body)
        tags |= _body_tags(kind, body, resource)
        where = f"{exchange['method']} …{'/'.join(url.path.split('/')[-2:])} ({status})"
        api = query.get("api-version", "")
        chain = self._operation_chain(key) if kind == "operation" else resource.chain
        whole = Observation(number, kind, frozenset(tags), api, status, headers, body, known, chain, where)
        yield whole
        yield from self._elements(whole)
        self._learn(kind, exchange["method"], status, body, resource)

    # what was going on

    def _situation(
        self, kind: str, key: str, exchange: Json, query: dict[str, str], resource: _Resource, accepted: bool
    ) -> set[str]:
        method = exchange["method"]
        tags = set()
        if kind == "pools" and "$skiptoken" in query:
            tags.add("later-page")
        if kind in ("feature", "provider") and method == "POST":
            tags.add(key_verb(exchange["url"]))
        if kind == "pool" and (parent := self._resources.get(key.rpartition("/agentpools/")[0])) and parent.missing:
            tags.add("without-cluster")
        if kind in ("pool", "cluster", "abort") and method != "GET":
            tags |= {f"beside:{each}" for each in self._under_way_beside(kind, key)}
        verb = self._verb(kind, exchange, resource)
        if verb and accepted:
            self._chains += 1
            resource.before, resource.verb, resource.chain = resource.latest, verb, self._chains
            if method in ("PUT", "PATCH"):
                resource.sent = exchange["request_body"]
            if verb == "create":
                resource.created = exchange["request_body"]
        if verb:
            tags.add(verb)
        elif resource.verb and method == "GET":
            tags.add(resource.verb)
        if kind == "abort":
            tags.add("of-pool" if "/agentpools/" in key else "of-cluster")
            tags.add("idle" if _at_rest(resource.latest) else "under-way")
        return tags

    def _cluster_of(self, key: str) -> Any:
        """What is known of the cluster that a path is in, or is."""
        found = re.match(_CLUSTER, key)
        resource = self._resources.get(found[0]) if found else None
        return resource.latest if resource else None

    def _under_way_beside(self, kind: str, key: str) -> Iterator[str]:
        """What else has not ended in the cluster, as far as the answers showed: pool, cluster."""
        cluster = key.partition("/agentpools/")[0]
        for other, resource in self._resources.items():
            beside = other != key and (other == cluster or other.startswith(f"{cluster}/agentpools/"))
            if beside and resource.verb and resource.latest is not None and not _at_rest(resource.latest):
                yield "pool" if "/agentpools/" in other else "cluster"

    @staticmethod
    def _verb(kind: str, exchange: Json, resource: _Resource) -> str:
        """What a write asks for; empty for a read, and where it isn't known."""
        method, status = exchange["method"], int(exchange["status"])
        if method == "DELETE":
            return "delete"
        if kind == "abort":
            return "abort"
        if kind == "power":
            return key_verb(exchange["url"])
        if method == "PATCH":
            return "update"
        if method != "PUT":
            return ""
        if status == 201 or resource.missing:
            return "create"
        if kind != "pool" or resource.latest is None:
            return "update"
        wanted, is_ = _properties(exchange["request_body"]), _properties(resource.latest)
        power = power_of(exchange["request_body"])
        if power and power != power_of(resource.latest):
            return "stop" if power == "Stopped" else "start"
        scaled = "count" in wanted and wanted["count"] != is_.get("count") and not wanted.get("enableAutoScaling")
        return "scale" if scaled else "update"

    def _remember_operation(self, headers: dict[str, str], kind: str, tags: set[str], resource: _Resource) -> str:
        found = re.search(r"/operations/([^/?]+)", headers.get("azure-asyncoperation", ""), re.IGNORECASE)
        if found is None:
            return ""
        of = {"abort": "pool" if "of-pool" in tags else "cluster", "power": "cluster"}.get(kind, kind)
        self._operations.setdefault(found[1].lower(), (of, resource.verb, -len(self._operations) - 1))
        return found[1]

    def _operation_tags(self, key: str, body: Any) -> set[str]:
        of, verb, _chain = self._operations.get(key.rpartition("/")[2], ("", "", 0))
        tags = {f"of-{of}", verb} - {"of-", ""}
        if isinstance(body, dict) and "status" in body:
            tags.add("ended" if body["status"] in FINAL else "under-way")
            tags |= {body["status"].lower()} if body["status"] in FINAL else set()
        return tags

    def _operation_chain(self, key: str) -> int:
        return self._operations.get(key.rpartition("/")[2], ("", "", 0))[2]

    @staticmethod
    def _learn(kind: str, method: str, status: int, body: Any, resource: _Resource) -> None:
        if kind not in ("pool", "cluster", "abort", "workspace", "account", "endpoint", "rule", "association"):
            return
        if status == 404 and method == "GET":
            resource.missing, resource.latest, resource.verb = True, None, ""
        elif status < 300 and isinstance(body, dict) and "properties" in body:
            resource.missing, resource.latest = False, body
            if _at_rest(body) and power_of(body) == "Running":
                resource.running = body

    # elements, and what answers have inside

    def _elements(self, whole: Observation) -> Iterator[Observation]:
        body = whole.body
        if whole.kind in ELEMENTS and isinstance(body, dict) and isinstance(body.get("value"), list):
            for element in body["value"]:
                yield from self._element(whole, ELEMENTS[whole.kind], element, {"listed"})
        if whole.kind == "credentials" and isinstance(body, dict):
            for each in body.get("kubeconfigs") or ():
                if (config := _kubeconfig(each.get("value"))) is not None:
                    yield from self._element(whole, "kubeconfig", config, {"listed"})
        if whole.kind == "provider":
            for each in body.get("resourceTypes") or () if isinstance(body, dict) else ():
                yield from self._element(whole, "resource-type", each, {"listed"})
        if whole.kind == "abort" and "body" in whole.tags:
            yield from self._element(whole, "pool" if "of-pool" in whole.tags else "cluster", body, {"listed"})
        if whole.kind == "cluster":
            for profile in _properties(body).get("agentPoolProfiles") or ():
                rest = {name: value for name, value in profile.items() if name != "name"}
                yield from self._element(whole, "pool", {"name": profile.get("name"), "properties": rest}, {"profile"})

    def _element(self, whole: Observation, kind: str, element: Any, more: set[str]) -> Iterator[Observation]:
        key = str(element.get("id", "")).lower() if isinstance(element, dict) else ""
        resource = self._resources.get(key, _Resource())
        inherited = {"ok", "any", "aks"} & whole.tags
        more |= {f"in:{tag}" for tag in ("GET", "PUT", "POST") if tag in whole.tags}
        tags = frozenset({kind, *more, *inherited, *_body_tags(kind, element, resource)})
        known = {**whole.known, "sent": resource.sent, "created": resource.created, "running": resource.running}
        where = f"{element.get('name') if isinstance(element, dict) else '?'} in {whole.where}"
        yield Observation(whole.number, kind, tags, whole.api, whole.status, {}, element, known, 0, where)


def _kubeconfig(text: Any) -> Any:
    """The kubeconfig that base64 text holds; None where a recording has a placeholder."""
    try:
        config = yaml.safe_load(base64.b64decode(text, validate=True))
    except (TypeError, ValueError, yaml.YAMLError):
        return None
    return config if isinstance(config, dict) else None


def key_verb(url: str) -> str:
    """The last word of an action's path: start, stop, register, unregister."""
    return urlsplit(url).path.rstrip("/").rpartition("/")[2].lower()


def _at_rest(body: Any) -> bool:
    return _properties(body).get("provisioningState") in FINAL


def _body_tags(kind: str, body: Any, resource: _Resource) -> set[str]:
    """What a representation of a resource says about itself, and what was sent for it."""
    if not isinstance(body, dict) or "properties" not in body:
        return set()
    properties = _properties(body)
    tags = {"body"}
    if "provisioningState" in properties:
        tags.add("ended" if _at_rest(body) else "under-way")
        tags.add(f"is:{properties['provisioningState']}")
    if kind not in ("pool", "abort"):
        return tags
    created = _properties(resource.created)
    spot = "Spot" in (created.get("scaleSetPriority"), properties.get("scaleSetPriority"))
    size = str(created.get("vmSize") or properties.get("vmSize") or "")
    tags |= {"spot" if spot else "regular", "gpu" if GPU_SIZE.match(size) else "cpu"}
    tags |= {"made"} if resource.created is not None else set()
    tags |= {"autoscaled"} if properties.get("enableAutoScaling") else {"unscaled"}
    tags |= {"stopped"} if _at_rest(body) and power_of(body) == "Stopped" else set()
    tags |= {str(properties.get("mode", "")).lower()} - {""}
    return tags
