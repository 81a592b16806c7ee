"""Container logs in memory, and the kubelets' HTTPS endpoint that `kubectl logs` ends at."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

_MOST_LINES = 20_000


class ContainerLog:
    """One run of one container. Lines can be followed until the run ends."""

    def __init__(self) -> None:
        self.lines: deque[tuple[float, str]] = deque(maxlen=_MOST_LINES)
        self.written = 0
        self.ended = False
        self._changed = asyncio.Condition()

    async def write(self, *lines: str) -> None:
        async with self._changed:
            for line in lines:
                self.lines.append((time.time(), line))
                self.written += 1
            self._changed.notify_all()

    async def end(self) -> None:
        async with self._changed:
            self.ended = True
            self._changed.notify_all()

    async def more(self, seen: int) -> tuple[list[tuple[float, str]], int]:
        """Lines after the first `seen`; waits for one. Empty when the run has ended."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.written > seen or self.ended)
            fresh = min(self.written - seen, len(self.lines))
            return list(self.lines)[len(self.lines) - fresh :] if fresh else [], self.written


@dataclass
class LogStore:
    """Logs by (namespace, Pod, container): the runs, oldest first; a kubelet keeps the last two."""

    runs: dict[tuple[str, str, str], list[ContainerLog]] = field(default_factory=dict)

    def begin(self, namespace: str, pod: str, container: str) -> ContainerLog:
        runs = self.runs.setdefault((namespace, pod, container), [])
        runs.append(ContainerLog())
        del runs[:-2]
        return runs[-1]

    def forget(self, namespace: str, pod: str) -> None:
        for key in [key for key in self.runs if key[:2] == (namespace, pod)]:
            del self.runs[key]


class KubeletServer:
    """Serves `/containerLogs/{namespace}/{pod}/{container}` of all nodes of a cluster on one loopback port."""

    def __init__(self, store: LogStore, certificate: Path, key: Path, authority: Path) -> None:
        self._store = store
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
        self._context.load_cert_chain(certificate, key)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        application = web.Application()
        application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        application.router.add_route("*", "/{path:.*}", self._unsupported)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _unsupported(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=501, text=f"a simulated node has no {request.path.split('/')[1]}: only logs\n")

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        names = request.match_info
        runs = self._store.runs.get((names["namespace"], names["pod"], names["container"]), [])
        query = request.query
        previous = query.get("previous") == "true"
        if len(runs) < (2 if previous else 1):
            what = "previous terminated container" if previous else "container"
            return web.Response(
                status=400 if previous else 404,
                text=f'{what} "{names["container"]}" in pod "{names["pod"]}" not found',
            )
        log = runs[-2] if previous else runs[-1]
        since = 0.0
        if "sinceSeconds" in query:
            since = time.time() - float(query["sinceSeconds"])
        elif "sinceTime" in query:
            since = datetime.datetime.fromisoformat(query["sinceTime"].replace("Z", "+00:00")).timestamp()
        selected = [line for line in log.lines if line[0] >= since]
        if "tailLines" in query:
            selected = selected[len(selected) - min(int(query["tailLines"]), len(selected)) :]
        stamped = query.get("timestamps") == "true"
        left = int(query["limitBytes"]) if "limitBytes" in query else None
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        seen = log.written
        while True:
            data = "".join((f"{_stamp(when)} {text}\n" if stamped else f"{text}\n") for when, text in selected).encode()
            if left is not None:
                data, left = data[:left], left - len(data)
            try:
                if data:
                    await response.write(data)
            except (ConnectionResetError, ConnectionError):
                break
            if query.get("follow") != "true" or (left is not None and left <= 0):
                break
            selected, seen = await log.more(seen)
            if not selected:
                break
        return response


def _stamp(when: float) -> str:
    return datetime.datetime.fromtimestamp(when, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
