# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module wait_for_job before an API server whose logs are slow, cut or rotated, and whose objects go at once."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from ansible_collections.aks.gpu.plugins.modules import wait_for_job
from ansible_collections.aks.gpu.plugins.plugin_utils import _isolation

Json = dict[str, Any]
JOBS = "/apis/batch/v1/namespaces/default/jobs"
PODS = "/api/v1/namespaces/default/pods"
COMPLETE = {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
Log = Callable[[Callable[[int, str], None]], None]
"""Writes lines, each with the second of its writing, and raises ConnectionError where the connection is lost."""


def job(**status: Any) -> Json:
    template = {"spec": {"containers": [{"name": "c"}]}}
    metadata = {"name": "work", "namespace": "default", "uid": "job", "resourceVersion": "2"}
    return {"metadata": metadata, "spec": {"completions": 1, "template": template}, "status": status}


def pod() -> Json:
    ended = {"terminated": {"exitCode": 0, "finishedAt": "2026-08-01T10:03:00Z"}}
    labels = {"batch.kubernetes.io/job-name": "work"}
    return {
        "metadata": {
            "name": "work-1", "namespace": "default", "uid": "pod", "labels": labels, "resourceVersion": "2",
            "creationTimestamp": "2026-08-01T10:00:00Z", "ownerReferences": [{"uid": "job"}],
        },
        "spec": {"nodeName": "n", "containers": [{"name": "c"}]},
        "status": {
            "phase": "Succeeded",
            "containerStatuses": [{"name": "c", "image": "i", "restartCount": 0, "state": ended}],
        },
    }  # fmt: skip


class Server(http.server.ThreadingHTTPServer):
    """An API server of one Job.

    Attributes:
        objects: By path of their collection.
        events: What the first watch of a collection is sent.
        logs: The log as each request for it finds it; the last one stays.
        asked: The URL and the headers of each request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, list[Json]] = {JOBS: [job(**COMPLETE)], PODS: [pod()]}
        self.events: dict[str, list[Json]] = {}
        self.logs: list[Log] = []
        self.asked: list[tuple[str, Message]] = []
        self.ending = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers))
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        self.close_connection = True
        with contextlib.suppress(ConnectionError):
            if parts.path.endswith("/log"):
                self.log(query)
            elif query.get("watch") == "true":
                self.begin()
                for event in self.server.events.pop(parts.path, []):
                    self.chunk(json.dumps(event) + "\n")
                self.server.ending.wait(30)
            else:
                items = self.server.objects.get(parts.path, [])
                self.begin()
                self.chunk(json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}))
                self.chunk("")

    def log(self, query: dict[str, str]) -> None:
        """As the kubelet sends it: with the time of each line, and from a time on, where that is asked for.

        https://github.com/kubernetes/cri-client/blob/master/pkg/logs/logs.go
        """
        self.begin()

        def line(second: int, text: str) -> None:
            stamp = f"2026-08-01T10:00:{second:02}"
            if stamp >= query.get("sinceTime", "")[:19]:
                self.chunk(f"{stamp}.000000000Z {text}\n" if query.get("timestamps") == "true" else f"{text}\n")

        logs = self.server.logs
        (logs.pop(0) if len(logs) > 1 else logs[0])(line)
        self.chunk("")

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, text: str) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text.encode()), text.encode()))

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield found
    found.ending.set()
    found.shutdown()
    found.server_close()


def run(
    server: Server,
    folder: Path,
    *,
    cluster: Json | None = None,
    user: Json | None = None,
    environment: dict[str, str] | None = None,
    **options: Any,
) -> Json:
    kubeconfig = {
        "clusters": [{"name": "c", "cluster": cluster or {"server": server.url}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "default"}}],
        "current-context": "x",
    }
    arguments = {"kubeconfig": kubeconfig, "name": "work", "wait_timeout": 25, **options}
    ended = _isolation.call_main(
        wait_for_job.main, json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode(), environment=environment or {},
        working_directory=str(folder), parent_directory=str(folder), show=lambda _line: None,
    )  # fmt: skip
    return dict(json.loads(ended.stdout.strip().splitlines()[-1]))


def test_a_log_that_takes_longer_than_ten_seconds(server: Server, tmp_path: Path) -> None:
    """Findings C4: 30 MB of log over 20 Mbit/s. After 10 s, unread counted as "not told", and a complete Job failed."""

    def slow(line: Callable[[int, str], None]) -> None:
        for second in range(12):
            line(second, f"Accuracy at step {second}: 0.5")
            time.sleep(1)
        line(12, "Accuracy at step 490: 0.97")

    server.logs = [slow]
    result = run(server, tmp_path, minimum_accuracy=0.9)
    assert not result.get("failed"), result["msg"]
    assert result["job"]["accuracy_last"] == 0.97


def test_a_log_that_is_lost_and_rotated(server: Server, tmp_path: Path) -> None:
    """Findings C5; kubernetes/kubernetes#126564 and #108678. Lines were counted, and those of the new file skipped."""

    def lost(line: Callable[[int, str], None]) -> None:
        for second in range(3):
            line(second, f"Accuracy at step {second}: 0.5")
        raise ConnectionError

    def rotated(line: Callable[[int, str], None]) -> None:
        line(2, "Accuracy at step 2: 0.5")
        line(3, "Accuracy at step 490: 0.97")

    server.logs = [lost, rotated]
    result = run(server, tmp_path, minimum_accuracy=0.9)
    assert not result.get("failed"), result["msg"]
    assert result["job"]["accuracy"] == [
        *({"step": step, "accuracy": 0.5} for step in range(3)),
        {"step": 490, "accuracy": 0.97},
    ]


def test_a_job_that_goes_as_soon_as_it_is_complete(server: Server, tmp_path: Path) -> None:
    """Findings C2; hashicorp/terraform-provider-kubernetes#1578, ``ttlSecondsAfterFinished: 0``."""
    server.objects[JOBS] = [job(active=1)]
    last = job(**COMPLETE)
    server.events[JOBS] = [{"type": "MODIFIED", "object": last}, {"type": "DELETED", "object": last}]
    server.events[PODS] = [{"type": "DELETED", "object": pod()}]
    server.logs = [lambda line: line(0, "Accuracy at step 490: 0.97")]
    result = run(server, tmp_path)
    assert not result.get("failed"), result["msg"]
    assert result["job"]["complete"]


def test_it_acts_as_the_kubeconfig_says(server: Server, tmp_path: Path) -> None:
    """Findings D1; kubernetes-client/python#362: `as` was ignored, and everything done as the administrator.

    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
    """
    server.logs = [lambda line: line(0, "done")]
    result = run(server, tmp_path, user={"token": "t0ken", "as": "jane", "as-groups": ["developers"]})
    assert not result.get("failed"), result["msg"]
    acted = [(headers["Impersonate-User"], headers["Impersonate-Group"]) for _url, headers in server.asked]
    assert set(acted) == {("jane", "developers")}


def test_the_proxy_of_the_kubeconfig_goes_before_the_environments(server: Server, tmp_path: Path) -> None:
    """Findings E6: the environment won. In kubectl the kubeconfig does.

    https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/#Cluster: `proxy-url` overrides http_proxy.
    """
    server.logs = [lambda line: line(0, "done")]
    cluster = {"server": "http://cluster.invalid", "proxy-url": server.url}
    elsewhere = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
    result = run(server, tmp_path, cluster=cluster, environment=elsewhere, wait_timeout=5)
    assert not result.get("failed"), result["msg"]
    assert {urlsplit(url).hostname for url, _headers in server.asked} == {"cluster.invalid"}
