"""What exists in the emulated Azure: subscriptions, clusters, pools, operations. All of it in memory.

A cluster and its pools are kept as the JSON that Azure answers, because unknown keys must survive. The serialised form
of a cluster is kept until something in it changes, so that a list of a thousand costs no serialisation.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from ..interfaces import Settings

Json = dict[str, Any]

TERMINAL = ("Succeeded", "Failed", "Canceled")


def new_etag() -> str:
    """A new entity tag, as AKS writes them."""
    return str(uuid.uuid4())


class Clock:
    """Time of the emulated Azure; runs `clock_speed` times as fast as ours."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._real = time.monotonic()
        self._emulated = 0.0
        self._speed = settings.clock_speed
        self._epoch = datetime.now(timezone.utc)

    def seconds(self) -> float:
        """Seconds since the start, never going back."""
        real = time.monotonic()
        self._emulated += (real - self._real) * self._speed
        self._real = real
        self._speed = self._settings.clock_speed
        return self._emulated

    def timestamp(self) -> str:
        """Now, as ARM writes times: up to seven digits of a second, without trailing zeros.

        Witness: PS TestSpot.json, 2025-10-28 (`…09:07:48.3685935Z`, `…31.76Z`).
        """
        now = self._epoch + timedelta(seconds=self.seconds())
        return now.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".") + "Z"

    async def sleep(self, seconds: float) -> None:
        """Wait for emulated seconds; a change of speed counts for the rest of the wait."""
        end = self.seconds() + seconds
        while (left := end - self.seconds()) > 0:
            await asyncio.sleep(min(left / self._settings.clock_speed, 1.0))


@dataclass
class Operation:
    """One long-running operation. `status` is InProgress, Succeeded, Failed or Canceled.

    Attributes:
        texts: what its status says while it is in progress, each for the same part of its `seconds`; after them the
            last one. None: InProgress.
        begun: when it began, in seconds of the emulated clock.
    """

    id: str
    location: str
    subscription: str
    what: str
    started: str
    pool: str | None = None
    status: str = "InProgress"
    ended: str | None = None
    error: Json | None = None
    task: asyncio.Task[None] | None = None
    result: Json | None = None
    endless: bool = False
    forced_failure: Json | None = None
    texts: list[str] = field(default_factory=list)
    begun: float = 0.0
    seconds: float = 0.0

    def text(self, now: float) -> str:
        """What its status says at a time of the emulated clock."""
        if self.status != "InProgress" or not self.texts:
            return self.status
        part = (now - self.begun) / self.seconds if self.seconds > 0 else 1.0
        return self.texts[min(int(part * len(self.texts)), len(self.texts) - 1)]

    def as_json(self, now: float) -> Json:
        """The body of its status URL."""
        body: Json = {"name": self.id, "status": self.text(now), "startTime": self.started}
        if self.ended:
            body["endTime"] = self.ended
        if self.error:
            body["error"] = self.error
        return body


@dataclass
class Pool:
    """An agent pool: its name and its `properties` as ARM answers them, plus the headers that its creation carried.

    Attributes:
        rollbacks: values of `nodeImageVersion` that PUTs carried; each makes AKS roll the node image back.
        nodes: how many nodes there really are.
        count_before_stop: what starting a stopped pool restores.
    """

    name: str
    properties: Json
    headers: dict[str, str] = field(default_factory=dict)
    rollbacks: list[str] = field(default_factory=list)
    nodes: int = 0
    count_before_stop: int = 0

    @property
    def state(self) -> str:
        """provisioningState."""
        return str(self.properties["provisioningState"])

    @property
    def stopped(self) -> bool:
        """Is the pool's power state Stopped?"""
        return str(self.properties["powerState"].get("code")) == "Stopped"

    @property
    def virtual_machines(self) -> bool:
        """Is the pool of type VirtualMachines?"""
        return self.properties.get("type") == "VirtualMachines"

    @property
    def profiles(self) -> list[tuple[str, int]]:
        """Sizes and counts of the pool: one of a scale set, several of a pool of type VirtualMachines."""
        if not self.virtual_machines:
            return [(str(self.properties["vmSize"]), int(self.properties["count"]))]
        scale = (self.properties.get("virtualMachinesProfile") or {}).get("scale") or {}
        return [(str(each["size"]), int(each.get("count") or 0)) for each in scale.get("manual") or ()]

    @property
    def count(self) -> int:
        """Nodes that the pool is to have, its power state aside."""
        return sum(count for _size, count in self.profiles)

    def for_nodes(self) -> Json:
        """The pool as the node plane takes it, which knows pools of one size only."""
        size = next((size for size, _count in self.profiles), "")
        return {"name": self.name, "properties": {**self.properties, "vmSize": size}, "headers": self.headers}


