# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of a recording: private, whole lines of several processes, refused at the start when it can't be written."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._azure import _libraries as libraries
from ansible_collections.aks.gpu.plugins.module_utils._azure._client import unauthenticated
from ansible_collections.aks.gpu.plugins.module_utils._azure._recording import (
    VARIABLE,
    Recording,
    RecordingPolicy,
    recording_policies,
)

ROOT = Path(__file__).parents[5]
SUBSCRIPTION = "6f1c9a52-6f3c-4c39-9d3b-3f8ad7d1a111"
PATH = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/contoso-prod"
FIELDS = ["time", "method", "url", "request_headers", "request_body", "status", "response_headers", "response_body"]
"""As tests/sandbox/aks_sandbox/arm/recording.py has them."""


class Handler(BaseHTTPRequestHandler):
    """Answers everything with one JSON object, and /subscriptions/reset with nothing."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/subscriptions/reset"):
            self.close_connection = True
            return
        body = json.dumps({"id": PATH, "name": "contoso-prod", "location": "westus2"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *_args: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def entry(number: int) -> dict[str, Any]:
    return {
        "method": "GET",
        "url": f"https://management.azure.com/subscriptions/{SUBSCRIPTION}/resourceGroups/group-of-{number}?api-version=x",
        "request_headers": {},
        "request_body": None,
        "status": 200,
        "response_headers": {},
        "response_body": {"name": f"group-of-{number}", "padding": [number] * 3000},
    }


def test_nothing_is_recorded_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, ""):
        monkeypatch.delenv(VARIABLE, raising=False)
        if value is not None:
            monkeypatch.setenv(VARIABLE, value)
        assert recording_policies() == []


def test_requests_of_resource_manager_are_recorded(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "recording.jsonl"
    monkeypatch.setenv(VARIABLE, str(path))
    client = unauthenticated(server, None, recording_policies())
    sent = {"properties": {"vmSize": "Standard_NC4as_T4_v3", "tags": {"owner": "Miller"}}}
    headers = {"Authorization": "Bearer eyJsecret"}
    answer = client.send_request(
        libraries.HttpRequest("PUT", f"{server}{PATH}?api-version=2026-08-01", json=sent, headers=headers)
    )
    assert answer.json()["name"] == "contoso-prod"  # whoever asked gets what was answered
    client.send_request(libraries.HttpRequest("GET", f"{server}/metadata/endpoints"))
    client.send_request(libraries.HttpRequest("GET", f"{server}/v1/workspaces/x/query"))
    with pytest.raises(libraries.CoreError):
        client.send_request(libraries.HttpRequest("GET", f"{server}/subscriptions/reset"))
    put, lost = lines(path)
    assert list(put) == FIELDS
    assert (put["method"], put["status"], lost["method"], lost["status"]) == ("PUT", 200, "GET", 0)
    assert put["url"].endswith("/resourceGroups/group-1?api-version=2026-08-01")
    assert put["request_body"]["properties"] == {"vmSize": "Standard_NC4as_T4_v3", "tags": {"label-1": "value-1"}}
    assert put["response_body"] == {
        "id": "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/group-1",
        "name": "group-1",
        "location": "westus2",
    }
    assert lost["response_body"] is None
    text = path.read_text() + path.with_name("recording.jsonl.names").read_text()
    for told in (SUBSCRIPTION, "contoso", "Miller", "owner", "eyJsecret", "127.0.0.1"):
        assert told not in text


def test_its_files_are_private(tmp_path: Path) -> None:
    umask = os.umask(0)  # which would allow more
    try:
        Recording(tmp_path / "r").append(entry(1))
    finally:
        os.umask(umask)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {"r": 0o600, "r.names": 0o600}


APPEND = """
import json, sys
from pathlib import Path
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader([sys.argv[1]])
from ansible_collections.aks.gpu.plugins.module_utils._azure._recording import Recording
for line in sys.stdin:
    Recording(Path(sys.argv[2])).append(json.loads(line))
"""


def test_several_processes_write_whole_lines_with_the_same_stand_ins(tmp_path: Path) -> None:
    path = tmp_path / "r"
    command = [sys.executable, "-c", APPEND, str(ROOT / ".dev" / "collections"), str(path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _each in range(3)]
    for number in range(8):
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(entry(number)) + "\n")
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    written = lines(path)
    assert len(written) == 24
    stand_ins = {(each["response_body"]["padding"][0], each["response_body"]["name"]) for each in written}
    assert len(stand_ins) == 8
    assert {name for _number, name in stand_ins} == {f"group-{number + 1}" for number in range(8)}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("relative/r", "not an absolute path"),
        ("{}/missing/r", "No such file"),
        ("{}", "Is a directory"),
        ("{}/link", "symbolic"),
    ],
)
def test_what_cannot_be_written_is_refused_at_the_start(
    path: str, said: str, tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv(VARIABLE, path.format(tmp_path))
    with pytest.raises(Failure, match=VARIABLE) as refused:
        unauthenticated(server, None, recording_policies())
    assert said in str(refused.value)


def test_a_recording_without_its_names_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "r"
    Recording(path).append(entry(1))
    (tmp_path / "r.names").unlink()
    with pytest.raises(Failure, match=r"r\.names is missing"):
        Recording(path)


def test_a_full_disk_ends_no_run_and_leaves_no_half_line(tmp_path: Path, server: str) -> None:
    told: list[str] = []
    path = tmp_path / "r"
    client = unauthenticated(server, None, [RecordingPolicy(Recording(path), told.append)])
    client.send_request(libraries.HttpRequest("GET", f"{server}{PATH}"))
    size = path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limits[1]))
    try:
        answer = client.send_request(libraries.HttpRequest("GET", f"{server}{PATH}"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (answer.status_code, path.stat().st_size) == (200, size)
    assert len(told) == 1
    assert "missing in" in told[0]
    assert len(lines(path)) == 1
