"""Long-running operations: their status and result URLs, and the frame in which each runs.

Formats from recorded traffic: `azure-asyncoperation` and, for 202 answers, `location`; long query strings `t`, `c`,
`s`, `h`. Witness: PS TestSpot.json, 2025-10-28; CLI test_aks_nodepool_delete_machines.yaml, 2024-09-19.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import math
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from .calls import Call, Reply
from .errors import GatewayError, OperationFailed, failure
from .world import Cluster, Operation, World

Json = dict[str, Any]
STATUS_VERSION = "2025-03-01"
"""api-version of status URLs, whatever the request's. Witness: CLI test_aks_machine_cmds.yaml, 2025-06-24."""
log = logging.getLogger(__name__)

PREEMPTED = {
    "code": "AKSOperationPreempted",
    "message": "The operation was preempted by another operation, AbortLatestOperation.",
}


class ForcedFailure(Exception):
    """An operation ends in Failed with the error that a fault was planted with."""

    def __init__(self, error: Json) -> None:
        super().__init__(str(error))
        self.error = error


def fail_if_planted(operation: Operation, shape: str) -> None:
    """What a fault does to an operation that reaches this point.

    Args:
        shape: the setting `failure_shape`; the fault's own `shape` takes precedence.

    Raises:
        ForcedFailure: the fault's error, in the shape that is asked for.
    """
    fault = operation.forced_failure
    if fault is None:
        return
    error = {"code": "InternalOperationError", "message": "Internal server error", **fault}
    shape = error.pop("shape", "recorded" if "details" in error else shape)
    if shape != "recorded":
        error = failure(OperationFailed(str(error["code"]), str(error["message"])), operation.what, shape)
    raise ForcedFailure(error)


