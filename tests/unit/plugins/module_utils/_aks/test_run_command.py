# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests in files of a run-command, answers in its output; and what becomes of an output that is none."""

from __future__ import annotations

import base64
import gzip
import io
import itertools
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._aks._run_command_client import (
    COMMAND,
    RUN_COMMAND_SCRIPT,
    RunCommandClient,
    encode_request,
    pack_requests,
    unpack_responses,
)
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import Access, Credentials
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import ReadRequest
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import KubernetesError, Unreachable
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._watch import Query, State, observe
from hypothesis import given
from hypothesis import strategies as st


def no_program(*_unused: object) -> tuple[int, str, str]:
    raise AssertionError("there is no exec plugin to run")


def printed(*answers: bytes) -> str:
    """What the script prints."""
    stream = b"".join(b"%d\n%s" % (len(answer), answer) for answer in answers)
    text = base64.encodebytes(gzip.compress(stream, mtime=0)).decode()
    return f"Warning: something else\naks-gpu-begin\n{text}aks-gpu-end\n"


def http(status: str, body: bytes, *fields: str) -> bytes:
    return "\r\n".join([f"HTTP/1.0 {status}", *fields, "", ""]).encode() + body


def client(*outputs: tuple[int, str] | Exception) -> tuple[RunCommandClient, list[tuple[str, bytes]]]:
    """A client whose commands print these outputs in turn, and the commands that it ran."""
    coming, ran = iter(outputs), []

    def execute(command: str, files: bytes) -> tuple[int, str]:
        ran.append((command, files))
        output = next(coming)
        if isinstance(output, Exception):
            raise output
        return output

    access = Access("https://private", Credentials({}, {}, "/nowhere", lambda *_values: None, no_program))
    return RunCommandClient(access, execute), ran


@given(bodies=st.lists(st.binary(max_size=200), max_size=5))
def test_answers_of_any_bytes(bodies: list[bytes]) -> None:
    answers = unpack_responses(0, printed(*(http("200 OK", body, "Content-Type: x") for body in bodies)))
    assert [answer.content for answer in answers] == bodies


