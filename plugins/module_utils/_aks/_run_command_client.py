# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An API server that only AKS itself can reach: requests travel in files of a run-command, answers in its output.

AKS runs a command in a Pod of the cluster, from an image with kubectl. The command is always the same; a script, and
the requests as they go over the wire, are files that AKS hands to it. The script sends them through ``kubectl proxy``,
so that whatever this room asks of an API server, and what that answers, is the same as over a network.
https://learn.microsoft.com/azure/aks/access-private-cluster
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import re
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded, Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import Access
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import (
    Client,
    ReadRequest,
    error_from_response,
    is_transient,
    target_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import KubernetesError, Unreachable
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._http import ApiResponse
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._logs import LogPlace
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._text import (
    bounded_lines,
    log_text,
    visible,
    visible_tree,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._watch import Query, State, Watch, observe

CommandRunner = Callable[[str, bytes], tuple[int, str]]
"""Runs a command line in the cluster, with a zip of its files; returns its exit status and all that it printed."""

COMMAND = "bash aks-gpu.sh"
MOST_LOGGED = 512 * 1024
"""AKS cuts a command's output off here (bytes)."""

MOST_OF_LOGS = 1024 * 1024
"""So much of all logs of a look is read (bytes), the same of each, its end; packed, it has room in an output."""

RUN_COMMAND_FIRST_PAUSE = 2.0
RUN_COMMAND_LONGEST_PAUSE = 10.0
"""Seconds between two looks of a wait; each look starts a Pod."""

RUN_COMMAND_SCRIPT = r"""#!/bin/bash
# Sends the requests r0, r1, ... to the API server, and prints what it answers: packed, since output is limited.
set -u
work=$(mktemp -d) || exit 90
trap 'kill "$proxy" 2>/dev/null; rm -rf "$work"' EXIT
kubectl proxy --port=0 --reject-paths='^$' >"$work/proxy" 2>&1 &
proxy=$!
port=
for _ in $(seq 200); do
  port=$(sed -n 's/^Starting to serve on .*:\([0-9][0-9]*\)$/\1/p' "$work/proxy")
  [ -n "$port" ] && break
  kill -0 "$proxy" 2>/dev/null || break
  sleep 0.1
done
[ -n "$port" ] || { cat "$work/proxy"; exit 91; }
number=0
while [ -e "r$number" ]; do
  exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 92
  cat "r$number" >&3
  if [ -e "t$number" ]; then
    # Of a log the end counts, and one more byte than there is room for tells that it was cut.
    while IFS= read -r line <&3; do printf '%s\n' "$line"; [ "$line" != $'\r' ] || break; done >"$work/a$number"
    tail -c "$(($(cat "t$number") + 1))" <&3 >>"$work/a$number"
  else
    cat <&3 >"$work/a$number"
  fi
  exec 3>&-
  number=$((number + 1))
done
echo aks-gpu-begin
for ((each = 0; each < number; each++)); do
  wc -c <"$work/a$each"
  cat "$work/a$each"
done | gzip -c | base64
echo aks-gpu-end
"""
"""Needs bash, coreutils, gzip, sed and kubectl: what the image of AKS's run-command has."""

_OUTPUT = re.compile(r"aks-gpu-begin\s(.*)aks-gpu-end", re.DOTALL)


def encode_request(method: str, target: str, fields: Iterable[tuple[str, str]], data: bytes | None) -> bytes:
    """Returns a request as it goes over the wire; by HTTP/1.0, so that the answer ends with its connection.

    Args:
        method: The HTTP method.
        target: Path and query.
        fields: Header fields.
        data: The body, or None.
    """
    length = [("Content-Length", str(len(data)))] if data is not None else []
    lines = (f"{name}: {value}" for name, value in (("Host", "localhost"), *fields, *length))
    return "\r\n".join([f"{method} {target} HTTP/1.0", *lines, "", ""]).encode("latin-1") + (data or b"")


def pack_requests(requests: Sequence[bytes], ends: Mapping[int, int] | None = None) -> bytes:
    """Returns the zip of the files of a command.

    Args:
        requests: As they go over the wire.
        ends: For requests by number how many bytes of their answers' ends are wanted, and one more if there are more.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("aks-gpu.sh", RUN_COMMAND_SCRIPT)
        for number, request in enumerate(requests):
            archive.writestr(f"r{number}", request)
        for number, size in (ends or {}).items():
            archive.writestr(f"t{number}", str(size))
    return buffer.getvalue()


def unpack_responses(status: int, output: str) -> list[ApiResponse]:
    """Returns the answers that a command printed.

    Args:
        status: Its exit status.
        output: All that it printed.

    Raises:
        Unreachable: It could not do its work, or printed more than AKS hands on.
    """
    found = _OUTPUT.search(output)
    if found is None:
        said = " ".join(visible(output).split())[-500:] or "nothing"
        if "aks-gpu-begin" in output:
            raise Unreachable(
                f"The cluster's answer is larger than the {MOST_LOGGED // 1024} KB that AKS's run-command hands on.",
                hint="Run this from the cluster's own network.",
                transient=False,
            )
        raise Unreachable(
            f"AKS's run-command could not ask the API server: it ended with {status} and said: {said}", transient=True
        )
    try:
        stream = gzip.decompress(base64.b64decode("".join(found[1].split()), validate=True))
    except (binascii.Error, OSError, EOFError, zlib.error) as error:
        raise Unreachable(f"The output of AKS's run-command can't be read: {error}.", transient=True) from error
    answers = []
    while stream:
        size, _newline, rest = stream.partition(b"\n")
        answers.append(_parse_response(rest[: int(size)]))
        stream = rest[int(size) :]
    return answers


def _parse_response(raw: bytes) -> ApiResponse:
    head, _blank, content = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode(errors="replace").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise Unreachable("The API server did not answer AKS's run-command.", transient=True)
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    return ApiResponse(int(words[1]), words[2] if len(words) > 2 else "", headers, content)


@dataclass(frozen=True)
class LogReadRequest(ReadRequest):
    """A log of which the end is read.

    Attributes:
        end: So many bytes. The answer has one more when the log is longer.
    """

    end: int = MOST_OF_LOGS


class RunCommandClient(Client):
    """Speaks with an API server by AKS's run-command.

    Args:
        access: The server, by its name.
        execute: Runs commands in its cluster.
    """

    def __init__(self, access: Access, execute: CommandRunner) -> None:
        super().__init__(access)
        self._execute = execute

    def read_many(self, asks: Sequence[ReadRequest]) -> list[Any]:
        """Sends requests by one command, and returns their answers: the objects, or the errors."""
        answers = self._send_requests(
            [self._wire("GET", target_of(ask.path, ask.query), {"Accept": ask.accept}, None) for ask in asks],
            {number: ask.end for number, ask in enumerate(asks) if isinstance(ask, LogReadRequest)},
        )
        return [self._to_result(ask, answer) for ask, answer in zip(asks, answers, strict=True)]

    def _wire(self, method: str, target: str, headers: dict[str, str], body: Any) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        return encode_request(method, target, (*headers.items(), *self.access.impersonation), data)

    def _send_requests(self, requests: Sequence[bytes], ends: Mapping[int, int] | None = None) -> list[ApiResponse]:
        answers = unpack_responses(*self._execute(COMMAND, pack_requests(requests, ends)))
        if len(answers) != len(requests):
            raise Unreachable("AKS's run-command did not hand all answers on.", transient=True)
        return answers

    def _to_result(self, ask: ReadRequest, answer: ApiResponse) -> Any:
        if answer.status_code >= 300:
            return error_from_response("GET", ask.path, answer, self.access.credentials.kind)
        if isinstance(ask, LogReadRequest):
            return answer.content
        if ask.accept == "*/*":
            return answer.content.decode(errors="replace")
        try:
            return answer.json()
        except ValueError:
            return KubernetesError(f"GET {ask.path}: the answer of {self.access.server} is not JSON.")

    def _carry(
        self, method: str, target: str, headers: dict[str, str], body: Any, read_seconds: float, *, stream: bool
    ) -> ApiResponse:
        if stream:
            raise KubernetesError("Nothing can be followed through AKS's run-command.")
        (answer,) = self._send_requests([self._wire(method, target, headers, body)])
        return answer


class RunCommandWatch(Watch):
    """Looks again and again, where nothing can be followed: all collections and logs by one command a look.

    Args:
        client: Speaks with the API server.
        queries: The collections.
    """

    def __init__(self, client: RunCommandClient, queries: dict[str, Query]) -> None:
        super().__init__(client, queries)
        self._remote = client
        self._wanted: dict[str, _Log] = {}
        self._heard = self._looked = time.monotonic()

    def __enter__(self) -> RunCommandWatch:
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing runs."""

    def follow_log(self, key: str, path: str, container: str, *, running: bool) -> None:
        """Reads a container's log at each look, until it was read after its container had ended."""
        log = self._wanted.setdefault(key, _Log(path, container))
        log.final = not running

    @property
    def silence(self) -> float:
        """Seconds since bytes of a log came, as of a look that has been taken since."""
        return self._looked - self._heard

    def states(self, deadline: Deadline) -> Iterator[State]:
        """Yields the state after each look; the first look is always taken.

        Raises:
            KubernetesError: A collection can't be read.
            DeadlineExceeded: The cluster did not answer in time.
        """
        state = State()
        pause = RUN_COMMAND_FIRST_PAUSE
        seen = False
        while not (seen and deadline.expired):
            try:
                self._look(state)
                seen, pause = True, min(RUN_COMMAND_LONGEST_PAUSE, pause * 1.5) if seen else RUN_COMMAND_FIRST_PAUSE
            except Failure as error:
                # Once it has worked, a command that can't be run, for want of room for its Pod, say, may work again.
                if not seen and not (isinstance(error, KubernetesError) and is_transient(error)):
                    raise
                if deadline.expired and not seen:
                    raise DeadlineExceeded(f"The cluster did not answer in time. {error}") from error
                state.lost = str(error)
            if seen:
                yield state
                state.lines = []
            unread = any(log.final and not log.read for log in self._wanted.values())
            time.sleep(0.0 if unread else min(pause, max(deadline.remaining(), 0.0)))

    def _look(self, state: State) -> None:
        logs = {key: log for key, log in self._wanted.items() if not log.read}
        asks = [ReadRequest(query.path, _selectors(query)) for query in self._queries.values()]
        end = MOST_OF_LOGS // max(1, len(logs))
        asks += [
            LogReadRequest(f"{log.path}/log", {"container": log.container, **log.place.query()}, "*/*", end)
            for log in logs.values()
        ]
        final = {key for key, log in logs.items() if log.final}
        answers = iter(self._remote.read_many(asks))
        for (name, query), answer in zip(self._queries.items(), answers, strict=False):
            if isinstance(answer, KubernetesError):
                if not query.optional or not (is_transient(answer) or answer.status in (403, 404)):
                    raise answer
                state.objects.setdefault(name, {})
                if answer.status != 404:
                    state.denied[name] = str(answer)
                continue
            state.denied.pop(name, None)
            kept = {item["metadata"]["uid"]: visible_tree(query.keep(item)) for item in answer.get("items") or []}
            now = {uid: found for uid, found in kept.items() if found is not None}
            if query.remember:
                left = {uid: old for uid, old in state.objects.get(name, {}).items() if uid not in now}
                state.gone.setdefault(name, {}).update(left)
            state.objects[name] = now
        self._looked = time.monotonic()
        for (key, log), answer in zip(logs.items(), answers, strict=True):
            self._take_log(state, key, log, answer, end)
            if key in final:
                log.read = True
                state.ended.add(key)
        state.lost = None

    def _take_log(self, state: State, key: str, log: _Log, answer: bytes | KubernetesError, end: int) -> None:
        if isinstance(answer, KubernetesError):
            # What was read at an earlier look, of a Pod that has gone since, may lack its end all the same.
            state.unread[key] = answer
            return
        state.unread.pop(key, None)
        if len(answer) > end:
            state.cut.add(key)
            _part, _newline, answer = answer.partition(b"\n")
        new = [line for line in map(log.place.take, bounded_lines([answer])) if line is not None]
        if new:
            self._heard = self._looked
        state.lines += [(key, log_text(line)) for line in new]


@dataclass
class _Log:
    path: str
    container: str
    place: LogPlace = field(default_factory=LogPlace)
    final: bool = False
    read: bool = False


def _selectors(query: Query) -> dict[str, Any]:
    return {"labelSelector": query.label_selector, "fieldSelector": query.field_selector}


@observe.register
def _observe_by_run_command(client: RunCommandClient, queries: dict[str, Query]) -> Watch:
    return RunCommandWatch(client, queries)
