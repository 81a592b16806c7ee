# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches and requests against a server that misbehaves as API servers, networks and proxies do."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes import _watch
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import Access, Credentials
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Client
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import (
    CredentialPluginFailed,
    KubernetesError,
    Unreachable,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._watch import Query, State, Watch

Step = Callable[["Handler"], None]
PODS = "/api/v1/pods"


def nothing(*_values: object) -> None:
    """No secrets are kept."""


def no_program(*_unused: object) -> tuple[int, str, str]:
    raise AssertionError("there is no exec plugin to run")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        step = self.server.next(watch="watch=true" in self.path or "/log" in self.path)
        step(self)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, lists: list[Step], watches: list[Step], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.requests: list[str] = []
        self._lists, self._watches = list(lists), list(watches)
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def next(self, *, watch: bool) -> Step:
        with self._lock:
            steps = self._watches if watch else self._lists
            return steps.pop(0) if len(steps) > 1 else steps[0]

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def client(self) -> Client:
        return Client(Access(f"http://127.0.0.1:{self.server_port}", Credentials({}, {}, "", nothing, no_program)))


def pod(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": name, "resourceVersion": str(version)}}


def listing(*names: str, version: int = 1) -> Step:
    def step(handler: Handler) -> None:
        body = json.dumps(
            {"metadata": {"resourceVersion": str(version)}, "items": [pod(name, version) for name in names]}
        ).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return step


def status(code: int, reason: str = "", headers: dict[str, str] | None = None, **more: Any) -> Step:
    def step(handler: Handler) -> None:
        body = json.dumps({"kind": "Status", "code": code, "reason": reason, "message": reason, **more}).encode()
        handler.send_response(code)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return step


def events(*found: dict[str, Any], end: str = "hold") -> Step:
    """A watch that sends events and then holds, ends, or is cut in the middle of an event."""

    def step(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for event in found:
            handler.chunk(json.dumps(event).encode() + b"\n")
        if end == "hold":
            time.sleep(5)
        elif end == "cut":
            handler.chunk(b'{"type": "ADD')
            handler.connection.shutdown(socket.SHUT_RDWR)
        else:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    return step


def added(name: str, version: int = 2) -> dict[str, Any]:
    return {"type": "ADDED", "object": pod(name, version)}


def log(*lines: str, end: str = "end", zone: str = "Z") -> Step:
    """A log as the kubelet sends it with timestamps; a line that begins with a number has it for its nanosecond.

    https://github.com/kubernetes/cri-client/blob/master/pkg/logs/logs.go: each line has the time of its writing, and
    ``sinceTime`` leaves out lines of earlier seconds.
    """

    def step(handler: Handler) -> None:
        asked = dict(parse_qsl(urlsplit(handler.path).query))
        assert asked["timestamps"] == "true"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for line in lines:
            when, text = line.split(" ", 1)
            second, _point, fraction = when.partition(".")
            stamp = f"2026-08-01T10:00:{int(second):02}"
            if stamp >= asked.get("sinceTime", "")[:19]:
                handler.chunk(f"{stamp}.{fraction or '0':0<9}{zone} {text}\n".encode())
        if end == "cut":
            handler.connection.shutdown(socket.SHUT_RDWR)
        elif end == "hold":
            time.sleep(5)
        else:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    return step


def read_log(server: Server, *, running_until: int = 0, seconds: float = 8) -> tuple[list[str], State]:
    """Follows a log to its end, of a container that runs until so many lines have come."""
    seen: list[str] = []
    state = State()
    with Watch(server.client(), {}) as watch:
        watch.follow_log("k", f"{PODS}/a", "c", running=bool(running_until))
        for state in watch.states(Deadline(seconds)):
            seen += [line for _key, line in state.lines]
            watch.follow_log("k", f"{PODS}/a", "c", running=len(seen) < running_until)
            if "k" in state.ended:
                break
    return seen, state


GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(lists: list[Step], watches: list[Step], port: int = 0) -> Server:
        servers.append(Server(lists, watches, port))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def until(server: Server, wanted: set[str], seconds: float = 5.0, **query: Any) -> State:
    """Watches until exactly these Pods are there."""
    with Watch(server.client(), {"pods": Query(PODS, **query)}) as watch:
        for state in watch.states(Deadline(seconds)):
            if set(state.objects["pods"]) == wanted:
                return state
    raise AssertionError(f"never saw {wanted}")


def test_list_then_watch(serve: Callable[..., Server]) -> None:
    changed = events(added("b"), {"type": "DELETED", "object": pod("a", 3)})
    server = serve([listing("a")], [changed])
    until(server, {"b"})
    assert "resourceVersion=1" in server.requests[1]


def test_reaction_is_quick(serve: Callable[..., Server]) -> None:
    sent: list[float] = []

    def late(handler: Handler) -> None:
        time.sleep(0.5)
        sent.append(time.monotonic())
        events(added("b"))(handler)

    until(serve([listing("a")], [late]), {"a", "b"})
    assert time.monotonic() - sent[0] < 0.3


@pytest.mark.parametrize("how", [events(GONE, end="end"), status(410, "Expired")], ids=["in the stream", "as a status"])
def test_expired_watch_lists_again(serve: Callable[..., Server], how: Step) -> None:
    server = serve([listing("a"), listing("b", version=9)], [how, events()])
    until(server, {"b"})


def test_bookmark_moves_the_place_to_go_on_from(serve: Callable[..., Server]) -> None:
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "77"}}}
    server = serve([listing("a")], [events(bookmark, end="end"), events(added("b", 78))])
    until(server, {"a", "b"})
    assert any("resourceVersion=77" in request for request in server.requests)