def test_files_of_a_command() -> None:
    request = encode_request("PATCH", "/api/v1/x?dryRun=All", [("Content-Type", "application/yaml")], b"{}")
    assert request == (
        b"PATCH /api/v1/x?dryRun=All HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/yaml\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )
    archive = zipfile.ZipFile(io.BytesIO(pack_requests([request, b"second"])))
    assert archive.namelist() == ["aks-gpu.sh", "r0", "r1"]
    assert archive.read("aks-gpu.sh").decode() == RUN_COMMAND_SCRIPT
    assert archive.read("r0") == request


def test_a_request_and_what_it_is_refused_with() -> None:
    refused = (
        b'{"kind": "Status", "reason": "NotFound", "message": "nodes \\"x\\" not found", "details": {"kind": "nodes"}}'
    )
    remote, ran = client((0, printed(http("200 OK", b'{"a": 1}'))), (0, printed(http("404 Not Found", refused))))
    assert remote.get("/api/v1/nodes", labelSelector="a=b", limit=None) == {"a": 1}
    with pytest.raises(KubernetesError) as caught:
        remote.get("/api/v1/nodes/x")
    assert (caught.value.status, caught.value.reason, caught.value.message) == (404, "NotFound", 'nodes "x" not found.')
    assert [command for command, _files in ran] == [COMMAND, COMMAND]
    first = zipfile.ZipFile(io.BytesIO(ran[0][1])).read("r0")
    assert first.startswith(b"GET /api/v1/nodes?labelSelector=a%3Db HTTP/1.0")


def test_many_at_once() -> None:
    forbidden = http("403 Forbidden", b'{"message": "pods is forbidden: User", "reason": "Forbidden"}')
    remote, ran = client((0, printed(http("200 OK", b"{}"), forbidden, http("200 OK", b"a\nb"))))
    found, refused, text = remote.read_many([ReadRequest("/a"), ReadRequest("/b"), ReadRequest("/c", accept="*/*")])
    assert (found, text, len(ran)) == ({}, "a\nb", 1)
    assert isinstance(refused, KubernetesError)
    assert refused.status == 403


@pytest.mark.parametrize(
    ("status", "output", "words", "transient"),
    [
        (127, "bash: kubectl: command not found", "ended with 127 and said: bash: kubectl", True),
        (0, "", "said: nothing", True),
        (1, "\x1b[2Jok: [localhost]\x07", r"said: ok: \[localhost\]\\x07", True),
        (0, "aks-gpu-begin\nH4sIA", "larger than the 512 KB", False),
        (0, "aks-gpu-begin\n!!!!\naks-gpu-end", "can't be read", True),
        (0, printed(b""), "did not answer", True),
    ],
)
def test_output_that_is_none(status: int, output: str, words: str, transient: bool) -> None:
    with pytest.raises(Unreachable, match=words) as caught:
        unpack_responses(status, output)
    assert caught.value.transient is transient


def test_looks_go_on_when_a_command_could_not_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    node = b'{"items": [{"metadata": {"uid": "1", "name": "%s"}}]}'
    remote, _ran = client(
        (0, printed(http("200 OK", node % b"a"))),
        Failure("AKS could not do it."),
        (0, printed(http("200 OK", node % b"b"))),
    )
    with observe(remote, {"nodes": Query("/api/v1/nodes")}) as watch:
        states = watch.states(Deadline(60))
        assert [each["metadata"]["name"] for each in next(states).all("nodes")] == ["a"]
        assert next(states).lost == "AKS could not do it."
        state = next(states)
        assert (state.lost, [each["metadata"]["name"] for each in state.all("nodes")]) == (None, ["b"])


def test_the_first_look_has_to_succeed() -> None:
    remote, _ran = client(Failure("You may not."))
    with observe(remote, {"nodes": Query("/api/v1/nodes")}) as watch, pytest.raises(Failure, match="You may not"):
        next(watch.states(Deadline(60)))


STAND_IN = r"""#!/usr/bin/env python3
import http.server, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        code = 200 if "log" in self.path else 404
        self.send_response(code)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        if code == 200:
            with open(os.environ["THE_LOG"], "rb") as log:
                self.wfile.write(log.read())
        else:
            self.wfile.write(b'{"kind": "Status", "reason": "NotFound", "message": "no"}')

    def log_message(self, *_unused):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"Starting to serve on 127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""
"""What ``kubectl proxy`` is to the script: its first line of output, and HTTP."""


@pytest.fixture
def with_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], RunCommandClient]:
    """A client whose commands run the real script, in a directory with its files, as AKS does."""

    def make(log: bytes) -> RunCommandClient:
        (tmp_path / "log").write_bytes(log)
        (tmp_path / "kubectl").write_text(STAND_IN)
        (tmp_path / "kubectl").chmod(0o755)
        count = itertools.count()

        def execute(command: str, files: bytes) -> tuple[int, str]:
            folder = tmp_path / f"run{next(count)}"
            zipfile.ZipFile(io.BytesIO(files)).extractall(folder)
            environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "THE_LOG": str(tmp_path / "log")}
            done = subprocess.run(
                command.split(), cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
            )
            assert len(done.stdout) <= 512 * 1024
            return done.returncode, done.stdout

        access = Access("https://private", Credentials({}, {}, "/nowhere", lambda *_values: None, no_program))
        return RunCommandClient(access, execute)

    return make


def stamped(*texts: str, begin: int = 0) -> bytes:
    """A log with the times of its lines, as the kubelet sends it."""
    return b"".join(
        f"2026-08-01T10:{number // 60 % 60:02}:{number % 60:02}.{number:09}Z {text}\n".encode()
        for number, text in enumerate(texts, begin)
    )


def looked(remote: RunCommandClient, looks: int = 1, **query: Any) -> tuple[list[str], State]:
    lines: list[str] = []
    with observe(remote, {"pods": Query("/pods", optional=True, **query)}) as watch:
        watch.follow_log("k", "/log-of-pod", "c", running=looks > 1)
        states = watch.states(Deadline(60))
        for number in range(looks):
            state = next(states)
            lines += [line for _key, line in state.lines]
            watch.follow_log("k", "/log-of-pod", "c", running=number + 2 < looks)
    return lines, state


def test_the_end_of_a_long_log_is_read(with_proxy: Callable[[bytes], RunCommandClient]) -> None:
    """Findings C6: of a log of 1.3 MB the first megabyte was read, and a complete Job failed."""
    texts = [f"step {number} {number * 2654435761 % 2**32:08x}" + " ." * 20 for number in range(20_000)]
    log = b"".join(f"2026-08-01T10:00:00.{number:09}Z {text}\n".encode() for number, text in enumerate(texts))
    assert len(log) > 1.3e6
    lines, state = looked(with_proxy(log))
    assert lines == texts[-len(lines) :]
    assert len(lines) > 8_000
    assert "k" in state.cut


@pytest.mark.parametrize("size", [0, 1, 40])
def test_a_log_that_fits_is_not_cut(with_proxy: Callable[[bytes], RunCommandClient], size: int) -> None:
    texts = [f"line {number}" for number in range(size)]
    lines, state = looked(with_proxy(stamped(*texts)))
    assert (lines, state.cut, state.ended) == (texts, set(), {"k"})


def test_a_log_is_read_on_where_it_was_left(
    with_proxy: Callable[[bytes], RunCommandClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Findings C5 and C6: looks that read the same lines again, each told once."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    assert looked(with_proxy(stamped("one", "two", "two")), looks=3)[0] == ["one", "two", "two"]


def test_not_there_is_not_denied(with_proxy: Callable[[bytes], RunCommandClient]) -> None:
    """Findings C6: an optional collection that the cluster does not know is empty."""
    _lines, state = looked(with_proxy(b""))
    assert state.denied == {}
    assert state.all("pods") == []
