"""A small asynchronous client of a Kubernetes API server: requests, server-side apply, and informers over watches."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp

from aks_sandbox.interfaces import Json, SandboxError

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

_LOG = logging.getLogger(__name__)
_RECONNECT_SECONDS = 0.2
_WATCH_SECONDS = 600


def background(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """A task that nobody awaits; what it raises goes to the log."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_tell_failure)
    return task


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOG.error("%s ended", task.get_name(), exc_info=error)


class ApiError(SandboxError):
    """The API server refused. `status` is the HTTP status, `reason` Kubernetes' own word for it."""

    def __init__(self, status: int, reason: str, message: str, method: str, path: str) -> None:
        super().__init__(f"{method} {path}: {status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class ApiClient:
    """Talks to one API server with one client certificate."""

    def __init__(self, server: str, authority: Path, certificate: Path, key: Path) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        context.load_cert_chain(certificate, key)
        self.server = server
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0), timeout=aiohttp.ClientTimeout(total=30)
        )

    async def close(self) -> None:
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> Json:
        """One request; the answer's JSON (text under `text` when it is none).

        Raises:
            ApiError: status 400 or above.
            aiohttp.ClientError, TimeoutError: the server cannot be reached.
        """
        data = None if body is None else json.dumps(body).encode()
        sent = {**(headers or {}), **({"Content-Type": content_type} if data is not None else {})}
        async with self._session.request(
            method, self.server + path, data=data, headers=sent, params=query or {}, allow_redirects=False
        ) as response:
            text = await response.text()
            try:
                answer = json.loads(text)
            except json.JSONDecodeError:
                answer = {"text": text}
            if response.status >= 400:
                raise ApiError(
                    response.status, answer.get("reason", ""), answer.get("message", text[:500]), method, path
                )
            return answer if isinstance(answer, dict) else {"items": answer}

    async def get(self, path: str, **query: str) -> Json:
        return await self.request("GET", path, query=query)

    async def find(self, path: str) -> Json | None:
        """The object at `path`, or None when there is none."""
        try:
            return await self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def create(self, path: str, body: Json, **query: str) -> Json:
        return await self.request("POST", path, body, query=query)

    async def patch(self, path: str, body: Any, *, content_type: str = MERGE, **query: str) -> Json:
        return await self.request("PATCH", path, body, content_type=content_type, query=query)

    async def apply(self, path: str, body: Json, **query: str) -> Json:
        """Server-side apply, as the sandbox's field manager."""
        query = {"fieldManager": "aks-sandbox", "force": "true", **query}
        return await self.request("PATCH", path, body, content_type=APPLY, query=query)

    async def delete(self, path: str, body: Json | None = None) -> Json | None:
        """Delete; None when there was nothing."""
        try:
            return await self.request("DELETE", path, body)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def watch(
        self, path: str, resource_version: str, on_event: Callable[[str, Json], Awaitable[None]], **query: str
    ) -> str:
        """Follow a collection until the server ends the watch. Returns the last resource version seen.

        Raises:
            ApiError: the server refused or ended it with an error (410: the version is too old).
        """
        parameters = {
            "watch": "1",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
            **query,
        }
        async with self._session.get(
            self.server + path,
            params=parameters,
            timeout=aiohttp.ClientTimeout(total=None, sock_read=_WATCH_SECONDS + 30),
        ) as response:
            if response.status >= 400:
                raise ApiError(response.status, "", (await response.text())[:500], "WATCH", path)
            buffer = b""
            async for chunk in response.content.iter_any():
                buffer += chunk
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    item = event["object"]
                    if event["type"] == "ERROR":
                        raise ApiError(
                            item.get("code", 500), item.get("reason", ""), item.get("message", ""), "WATCH", path
                        )
                    resource_version = item["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        await on_event(event["type"], item)
        return resource_version


class Informer:
    """A collection's objects, kept up to date by a watch that survives everything.

    `handler(type, object)` is awaited for each ADDED, MODIFIED and DELETED, also for what a fresh list finds changed.
    """

    def __init__(self, client: ApiClient, path: str, handler: Callable[[str, Json], Awaitable[None]]) -> None:
        self._client = client
        self._path = path
        self._handler = handler
        self.objects: dict[str, Json] = {}
        """By uid."""
        self._synced = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; returns when the first list was handled."""
        self._task = background(self._run(), f"informer {self._path}")
        await self._synced.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        version: str | None = None
        while True:
            try:
                if version is None:
                    version = await self._list()
                version = await self._client.watch(self._path, version, self._handle)
                continue
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError, json.JSONDecodeError):
                version = None
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _list(self) -> str:
        answer = await self._client.get(self._path)
        found = {item["metadata"]["uid"]: item for item in answer["items"]}
        for uid in set(self.objects) - set(found):
            await self._handle("DELETED", self.objects[uid])
        for uid, item in found.items():
            known = self.objects.get(uid)
            if known is None or known["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                await self._handle("ADDED" if known is None else "MODIFIED", item)
        self._synced.set()
        return str(answer["metadata"]["resourceVersion"])

    async def _handle(self, kind: str, item: Json) -> None:
        uid = item["metadata"]["uid"]
        if kind == "DELETED":
            self.objects.pop(uid, None)
        else:
            self.objects[uid] = item
        await self._handler(kind, item)