@pytest.mark.parametrize(
    "hiccup",
    [
        events(added("b"), end="cut"),
        events(end="end"),
        status(500, "InternalError"),
        status(503, "ServiceUnavailable"),
        status(429, "TooManyRequests", {"Retry-After": "1"}),
        status(403, "Forbidden"),
    ],
    ids=["cut", "ended", "500", "503", "429", "403 of a server that starts"],
)
def test_hiccup_does_not_end_a_wait(serve: Callable[..., Server], hiccup: Step) -> None:
    server = serve([listing("a"), listing("a", "b", "c")], [hiccup, events(added("b"), added("c", 4))])
    until(server, {"a", "b", "c"})


def test_server_that_restarts(serve: Callable[..., Server]) -> None:
    first = serve([listing("a")], [events(end="end")])
    port = first.server_port
    with Watch(first.client(), {"pods": Query(PODS)}) as watch:
        lost = False
        for state in watch.states(Deadline(8)):
            if "a" in state.objects["pods"] and not lost and first.socket.fileno() >= 0:
                first.stop()
            if state.lost and not lost:
                lost = True
                serve([listing("a")], [events(added("b"))], port)
            if "b" in state.objects["pods"]:
                assert state.lost is None
                break
        else:
            raise AssertionError("never came back")
    assert lost


def test_silent_server_is_left(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_watch, "SILENCE_SECONDS", 0.3)
    until(serve([listing("a")], [events(end="hold"), events(added("b"))]), {"a", "b"})


def test_never_busy(serve: Callable[..., Server]) -> None:
    server = serve([listing("a")], [status(503)])
    with Watch(server.client(), {"pods": Query(PODS)}) as watch:
        for _state in watch.states(Deadline(1.5)):
            pass
    assert len(server.requests) < 10


def test_ends_at_the_deadline_and_leaves_no_thread(serve: Callable[..., Server]) -> None:
    server = serve([listing("a")], [events(end="hold")])
    started = time.monotonic()
    before = threading.active_count()
    with Watch(server.client(), {"pods": Query(PODS)}) as watch:
        assert list(watch.states(Deadline(0.5)))
    assert time.monotonic() - started < 1.5
    assert [thread for thread in threading.enumerate() if thread.name == "follow pods"] == []
    assert threading.active_count() <= before + 3


def test_forbidden_from_the_beginning(serve: Callable[..., Server]) -> None:
    server = serve([status(403, "Forbidden", message='pods is forbidden: User "x" cannot list')], [events()])
    with pytest.raises(KubernetesError, match="cannot list"):
        until(server, {"a"})


