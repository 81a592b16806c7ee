"""The HTTP front of the emulated Azure: routing, and what happens to each request before and after its handler.

The order is Azure's own: token, then subscription, then throttles, then permissions, then the provider.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import socket
import struct
import uuid
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from . import api_versions
from .authorization import Authorization
from .calls import Call, Reply, Route
from .errors import ArmError, GatewayError, ProviderError, busy
from .faults import Faults, Rule
from .identity import Identity
from .recording import Recording
from .throttles import Throttles
from .world import Cluster, World

Json = dict[str, Any]
log = logging.getLogger(__name__)


INSTANCE_METADATA = ("/metadata/identity/", "/msi/")


class Gateway:
    """Serves the routes over TLS."""

    def __init__(
        self,
        world: World,
        identity: Identity,
        authorization: Authorization,
        faults: Faults,
        throttles: Throttles,
        recording: Recording,
    ) -> None:
        self.world = world
        self.identity = identity
        self.authorization = authorization
        self.faults = faults
        self.throttles = throttles
        self.recording = recording
        self.base_url = ""
        self._routes: dict[tuple[str, int], list[Route]] = {}
        self._open: list[Route] = []

    def add(self, *routes: Route) -> None:
        """Serve these routes; the first that fits answers."""
        for each in routes:
            if each.segments is None:
                self._open.append(each)
            else:
                self._routes.setdefault((each.method, each.segments), []).append(each)

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        trimmed = path.rstrip("/")
        for each in self._routes.get((method, trimmed.count("/") + 1), []):
            if match := each.pattern.fullmatch(trimmed):
                return each, match.groupdict()
        for each in self._open:
            if each.method == method and (match := each.pattern.fullmatch(trimmed)):
                return each, match.groupdict()
        raise GatewayError(
            404,
            "InvalidResourceType",
            f"The sandbox does not emulate {method} {path}, or the resource type could not be found.",
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        body = await request.read()
        call = Call(
            method=request.method,
            path=unquote(request.path),
            query={key.lower(): value for key, value in request.query.items()},
            headers={key.lower(): value for key, value in request.headers.items()},
            body=body,
            base_url=self.base_url,
        )
        rule = self.faults.matching(call.method, request.path_qs)
        found: list[Route] = []
        if rule is not None and rule.reset == "before":
            self.recording.write(call, request.path_qs, 0, {}, {"sandbox": "connection reset before acting"}, False)
            return self._reset(request)
        if rule is not None and rule.hang:
            await asyncio.sleep(rule.hang)
        reply = await self._answer(call, rule, found)
        if rule is not None and rule.hang_after:
            await asyncio.sleep(rule.hang_after)
        if rule is not None and rule.answers_after_acting:
            reply = Reply(rule.status or 500, rule.body, dict(rule.headers))
        headers = {
            "cache-control": "no-cache",
            "x-ms-request-id": str(uuid.uuid4()),
            "x-ms-correlation-request-id": call.headers.get("x-ms-correlation-request-id") or str(uuid.uuid4()),
            **self._usual_headers(call, found),
            **reply.headers,
        }
        if "x-ms-client-request-id" in call.headers:
            headers["x-ms-client-request-id"] = call.headers["x-ms-client-request-id"]
        if reply.body is None:
            content = b""
        else:
            charset = "" if _of_aks(found) and "x-ms-failure-cause" not in headers else "; charset=utf-8"
            headers.setdefault("content-type", f"application/json{charset}")
            content = (
                reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body, separators=(",", ":")).encode()
            )
        secret = bool(found and found[0].secret)
        self.recording.write(call, request.path_qs, reply.status, headers, content, secret)
        if rule is not None and rule.reset == "after":
            return self._reset(request)
        return web.Response(status=reply.status, headers=headers, body=content)

    def _usual_headers(self, call: Call, found: list[Route]) -> dict[str, str]:
        """What Resource Manager adds to the AKS provider's answers.

        Witness: PS TestSpot.json, 2025-10-28; CLI test_aks_machine_cmds.yaml, 2025-06-24. No witness: rate limits that
        fall (they stay at their first values here).
        """
        who = call.principal
        if not _of_aks(found) or who is None:
            return {}
        region, now = self._location(call), self.world.clock.timestamp()
        reference = uuid.uuid4().hex.upper()
        kind, left, everywhere = {"GET": ("reads", 249, 3749), "DELETE": ("deletes", 199, 2999)}.get(
            call.method, ("writes", 199, 2999)
        )
        return {
            "pragma": "no-cache",
            "expires": "-1",
            "strict-transport-security": "max-age=31536000; includeSubDomains",
            "x-content-type-options": "nosniff",
            "x-cache": "CONFIG_NOCACHE",
            "x-msedge-ref": f"Ref A: {reference} Ref B: SANDBOX Ref C: {now[:19]}Z",
            "x-ms-operation-identifier": f"tenantId={self.identity.tenant},objectId={who.object_id}"
            f"{'' if who.user else f',appId={who.client_id}'}/{region}/{uuid.uuid4()}",
            "x-ms-routing-request-id": f"{region.upper()}:{now[:19].replace('-', '').replace(':', '')}Z:{uuid.uuid4()}",
            f"x-ms-ratelimit-remaining-subscription-{kind}": str(left),
            f"x-ms-ratelimit-remaining-subscription-global-{kind}": str(everywhere),
        }

    async def handle_instance_metadata(self, request: web.Request) -> web.StreamResponse:
        """Answer one request on the plain port, where only managed identity is served."""
        if not request.path.startswith(INSTANCE_METADATA):
            return web.json_response({"error": "not found"}, status=404)
        return await self.handle(request)

    async def _answer(self, call: Call, rule: Rule | None, found: list[Route]) -> Reply:
        try:
            if rule is not None and not rule.answers_after_acting:
                self._apply(rule, call)
            each, call.names = self._find(call.method, call.path)
            found.append(each)
            if each.action is not None:
                self._admit(each, call)
            return await each.handler(call)
        except ArmError as error:
            return Reply(error.status, error.body(), error.headers)
        except _Canned as canned:
            return canned.reply

    def _apply(self, rule: Rule, call: Call) -> None:
        if rule.expired_token:
            raise self.identity.expired(self.base_url)
        if rule.precondition_failed:
            raise ProviderError(
                412, "PreconditionFailed", "The condition specified using HTTP conditional header(s) is not met."
            )
        if rule.in_progress:
            answer = self.world.settings.busy_answer if rule.in_progress is True else rule.in_progress
            raise busy("Updating", None, str(uuid.uuid4()), self.world.clock.timestamp(), answer)
        if rule.operation is not None:
            call.operation_fault = rule.operation
        if rule.status is not None:
            raise _Canned(Reply(rule.status, rule.body, dict(rule.headers)))

    def _admit(self, each: Route, call: Call) -> None:
        settings = self.world.settings
        call.principal = self.identity.authenticate(call.headers.get("authorization"), self.base_url)
        if "api-version" not in call.query:
            raise GatewayError(
                400,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )
        api_versions.check(call.path, call.query["api-version"], self._location(call))
        subscription = call.names.get("subscription")
        if subscription is not None and subscription.lower() not in self.world.subscriptions:
            raise GatewayError(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
        if settings.throttles:
            self._throttle(each, call)
        assert each.action is not None
        self.authorization.check(call.principal, each.action.format(**call.names), call.path.rstrip("/"))
        if settings.refuse_writes and call.method not in ("GET", "HEAD") and not each.reads:
            raise GatewayError(
                403, "SandboxRefusesWrites", f"The sandbox refuses writes, and was asked for {call.method} {call.path}."
            )

    def _location(self, call: Call) -> str:
        names = call.names
        cluster: Cluster | None = None
        if "cluster" in names:
            cluster = self.world.cluster(names.get("subscription", ""), names["resource_group"], names["cluster"])
        return cluster.location if cluster else names.get("location", "")

    def _throttle(self, each: Route, call: Call) -> None:
        assert call.principal is not None
        subscription = call.names.get("subscription", "")
        region = self._location(call)
        wait = self.throttles.gateway(call.method, call.principal.object_id, subscription, region)
        if wait:
            raise GatewayError(
                429,
                "SubscriptionRequestsThrottled",
                f"Number of requests for subscription '{subscription}' and operation '{call.method}' exceeded the "
                f"backend storage limit. Please try again after '{math.ceil(wait)}' seconds.",
                headers={"Retry-After": str(math.ceil(wait))},
            )
        if each.throttle is None:
            return
        wait = self.throttles.aks(each.throttle, subscription, region, call.path)
        if wait:
            raise ProviderError(
                429,
                "Throttled",
                f"The {each.throttle} request limit has been exceeded for SubID '{subscription}', please retry again "
                "in "
                f"{math.ceil(wait)} seconds. For more information, see aka.ms/aks-throttling",
                headers={"Retry-After": str(math.ceil(wait))},
            )

    def _reset(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        if transport is not None:
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        return web.Response(status=500)


def _of_aks(found: list[Route]) -> bool:
    """Does the AKS provider answer this route?"""
    return bool(found) and str(found[0].action).startswith("Microsoft.ContainerService/")


class _Canned(Exception):
    """Carries a fault's ready answer out of the admission."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply
