# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the API server of a large cluster, in a process of its own, so that its cost is not the client's.

    scale_server.py SETTINGS        JSON: `nodes`, `plugin_runs`, `watches` (hold or end), `log` (none, lines or bars),
                                    `log_bytes`, `chunk_bytes`

It prints its port and serves until its standard input ends. `/bench/requests` has the requests so far, each with the
seconds since the start. Lists come in pages, and answers above 128 KiB packed, as kube-apiserver sends them
(apiserver/pkg/endpoints/handlers/responsewriters/writers.go); log lines have the kubelet's timestamps. One Job, `work`
in the namespace `default`, runs until its log has been sent.
"""

from __future__ import annotations

import gzip
import http.server
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import large_cluster

Json = dict[str, Any]

GZIP_FROM = 128 * 1024
GZIP_LEVEL = 1
JOB, POD = "/apis/batch/v1/namespaces/default/jobs", "/api/v1/namespaces/default/pods"
LINES_A_SECOND = 20_000
BAR = "\r%3d%%|##########          | %7d/9999999 [02:11<01:32, 75.99it/s, loss=0.2417, lr=0.0003]"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        if parts.path == "/bench/requests":
            self._send({"requests": self.server.requests})
            return
        self.server.requests.append((time.monotonic() - self.server.began, self.path))
        if parts.path.endswith("/log"):
            self._stream(self._log(query))
        elif "watch" in query:
            self._stream(self._events(parts.path, float(query.get("timeoutSeconds", 60))))
        else:
            self._list(parts.path, query)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def _list(self, path: str, query: dict[str, str]) -> None:
        found = self.server.collections.get(path)
        if found is None:
            status = {"kind": "Status", "code": 404, "reason": "NotFound", "message": "not found"}
            self._send(status, 404)
            return
        count, item = found
        start, limit = int(query.get("continue") or 0), int(query.get("limit") or count or 1)
        end = min(start + limit, count)
        metadata = {"resourceVersion": "1000", **({"continue": str(end)} if end < count else {})}
        self._send({"metadata": metadata, "items": [item(number) for number in range(start, end)]})

    def _send(self, found: Json, status: int = 200) -> None:
        body = json.dumps(found, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if len(body) > GZIP_FROM and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, GZIP_LEVEL)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, chunks: Iterator[bytes]) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for chunk in chunks:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    def _events(self, path: str, seconds: float) -> Iterator[bytes]:
        if self.server.settings["watches"] == "end":
            return
        told = self.server.told if path in (JOB, POD) and self.server.settings["log"] != "none" else threading.Event()
        if told.wait(seconds) and path in (JOB, POD):
            found = self.server.collections[path][1](0)
            yield json.dumps({"type": "MODIFIED", "object": found}).encode() + b"\n"
            time.sleep(seconds)

    def _log(self, query: dict[str, str]) -> Iterator[bytes]:
        if "sinceTime" in query:  # All of it was sent; the last reading is for what was cut off on its way.
            return
        bars = self.server.settings["log"] == "bars"
        size, most = int(self.server.settings["log_bytes"]), int(self.server.settings["chunk_bytes"])
        pieces: list[bytes] = []
        sent = waiting = 0
        for piece in _bars() if bars else _lines():
            pieces.append(piece)
            waiting += len(piece)
            if waiting >= most:
                yield b"".join(pieces)
                sent, waiting, pieces = sent + waiting, 0, []
                if sent >= size:
                    break
        if bars:
            yield b"\n"
        self.server.told.set()


def _lines() -> Iterator[bytes]:
    number = 0
    while True:
        second, part = divmod(number, LINES_A_SECOND)
        minute, second = divmod(second, 60)
        stamp = f"2026-08-01T{10 + minute // 60:02d}:{minute % 60:02d}:{second:02d}.{part * 50_000:09d}Z"
        said = f"epoch 3 step {number} loss 0.{number % 10_000:04d} grad_norm 1.27 lr 3.0e-04 tok/s 41237"
        yield f"{stamp} {said}\n".encode()
        number += 1


def _bars() -> Iterator[bytes]:
    yield b"2026-08-01T10:00:00.000000000Z "
    number = 0
    while True:
        yield (BAR % (number % 100, number)).encode()
        number += 1


class Server(http.server.ThreadingHTTPServer):
    """Attributes: `requests` with their times; `told`, set when a log has been sent to its end."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, settings: Json) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.settings = settings
        self.began = time.monotonic()
        self.requests: list[tuple[float, str]] = []
        self.told = threading.Event()
        nodes, runs = settings["nodes"], settings["plugin_runs"]
        self.collections: dict[str, tuple[int, Callable[[int], Json]]] = {
            "/api/v1/nodes": (nodes, lambda number: large_cluster.node(number, gpus=large_cluster.GPUS if runs else 0)),
            "/api/v1/pods": (
                nodes * large_cluster.PODS_PER_NODE,
                lambda number: large_cluster.pod(number, running=runs),
            ),
            "/api/v1/events": (0, lambda _number: {}),
            "/api/v1/namespaces/default/events": (0, lambda _number: {}),
            "/apis/apps/v1/daemonsets": (1, lambda _number: large_cluster.daemon_set()),
            "/apis/resource.k8s.io/v1/resourceslices": (0, lambda _number: {}),
            "/apis/resource.k8s.io/v1/resourceclaims": (0, lambda _number: {}),
            JOB: (1, lambda _number: self._job()),
            POD: (1, lambda _number: self._pod()),
        }

    def _job(self) -> Json:
        over = self.told.is_set()
        conditions = [{"type": name, "status": "True"} for name in ("SuccessCriteriaMet", "Complete")]
        times = {"startTime": large_cluster.TIME, **({"completionTime": large_cluster.TIME} if over else {})}
        return {
            "metadata": {"name": "work", "namespace": "default", "uid": "job", "resourceVersion": "1001"},
            "spec": {"completions": 1, "parallelism": 1},
            "status": {**times, "succeeded": int(over), "conditions": conditions if over else []},
        }

    def _pod(self) -> Json:
        over = self.told.is_set()
        ended = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": large_cluster.TIME}}
        found = large_cluster.pod(1)
        found["metadata"] |= {"namespace": "default", "name": "work-abcde", "ownerReferences": [{"uid": "job"}]}
        found["status"]["phase"] = "Succeeded" if over else "Running"
        if over:
            found["status"]["containerStatuses"][0]["state"] = ended
        return found


def main() -> None:
    server = Server(json.loads(sys.argv[1]))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
