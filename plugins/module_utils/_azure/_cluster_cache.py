# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one LIST of a subscription's clusters has shown, shared by the tasks of a run.

AKS allows one read of a node pool a second for a whole subscription, but one LIST shows all pools of all clusters. It
is kept as one small file a cluster, because a task needs one cluster and parsing a thousand costs it 55 ms.

A task gets an answer from here only when the LIST began after everything that the task may expect to see: after the
time that it names, and after each write of this run to the pool. Else the answer is "unknown", and the task asks Azure
itself. That is also the answer in all cases of trouble: a cluster that the LIST doesn't show, a principal that may not
list, a LIST that fails, a lock that takes too long.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded, Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._files import locked
from ansible_collections.aks.gpu.plugins.module_utils._azure._client import ArmClient
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError
from ansible_collections.aks.gpu.plugins.module_utils._azure._run_cache import key_of
from ansible_collections.aks.gpu.plugins.module_utils._azure._subscription import clusters

CACHE_LOCK_SECONDS = 120.0
"""How long a task waits for another one's LIST before it asks for its own cluster."""

FAILED_SECONDS, FORBIDDEN_SECONDS = 300.0, 86400.0
"""For how long nobody tries a LIST again that has failed, or that the principal may not make."""

POOL_TYPE = "Microsoft.ContainerService/managedClusters/agentPools"


class CachedResource(dict[str, Any]):
    """A cluster or node pool as a LIST has shown it: good to know from, but a write needs a read of its own."""


@dataclass(frozen=True)
class CacheHit:
    """What the snapshot says of a node pool: the pool, or None when its cluster has no such pool."""

    pool: CachedResource | None