class Cluster:
    """A managed cluster, its pools and what is under way in it."""

    def __init__(self, subscription: str, resource_group: str, name: str, location: str, properties: Json) -> None:
        self.subscription = subscription
        self.resource_group = resource_group
        self.name = name
        self.location = location
        self.properties = properties
        self.top: Json = {}
        self.tags: dict[str, str] | None = None
        self.etag = new_etag()
        self.pools: dict[str, Pool] = {}
        self.operations: list[Operation] = []
        self.id = (
            f"/subscriptions/{subscription}/resourcegroups/{resource_group}"
            f"/providers/Microsoft.ContainerService/managedClusters/{name}"
        )
        self._serialised: dict[tuple[bool, tuple[str, ...]], bytes] = {}

    @property
    def key(self) -> str:
        """The id in lower case."""
        return self.id.lower()

    @property
    def state(self) -> str:
        """provisioningState."""
        return str(self.properties["provisioningState"])

    @property
    def power(self) -> str:
        """Running or Stopped."""
        return str(self.properties["powerState"]["code"])

    def changed(self) -> None:
        """Something in the cluster or a pool changed: forget the serialised form."""
        self._serialised.clear()

    def touch_all(self) -> None:
        """What a cluster operation does to etags: the cluster's and every pool's is new."""
        self.etag = new_etag()
        for pool in self.pools.values():
            pool.properties["eTag"] = new_etag()
        self.changed()

    def under_way(self) -> list[Operation]:
        """Operations that have not ended."""
        self.operations = [operation for operation in self.operations if operation.status == "InProgress"]
        return self.operations

    def as_json(self, etags: bool = True, without: tuple[str, ...] = ()) -> Json:
        """The managed cluster as ARM answers it.

        Args:
            etags: with entity tags, as the API versions from `etag_since` on have them.
            without: properties, or keys beside them, that the API version does not have; one of an object as
                `object.property`.
        """
        profiles = [{"name": pool.name, **with_etag_last(pool.properties, etags)} for pool in self.pools.values()]
        body: Json = {
            "id": self.id,
            "location": self.location,
            "name": self.name,
            "type": "Microsoft.ContainerService/ManagedClusters",
        }
        if self.tags is not None:
            body["tags"] = self.tags
        properties = {name: value for name, value in self.properties.items() if name not in without}
        for name, _dot, below in (each.partition(".") for each in without):
            if below and name in properties:
                properties[name] = {key: value for key, value in properties[name].items() if key != below}
        body["properties"] = {**properties, "agentPoolProfiles": profiles}
        body.update({name: value for name, value in self.top.items() if name not in without})
        if etags:
            body["eTag"] = self.etag
        return body

    def serialised(self, etags: bool = True, without: tuple[str, ...] = ()) -> bytes:
        """`as_json` as bytes, kept until `changed`."""
        key = (etags, without)
        if key not in self._serialised:
            self._serialised[key] = json.dumps(self.as_json(*key), separators=(",", ":")).encode()
        return self._serialised[key]

    def pool_json(self, pool: Pool, etags: bool = True) -> Json:
        """An agent pool as ARM answers it.

        Args:
            etags: with entity tags, as the API versions from `etag_since` on have them.
        """
        return {
            "id": f"{self.id}/agentPools/{pool.name}",
            "name": pool.name,
            "type": "Microsoft.ContainerService/managedClusters/agentPools",
            "properties": with_etag_last(pool.properties, etags),
        }


def with_etag_last(properties: Json, etags: bool) -> Json:
    """A pool's properties with the entity tag as the last key, or without it.

    Witness: ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18.
    """
    fields = {name: value for name, value in properties.items() if name != "eTag"}
    return {**fields, "eTag": properties["eTag"]} if etags else fields


@dataclass
class Subscription:
    """A subscription: its resource groups, features and providers. Feature keys are (namespace, name), lower case."""

    id: str
    name: str
    tenant: str
    resource_groups: dict[str, Json] = field(default_factory=dict)
    features: dict[tuple[str, str], Json] = field(default_factory=dict)
    providers: dict[str, Json] = field(default_factory=dict)
    refreshed: dict[str, float] = field(default_factory=dict)


@dataclass
class World:
    """Everything. `clusters` by lower-case id, `operations` by id."""

    settings: Settings
    clock: Clock
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    clusters: dict[str, Cluster] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def etags(self, api_version: str) -> bool:
        """Do answers in an API version have entity tags? See the setting `etag_since`.

        Witness: none in 2025-04-01 and 2025-08-01 (PS TestSpot.json, 2025-10-28; PS TestAPI20250801WithMSI.json,
        2025-12-12); there in 2026-05-01 (ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18) and in the preview
        of July 2025 (CLX test_aks_create_with_azuremonitormetrics.yaml, 2025-07-23). No witness: the API
        versions between these.
        """
        since = self.settings.etag_since
        if api_version.endswith("-preview"):
            return since != "never" and api_version >= "2025-06-01"
        return api_version >= since

    def cluster(self, subscription: str, resource_group: str, name: str) -> Cluster | None:
        """The cluster, whatever the letter case, or None."""
        return self.clusters.get(
            f"/subscriptions/{subscription}/resourcegroups/{resource_group}"
            f"/providers/microsoft.containerservice/managedclusters/{name}".lower()
        )

    def spawn(self, work: Any, name: str) -> asyncio.Task[None]:
        """Run `work` in the background; kept so that `close` can end it."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def close(self) -> None:
        """End everything that runs in the background."""
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