class Operations:
    """Starts operations, and answers for them."""

    def __init__(self, world: World) -> None:
        self._world = world

    def start(
        self,
        call: Call | None,
        cluster: Cluster,
        what: str,
        work: Callable[[Operation], Awaitable[None]],
        failed: Callable[[Operation], None],
        pool: str | None = None,
        *,
        seconds: float = 0.0,
        count: int = 0,
    ) -> Operation:
        """Run `work` as an operation of the cluster.

        While it is in progress its status is free text, by the setting `operation_status_texts`. Witness:
        https://github.com/hashicorp/terraform-provider-azurerm/issues/28878, 2025-02-27; PS TestSpot.json, 2025-10-28;
        PS TestAPI20250801WithMSI.json, 2025-12-12; ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18. No
        witness: how long each lasts.

        Args:
            call: the request that starts it; a fault may be planted in it. None: Azure itself starts it.
            what: the provisioning state that goes with it: Creating, Updating, Scaling, Deleting, …
            work: ends when the operation has succeeded; raises OperationFailed when it has failed.
            failed: called when it failed or was cancelled, to set the states.
            seconds: how long it takes, for the texts of its status.
            count: the pool's nodes, for the same.
        """
        world = self._world
        operation = Operation(
            id=str(uuid.uuid4()),
            location=cluster.location,
            subscription=cluster.subscription,
            what=what,
            started=world.clock.timestamp(),
            pool=pool,
            begun=world.clock.seconds(),
            seconds=seconds,
            texts=[text.replace("{count}", str(count)) for text in world.settings.operation_status_texts.get(what, ())],
        )
        fault = call.operation_fault if call is not None else None
        if fault is not None:
            operation.endless = bool(fault.get("endless"))
            operation.forced_failure = None if operation.endless else fault
        world.operations[operation.id] = operation
        cluster.operations.append(operation)

        async def run() -> None:
            try:
                if operation.endless:
                    await asyncio.Event().wait()
                await work(operation)
                operation.status = "Succeeded"
            except OperationFailed as error:
                operation.status = "Failed"
                operation.error = failure(error, what, world.settings.failure_shape)
                failed(operation)
            except ForcedFailure as error:
                operation.status = "Failed"
                operation.error = error.error
                failed(operation)
            except asyncio.CancelledError:
                operation.status = "Canceled"
                operation.error = operation.error or dict(PREEMPTED)
                failed(operation)
            except Exception as error:
                log.exception("operation %s of %s", what, cluster.id)
                operation.status = "Failed"
                operation.error = {"code": "InternalOperationError", "message": f"Internal server error: {error}"}
                failed(operation)
            finally:
                operation.ended = world.clock.timestamp()
                cluster.changed()
                background = world.settings.background_operation_seconds
                if background and call is not None and pool is not None and operation.status == "Succeeded":
                    self.background(cluster, background)

        operation.task = world.spawn(run(), f"{what} {cluster.name}/{pool or ''}")
        return operation

    def background(self, cluster: Cluster, seconds: float) -> Operation:
        """An add-on's own operation, which nobody asked for: the cluster is Updating, and every etag is new."""
        previous = cluster.state

        async def work(operation: Operation) -> None:
            await self._world.clock.sleep(seconds)
            restore(operation)

        def restore(operation: Operation) -> None:
            cluster.properties["provisioningState"] = previous
            cluster.touch_all()

        operation = self.start(None, cluster, "Updating", work, restore, seconds=seconds)
        cluster.properties["provisioningState"] = "Updating"
        cluster.touch_all()
        return operation

    async def cancel(self, operation: Operation) -> None:
        """End an operation as `abort` does."""
        if operation.task is not None and operation.status == "InProgress":
            operation.task.cancel()
            await asyncio.gather(operation.task, return_exceptions=True)

    def abort(self, cluster: Cluster, running: list[Operation], pool: str | None) -> Operation:
        """An operation that ends others; it isn't one of the cluster's that block a further one.

        Witness: CLI test_aks_nodepool_abort.yaml, 2023-06-29; CLI test_aks_abort.yaml, 2025-05-16. No witness: the
        aborted operation's own status (Canceled, AKSOperationPreempted).
        """
        world = self._world
        operation = Operation(
            id=str(uuid.uuid4()),
            location=cluster.location,
            subscription=cluster.subscription,
            what="Canceling",
            started=world.clock.timestamp(),
            pool=pool,
        )
        world.operations[operation.id] = operation

        async def work() -> None:
            for each in running:
                await self.cancel(each)
            operation.status, operation.ended = "Succeeded", world.clock.timestamp()

        operation.task = world.spawn(work(), f"abort {cluster.name}/{pool or ''}")
        return operation

    def urls(self, call: Call, operation: Operation, *, location: bool) -> dict[str, str]:
        """The headers that lead to the operation.

        `x-ms-request-id` of a PUT is the operation's id. Witness: PS TestSpot.json, 2025-10-28. No witness: whether
        that of a DELETE or a POST is.
        """
        base = f"{call.base_url}/subscriptions/{operation.subscription}/providers/Microsoft.ContainerService/locations"
        query = f"api-version={STATUS_VERSION}&{_signature(operation.id)}"
        headers = {"x-ms-request-id": operation.id} if call.method == "PUT" else {}
        headers |= {"azure-asyncoperation": f"{base}/{operation.location}/operations/{operation.id}?{query}"}
        if location:
            headers["location"] = f"{base}/{operation.location}/operationresults/{operation.id}?{query}"
        headers.update(self.retry_after())
        return headers

    def retry_after(self) -> dict[str, str]:
        """Retry-After, when the settings want one."""
        seconds = self._world.settings.retry_after_seconds
        return {"retry-after": str(math.ceil(seconds))} if seconds else {}

    async def status(self, call: Call) -> Reply:
        """GET …/locations/{location}/operations/{operation}"""
        operation = self._find(call)
        return Reply(
            200,
            operation.as_json(self._world.clock.seconds()),
            self.retry_after() if operation.status == "InProgress" else {},
        )

    async def result(self, call: Call) -> Reply:
        """GET …/locations/{location}/operationresults/{operation}: 202 while it runs, then 204, or the failure.

        The 204 has `location` once more, and a content type. Witness: CLI test_aks_nodepool_abort.yaml, 2023-06-29;
        CLI test_aks_nodepool_delete_machines.yaml, 2024-09-19. No witness: the answer for a failed operation.
        """
        operation = self._find(call)
        if operation.status == "InProgress":
            return Reply(202, None, self.urls(call, operation, location=True))
        if operation.status == "Succeeded":
            if operation.result is not None:
                return Reply(200, operation.result)
            location = self.urls(call, operation, location=True)["location"]
            return Reply(204, None, {"location": location, "content-type": "application/json"})
        assert operation.error is not None
        raise GatewayError(409, operation.error["code"], operation.error["message"])

    def _find(self, call: Call) -> Operation:
        operation = self._world.operations.get(call.names["operation"].lower())
        if operation is None or operation.subscription != call.names["subscription"].lower():
            raise GatewayError(404, "NotFound", f"The entity '{call.names['operation']}' was not found.")
        return operation


def _signature(operation_id: str) -> str:
    """Query strings as long as ARM's."""
    digest = hashlib.sha256(operation_id.encode()).digest()
    long = base64.urlsafe_b64encode(digest * 60).decode()
    short = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return f"t={int.from_bytes(digest[:7], 'big')}&c=MII{long}&s={long[:342]}&h={short}"