def test_optional_collection_that_is_forbidden(serve: Callable[..., Server]) -> None:
    state = until(serve([status(403, "Forbidden")], [events()]), set(), optional=True)
    assert "pods" in state.denied


def test_deadline_before_the_first_state(serve: Callable[..., Server]) -> None:
    server = serve([status(503)], [events()])
    with pytest.raises(DeadlineExceeded), Watch(server.client(), {"pods": Query(PODS)}) as watch:
        list(watch.states(Deadline(0.5)))


def test_unreachable_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_watch, "RETRY_SECONDS", 0.5)
    client = Client(Access("http://127.0.0.1:1", Credentials({}, {}, "", nothing, no_program)))
    with pytest.raises(Unreachable, match="no connection"), Watch(client, {"pods": Query(PODS)}) as watch:
        list(watch.states(Deadline(10)))


def test_pages(serve: Callable[..., Server]) -> None:
    def first(handler: Handler) -> None:
        body = {"metadata": {"resourceVersion": "1", "continue": "next"}, "items": [pod("a", 1)]}
        data = json.dumps(body).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    server = serve([first, listing("b")], [events()])
    until(server, {"a", "b"})
    assert "continue=next" in server.requests[1]


def test_log_is_taken_up_where_it_was_lost(serve: Callable[..., Server]) -> None:
    server = serve([listing("a")], [log("1 one", "2 two", end="cut"), log("1 one", "2 two", "3 three")])
    assert read_log(server)[0] == ["one", "two", "three"]


def test_log_that_was_rotated_meanwhile(serve: Callable[..., Server]) -> None:
    """Findings C5; kubernetes/kubernetes#126564 and #108678: following ends where the kubelet rotates the log."""
    server = serve([listing("a")], [log("1 one", "2 two", "3 three", end="cut"), log("3 three", "4 four", "5 five")])
    assert read_log(server)[0] == ["one", "two", "three", "four", "five"]
    assert "sinceTime=2026-08-01T10%3A00%3A03Z" in server.requests[-1]


