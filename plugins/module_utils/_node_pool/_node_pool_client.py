# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node pool in Azure, read and written; the only place of this room that talks to Resource Manager."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._azure._client import IF_MISSING, ArmResponse, if_not_modified
from ansible_collections.aks.gpu.plugins.module_utils._azure._cluster_cache import CachedResource, CacheHit, etag_of
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError, codes_of, error_fields, hint_of
from ansible_collections.aks.gpu.plugins.module_utils._azure._operations import (
    PollResult,
    wait_for_operation,
    wait_until,
)
from ansible_collections.aks.gpu.plugins.module_utils._azure._policies import Call
from ansible_collections.aks.gpu.plugins.module_utils._azure._session import Session
from ansible_collections.aks.gpu.plugins.module_utils._azure._subscription import cluster, cluster_path
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import properties_of
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._plan import Pool

SETTLED = ("Succeeded", "Failed", "Canceled")
BROKEN = ("Failed", "Canceled")
DELETING = "Deleting"

SHARED_INTERVAL = 6.0
"""Seconds between two looks at a pool by way of the snapshot: one LIST then serves all tasks that wait."""

WAIT_HINT = (
    "It goes on in Azure: run again to wait for it, with a longer O(wait_timeout) if need be. O(abort=true) ends "
    "an operation that is stuck."
)


class NodePoolFailed(Failure):
    """The last operation on a node pool has failed, and nobody asked for a repair."""


def state_of(pool: Pool) -> str:
    """Returns the provisioning state of a pool; a pool that names none is one that has settled."""
    return str(properties_of(pool).get("provisioningState") or "Succeeded")


def is_settled(pool: Pool) -> bool:
    """Says whether no operation on the pool is under way, as far as the pool itself tells."""
    return state_of(pool) in SETTLED


def failure_of(pool: Pool, name: str) -> NodePoolFailed:
    """Returns the error of a pool whose last operation has failed, with the reason that Azure keeps."""
    state = state_of(pool)
    told = (properties_of(pool).get("status") or {}).get("provisioningError") or {}
    fields = error_fields(told)
    code, reason = fields.get("code"), fields.get("message")
    text = f"Node pool {name} is in state {state}: the last operation on it has " + (
        "been canceled" if state == "Canceled" else "failed"
    )
    if code or reason:
        text += f" with {code or 'no code'}: {(reason or 'Azure gave no reason').rstrip('.')}."
    else:
        text += "; Azure keeps no reason with the pool, the activity log of the resource group has it."
    advice = hint_of(codes_of(told), reason or "")
    remedy = "O(repair=true) puts the pool right by writing it again; O(state=absent) removes it."
    return NodePoolFailed(text, hint=f"{advice} {remedy}" if advice else remedy, code=code, state=state)