class ClusterCache:
    """The clusters of a subscription, as far as the tasks of this run have had to list them.

    Args:
        client: Lists them.
        subscription_id: The subscription.
        directory: A directory of the run that only its owner may read; one for each subscription and principal.
    """

    def __init__(self, client: ArmClient, subscription_id: str, directory: Path) -> None:
        self._client = client
        self._subscription_id = subscription_id
        self._directory = directory

    def cluster(self, cluster_id: str, since: float) -> CachedResource | None:
        """Returns a cluster as it was at some time or later, or None when that is unknown.

        The first cluster that is asked for is unknown until another one is: for a single cluster no LIST is made.

        Args:
            cluster_id: Its ARM id; letter case is ignored.
            since: The time, by ``time.monotonic``, which all processes of a machine share.
        """
        found = self._entry(cluster_id, since)
        return found[1] if found else None

    def pool(self, cluster_id: str, name: str, since: float) -> CacheHit | None:
        """Returns what is known of a node pool at some time or later, and after this run's writes; None: unknown.

        Args:
            cluster_id: The ARM id of its cluster.
            name: Its name.
            since: As for ``cluster``.
        """
        mark = _json_of(self._mark_path(cluster_id, name))
        if mark is not None:
            if mark["at"] is None:
                return None
            since = max(since, mark["at"])
        found = self._entry(cluster_id, since)
        if found is None:
            return None
        profiles = (found[1].get("properties") or {}).get("agentPoolProfiles")
        if profiles is None:
            return None
        pool = _pool_of(str(found[1]["id"]), profiles, name)
        if pool is not None and not pool["properties"].get("provisioningState"):
            return None
        if mark is not None and etag_of(pool) in mark["stale"]:
            return None  # a LIST may lag behind a write that was answered before it began
        return CacheHit(pool)

    @contextlib.contextmanager
    def invalidating(self, cluster_id: str, name: str, stale: Sequence[str | None] = ()) -> Iterator[None]:
        """Makes the pool unknown while it is written, and what was listed before the end of that afterwards.

        When the write is never answered, because the connection or the task is lost, the pool stays unknown.

        Args:
            cluster_id: The ARM id of its cluster.
            name: Its name.
            stale: Etags that a LIST after the write can't show, unless it lags; None stands for no pool.
        """
        path = self._mark_path(cluster_id, name)
        self._write(path, {"at": None})
        try:
            yield
        except AzureError as error:
            if error.status is not None and error.status < 500:  # Azure has not acted
                self._write(path, {"at": time.monotonic(), "stale": []})
            raise
        self._write(path, {"at": time.monotonic(), "stale": list(stale)})

    # --- the files ---------------------------------------------------------------------------------------------------

    def _entry(self, cluster_id: str, since: float) -> tuple[float, CachedResource] | None:
        if not self._is_fleet(cluster_id):
            return None
        found = self._read_entry(cluster_id)
        if found is not None and found[0] >= since:
            return found
        if self._listed_at() < since and not self._refresh(since):
            return None
        found = self._read_entry(cluster_id)
        return found if found is not None and found[0] >= since else None

    def _is_fleet(self, cluster_id: str) -> bool:
        """Says whether more than one cluster of the subscription has been asked for in this run."""
        many = self._directory / "many"
        if many.exists():
            return True
        self._directory.mkdir(mode=0o700, exist_ok=True)
        first = self._directory / "first"
        name = _cache_key(cluster_id)
        try:
            descriptor = os.open(first, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            if first.read_text(encoding="utf-8") == name:
                return False
            many.touch(mode=0o600)
            return True
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(name)
        return False

    def _refresh(self, since: float) -> bool:
        """Lists the clusters, unless another task has just done it; returns False when there is no list to be had."""
        pause = self._directory / "pause.json"
        seconds = min(CACHE_LOCK_SECONDS, max(0.1, self._client.deadline.remaining()))
        try:
            with locked(self._directory / "list.lock", timeout=seconds):
                if time.monotonic() < _time_of(pause):
                    return False
                if self._listed_at() >= since:
                    return True
                began = time.monotonic()
                try:
                    self._keep(clusters(self._client, self._subscription_id), began)
                except Failure as error:
                    forbidden = isinstance(error, AzureError) and error.status in (401, 403)
                    self._write(pause, time.monotonic() + (FORBIDDEN_SECONDS if forbidden else FAILED_SECONDS))
                    return False
                return True
        except DeadlineExceeded:  # of the lock
            return False

    def _keep(self, found: Iterable[Mapping[str, Any]], began: float) -> None:
        """Writes the clusters, and last of all that they have been listed: who is killed in between has not."""
        for each in found:
            if each.get("id"):
                self._write(self._entry_path(str(each["id"])), [began, each])
        self._write(self._directory / "listed.json", began)

    def _listed_at(self) -> float:
        return _time_of(self._directory / "listed.json")

    def _read_entry(self, cluster_id: str) -> tuple[float, CachedResource] | None:
        found = _json_of(self._entry_path(cluster_id))
        return None if found is None else (float(found[0]), CachedResource(found[1]))

    def _entry_path(self, cluster_id: str) -> Path:
        return self._directory / f"cluster-{_cache_key(cluster_id)}.json"

    def _mark_path(self, cluster_id: str, name: str) -> Path:
        return self._directory / f"written-{_cache_key(f'{cluster_id}/agentPools/{name}')}.json"

    def _write(self, path: Path, value: Any) -> None:
        """Writes a file as a whole. It lives as long as the run, so it need not outlast a power failure."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".", dir=self._directory)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(value, separators=(",", ":")))  # json.dump takes ten times as long
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def etag_of(pool: Mapping[str, Any] | None) -> str | None:
    """Returns the etag of a node pool, None for none."""
    if pool is None:
        return None
    found = (pool.get("properties") or {}).get("eTag") or pool.get("eTag")
    return str(found) if found else None


def _pool_of(cluster_id: str, profiles: Iterable[Mapping[str, Any]], name: str) -> CachedResource | None:
    """Returns a node pool as a GET would, from the profiles that its cluster has of its pools."""
    for profile in profiles:
        if str(profile.get("name")).lower() == name.lower():
            return CachedResource(
                id=f"{cluster_id}/agentPools/{profile['name']}",
                name=profile["name"],
                type=POOL_TYPE,
                properties={key: value for key, value in profile.items() if key != "name"},
            )
    return None


def _cache_key(identifier: str) -> str:
    return key_of(identifier.lower().rstrip("/"))


def _time_of(path: Path) -> float:
    found = _json_of(path)
    return float("-inf") if found is None else float(found)


def _json_of(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