def test_log_whose_program_is_silent(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings C5: after 75 s of silence the whole log came again."""
    monkeypatch.setattr(_watch, "SILENCE_SECONDS", 0.3)
    server = serve([listing("a")], [log("1 one", end="hold"), log("1 one", end="hold"), log("1 one", "9 two")])
    assert read_log(server)[0] == ["one", "two"]


def long_log(count: int, sent: list[int], end: str = "end", until: int | None = None) -> Step:
    """A log of many lines, as fast as they are taken, up to one of them; ``sent`` has how many were sent each time."""

    def step(handler: Handler) -> None:
        since = dict(parse_qsl(urlsplit(handler.path).query)).get("sinceTime", "")[:19]
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        sent.append(0)
        for number in range(count if until is None else until):
            stamp = f"2026-08-01T10:{number // 60 // 100:02}:{number // 100 % 60:02}"
            if stamp >= since:
                handler.chunk(f"{stamp}.{number % 100:02}0000000Z {number} {'x' * 400}\n".encode())
                sent[-1] += 1
        if end == "hold":
            time.sleep(5)
        elif end == "cut":
            handler.connection.shutdown(socket.SHUT_RDWR)
        else:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    return step


@pytest.mark.parametrize("endless", [False, True], ids=["epam/cloud-pipeline#468", "kubernetes-retired/dashboard#1834"])
def test_log_that_comes_faster_than_it_is_looked_at(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, endless: bool
) -> None:
    """Findings C4: 900 MB took 446 MB of memory. In the reports are logs of gigabytes, and a loop without an end."""
    most = 64 * 1024
    monkeypatch.setattr(_watch, "MOST_WAITING", most)
    sent: list[int] = []
    count = 10**9 if endless else 3000
    server = serve([listing("a")], [long_log(count, sent)])
    deadline = Deadline(2.0 if endless else 30.0)
    seen = 0
    with Watch(server.client(), {}) as watch:
        watch.follow_log("k", f"{PODS}/a", "c", running=endless)
        for state in watch.states(deadline):
            assert sum(len(line) + 200 for _key, line in state.lines) <= most
            seen += len(state.lines)
            if "k" in state.ended:
                break
            time.sleep(0.01)
    assert deadline.remaining() > -1.0
    assert seen > 1000 if endless else seen == count
    if endless:  # The server had to wait: no more is on its way than what sockets hold.
        assert (sent[0] - seen) * 450 < 16 * 2**20


def test_log_that_is_lost_again_and_again_is_not_sent_as_a_whole_each_time(serve: Callable[..., Server]) -> None:
    """Findings C4 and C5; marin-community/marin#4366: each look had the whole log again, 38 GB a minute."""
    sent: list[int] = []
    parts = [long_log(3000, sent, end="cut", until=number * 500) for number in range(1, 6)]
    lines, _state = read_log(serve([listing("a")], [*parts, long_log(3000, sent)]))
    assert [int(line.split()[0]) for line in lines] == list(range(3000))
    assert sum(sent) <= 3000 + 5 * 100  # The second in which it was lost comes again.


def test_log_that_stops_in_the_middle_without_an_end(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Findings C4; kubernetes/kubernetes#122928: with much output, following stops at a random place until the end."""
    monkeypatch.setattr(_watch, "SILENCE_SECONDS", 0.3)
    sent: list[int] = []
    steps = [long_log(2000, sent, end="hold", until=777), long_log(2000, sent, end="hold", until=1234)]
    lines, state = read_log(serve([listing("a")], [*steps, long_log(2000, sent)]))
    assert [int(line.split()[0]) for line in lines] == list(range(2000))
    assert state.unread == {}


def test_lines_of_one_second_and_of_one_moment(serve: Callable[..., Server]) -> None:
    """kubernetes/kubernetes#77856: ``sinceTime`` gives lines before it, for it is cut to the second."""
    first = ["1 a", "2.1 b", "2.5 c", "2.5 c"]
    steps = [log(*first, end="cut"), log(*first, "2.5 c", "2.5 d", "2.75 e", "3 f")]
    assert read_log(serve([listing("a")], steps))[0] == ["a", "b", "c", "c", "c", "d", "e", "f"]


def test_times_of_another_zone(serve: Callable[..., Server]) -> None:
    """A runtime may write times in its node's zone (moby/moby#46913 shows +01:00)."""
    steps = [log("1 a", "2 b", end="cut", zone="+02:00"), log("1 a", "2 b", "3 c", zone="+02:00")]
    server = serve([listing("a")], steps)
    assert read_log(server)[0] == ["a", "b", "c"]
    assert "sinceTime=2026-08-01T08%3A00%3A02Z" in server.requests[-1]


def test_log_that_can_not_be_read_is_not_one_that_says_nothing(serve: Callable[..., Server]) -> None:
    """Findings C4."""
    lines, state = read_log(serve([listing("a")], [status(403, "Forbidden", message="pods/log is forbidden")]))
    assert lines == []
    assert "forbidden" in state.unread["k"].message


def test_log_of_a_pod_that_goes_after_it_was_followed_to_its_end(serve: Callable[..., Server]) -> None:
    """Findings C2: with ``ttlSecondsAfterFinished: 0`` the Pod is gone when its log would be read once more."""
    lines, state = read_log(serve([listing("a")], [log("1 one"), status(404, "NotFound")]), running_until=1)
    assert (lines, state.unread) == (["one"], {})


@pytest.mark.parametrize(
    "how",
    [
        # Findings C8; jupyterhub/kubespawner#920 and kubernetes/kubernetes#20659: streams that end early.
        events(end="end"),
        events({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "5"}}}, end="end"),
        # openshift/kubernetes#669: an ERROR in the stream, after which the list is read again.
        events(GONE, end="end"),
        events({"type": "ERROR", "object": {"code": 429, "reason": "TooManyRequests"}}, end="end"),
        status(410, "Expired"),
    ],
    ids=["ended", "bookmark, ended", "gone", "too many", "gone as a status"],
)
def test_watch_that_ends_at_once_costs_two_requests_a_second(serve: Callable[..., Server], how: Step) -> None:
    """emberstack/kubernetes-reflector#701 has what becomes of an API server otherwise."""
    server = serve([listing("a")], [how])
    seconds = 6.0
    with Watch(server.client(), {name: Query(PODS) for name in ("a", "b")}) as watch:
        for _state in watch.states(Deadline(seconds)):
            pass
    first = 2 * 2  # Each collection is listed, and its watch opened, before anything is known to be wrong.
    assert len(server.requests) - first <= 2 * seconds