class NodePoolClient:
    """One node pool of one cluster.

    Args:
        session: Who asks.
        resource_group: Where the cluster is.
        cluster_name: The cluster.
        name: The pool.
    """

    def __init__(self, session: Session, resource_group: str, cluster_name: str, name: str) -> None:
        self.session = session
        self.client = session.client
        self.subscription_id = session.subscription_id
        self.resource_group = resource_group
        self.cluster_name = cluster_name
        self.name = name
        self.cluster_id = cluster_path(session.subscription_id, resource_group, cluster_name)
        self.id = f"{self.cluster_id}/agentPools/{quote(name)}"
        self._place = (resource_group, cluster_name, name)
        self.what = f"node pool {name}"

    def sibling(self, name: str) -> NodePoolClient:
        """Returns another pool of the same cluster."""
        return NodePoolClient(self.session, self.resource_group, self.cluster_name, name)

    @property
    def _pools(self) -> Any:
        return self.client.aks.agent_pools

    def cluster(self) -> Mapping[str, Any]:
        """Returns the cluster as the run's snapshot shows it, else as Azure does. Raises ``AzureError``."""
        snapshot, since = self.session.snapshot, self.session.since
        found = snapshot.cluster(self.cluster_id, since) if snapshot is not None and since is not None else None
        if found is not None:
            return found
        return cluster(self.client, self.subscription_id, self.resource_group, self.cluster_name)

    def read(self) -> Pool | None:
        """Returns the pool, or None when there is none. Raises ``AzureError``."""
        found: Pool | None = self.client.find_by(self._pools.get, *self._place, activity=f"Reading {self.what}")
        return found

    def get_cached(self) -> Pool | None:
        """Returns the pool from the run's cache of clusters (a ``CachedResource``), else as ``read`` does."""
        shown = self._shown(self.session.since)
        return self.read() if shown is None else shown.pool

    def _look_again(self, age: float) -> Pool | None:
        """Returns the pool as it was at most so many seconds ago."""
        shown = self._shown(time.monotonic() - age)
        return self.read() if shown is None else shown.pool

    def _shown(self, since: float | None) -> CacheHit | None:
        snapshot = self.session.snapshot
        return None if snapshot is None or since is None else snapshot.pool(self.cluster_id, self.name, since)

    def _writing(self, *stale: str | None) -> contextlib.AbstractContextManager[None]:
        snapshot = self.session.snapshot
        return (
            contextlib.nullcontext() if snapshot is None else snapshot.invalidating(self.cluster_id, self.name, stale)
        )

    def create(self, body: Mapping[str, Any], headers: Mapping[str, str], *, guarded: bool = True) -> ArmResponse:
        """Starts to create the pool. Raises ``AzureError``.

        Args:
            body: The body of the PUT.
            headers: Further headers.
            guarded: Whether Azure is asked to refuse (412) when there is a pool of that name.
        """
        condition = IF_MISSING if guarded else {}
        with self._writing(None):
            return self.client.begin(
                self._pools.begin_create_or_update,
                *self._place,
                body=body,
                headers={**headers, **condition},
                call=Call(f"Creating {self.what}", wait_while_busy=True, planned=True),
            )

    def update(self, body: Mapping[str, Any], current: Pool) -> ArmResponse:
        """Starts to update the pool, unless it has changed since it was read (412). Raises ``AzureError``."""
        etag = etag_of(current)
        with self._writing(*([etag] if etag else ())):
            return self.client.begin(
                self._pools.begin_create_or_update,
                *self._place,
                body=body,
                headers=if_not_modified(etag),
                call=Call(f"Updating {self.what}", wait_while_busy=True, planned=True),
            )

    def delete(self, ignore_pod_disruption_budget: bool) -> ArmResponse:
        """Starts to drain and delete the pool. Raises ``AzureError``."""
        with self._writing():
            return self.client.begin(
                self._pools.begin_delete,
                *self._place,
                params={"ignore-pod-disruption-budget": "true"} if ignore_pod_disruption_budget else {},
                call=Call(f"Deleting {self.what}", wait_while_busy=True),
            )

    def abort(self) -> None:
        """Ends the operation that is under way and waits for that. Nothing under way is no error.

        Raises:
            AzureError: Azure refused.
            DeadlineExceeded: The time is up.
        """
        activity = f"Aborting the operation on {self.what}"
        try:
            with self._writing():
                answer = self.client.begin(
                    self._pools.begin_abort_latest_operation,
                    *self._place,
                    call=Call(activity, repeatable=False, wait_while_busy=True),
                )
        except AzureError as error:
            idle = error.status in (400, 409) and error.code in ("OperationNotAllowed", "NoOperationInProgress")
            if (idle and not error.busy) or error.status == 404:  # a deletion that was under way may end just then
                return
            raise
        self.wait_for_operation(answer, activity)

    def wait_for_operation(self, answer: ArmResponse, activity: str) -> None:
        """Waits for the operation that a request has started. Raises ``OperationFailed``, ``DeadlineExceeded``."""
        wait_for_operation(self.client, answer, activity=activity)

    def wait_until_settled(self, pool: Pool | None = None) -> Pool | None:
        """Waits until no operation is under way, whoever started it, and returns the pool, or None when it is gone.

        Args:
            pool: The pool as it has just been read, if it has.

        Raises:
            DeadlineExceeded: The time is up.
        """

        def look(found: Pool | None) -> PollResult:
            return PollResult("gone", True) if found is None else PollResult(state_of(found), is_settled(found), found)

        shared = isinstance(pool, CachedResource)
        ended: Pool | None = wait_until(
            self.client,
            lambda: look(self._look_again(SHARED_INTERVAL / 2) if shared else self.read()),
            what=self.what,
            hint=WAIT_HINT,
            first=None if pool is None else look(pool),
            longest=SHARED_INTERVAL if shared else None,
        ).value
        return ended
