"""Long-running operations: their status and result URLs, and the frame in which each runs.

Formats from recorded traffic: `azure-asyncoperation` and, for 202 answers, `location`; long query strings `t`, `c`,
`s`, `h`.
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
from .errors import GatewayError, OperationFailed
from .world import Cluster, Operation, World

Json = dict[str, Any]
log = logging.getLogger(__name__)

PREEMPTED = {
    "code": "AKSOperationPreempted",
    "message": "The operation was preempted by another operation, AbortLatestOperation.",
}


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
    ) -> Operation:
        """Run `work` as an operation of the cluster.

        Args:
            call: the request that starts it; a fault may be planted in it. None: Azure itself starts it.
            what: the provisioning state that goes with it: Creating, Updating, Scaling, Deleting, …
            work: ends when the operation has succeeded; raises OperationFailed when it has failed.
            failed: called when it failed or was cancelled, to set the states.
        """
        world = self._world
        operation = Operation(
            id=str(uuid.uuid4()),
            location=cluster.location,
            subscription=cluster.subscription,
            what=what,
            started=world.clock.timestamp(),
            pool=pool,
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
                operation.error = {"code": error.code, "message": error.message}
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

        operation = self.start(None, cluster, "Updating", work, restore)
        cluster.properties["provisioningState"] = "Updating"
        cluster.touch_all()
        return operation

    async def cancel(self, operation: Operation) -> None:
        """End an operation as `abort` does."""
        if operation.task is not None and operation.status == "InProgress":
            operation.task.cancel()
            await asyncio.gather(operation.task, return_exceptions=True)

    def urls(self, call: Call, operation: Operation, *, location: bool) -> dict[str, str]:
        """The headers that lead to the operation."""
        base = f"{call.base_url}/subscriptions/{operation.subscription}/providers/Microsoft.ContainerService/locations"
        query = f"api-version=2016-03-30&{_signature(operation.id)}"
        headers = {"azure-asyncoperation": f"{base}/{operation.location}/operations/{operation.id}?{query}"}
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
        return Reply(200, operation.as_json(), self.retry_after() if operation.status == "InProgress" else {})

    async def result(self, call: Call) -> Reply:
        """GET …/locations/{location}/operationresults/{operation}: 202 while it runs, then 204, or the failure."""
        operation = self._find(call)
        if operation.status == "InProgress":
            return Reply(202, None, self.urls(call, operation, location=True))
        if operation.status == "Succeeded":
            return Reply(204) if operation.result is None else Reply(200, operation.result)
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