def test_last_state_of_what_was_deleted(serve: Callable[..., Server]) -> None:
    """Findings C2: what DELETED brings, and what a new list no longer has."""
    last = {"type": "DELETED", "object": {**pod("a", 3), "status": {"phase": "Succeeded"}}}
    state = until(serve([listing("a", "b")], [events(last)]), {"b"}, remember=True)
    assert state.gone["pods"]["a"]["status"] == {"phase": "Succeeded"}
    state = until(
        serve([listing("a"), listing("b", version=9)], [events(GONE, end="end"), events()]), {"b"}, remember=True
    )
    assert set(state.gone["pods"]) == {"a"}


def test_requests_are_tried_again(serve: Callable[..., Server]) -> None:
    server = serve([status(503), status(429, headers={"Retry-After": "0"}), listing("a")], [events()])
    assert server.client().get(PODS)["items"]


def test_requests_give_up(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve([status(503, "ServiceUnavailable")], [events()])
    with pytest.raises(KubernetesError) as caught:
        server.client().request("GET", PODS, retry_seconds=0.5)
    assert caught.value.status == 503


def test_a_field_that_the_schema_lacks_is_not_tried_again(serve: Callable[..., Server]) -> None:
    text = (
        "failed to create typed patch object (n/x; apps/v1, Kind=DaemonSet): .spec.typo: field not declared in schema"
    )
    server = serve([status(500, message=text)], [events()])
    with pytest.raises(KubernetesError, match="typo") as caught:
        server.client().get(PODS)
    assert caught.value.reason == "Invalid"
    assert len(server.requests) == 1


def test_expired_credentials(serve: Callable[..., Server]) -> None:
    server = serve([status(401, "Unauthorized")], [events()])
    with pytest.raises(CredentialPluginFailed, match="expired"):
        server.client().get(PODS)


def test_name_that_does_not_resolve() -> None:
    client = Client(
        Access("https://x.privatelink.westus2.azmk8s.invalid:443", Credentials({}, {}, "", nothing, no_program))
    )
    with pytest.raises(Unreachable, match="private AKS cluster") as caught:
        client.get(PODS)
    assert not caught.value.transient


def test_answer_that_is_no_json(serve: Callable[..., Server]) -> None:
    def page(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "6")
        handler.end_headers()
        handler.wfile.write(b"<html>")

    with pytest.raises(KubernetesError, match="not JSON"):
        serve([page], [events()]).client().get(PODS)


def test_netrc_and_environment_do_not_win(
    serve: Callable[..., Server], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[str | None] = []

    def look(handler: Handler) -> None:
        seen.append(handler.headers.get("Authorization"))
        listing("a")(handler)

    server = serve([look], [events()])
    access = Access(f"http://127.0.0.1:{server.server_port}", Credentials({"token": "t"}, {}, "", nothing, no_program))
    Client(access).get(PODS)
    Client(Access(access.server, Credentials({}, {}, "", nothing, no_program))).get(PODS)
    assert seen == ["Bearer t", None]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_ends_the_wait(serve: Callable[..., Server]) -> None:
    def broken(_found: dict[str, Any]) -> dict[str, Any]:
        raise SystemExit

    with pytest.raises(KubernetesError, match="ended by an error"):
        until(serve([listing("a")], [events()]), {"a"}, keep=broken)


def test_log_that_ends_while_its_container_runs_is_opened_again(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_watch, "REOPEN_SECONDS", 0.0)
    monkeypatch.setattr(_watch, "TICK_SECONDS", 0.1)

    steps = [log("1 one"), status(403, "Forbidden"), log("1 one", "2 two"), log("1 one", "2 two", "3 three")]
    assert read_log(serve([listing("a")], steps), running_until=2)[0] == ["one", "two", "three"]
