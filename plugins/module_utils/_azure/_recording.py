# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A recording of the traffic with Resource Manager, for a report of a fault: without names or secrets.

Each line is an exchange, a JSON object with ``time`` (seconds since 1970), ``method``, ``url``, ``request_headers``,
``request_body``, ``status`` (0: the connection was lost), ``response_headers`` and ``response_body``.
``_redaction.py`` says what of them is kept. Sign-in, data planes and Kubernetes are not recorded.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._files import PRIVATE, write_private
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Progress
from ansible_collections.aks.gpu.plugins.module_utils._azure import _libraries as libraries

if TYPE_CHECKING:
    from ansible_collections.aks.gpu.plugins.module_utils._azure._redaction import Names

VARIABLE = "AKS_GPU_RECORDING"
"""Environment variable with the absolute path of the recording; unset or empty: nothing is recorded."""

NAMES_SUFFIX = ".names"
"""What is added to the recording's path for the file by which its stand-ins are kept the same."""


def recording_policies() -> list[Any]:
    """Returns azure-core's policy that records, where the environment asks for it; else nothing.

    Raises:
        Failure: The recording can't be written.
    """
    path = os.environ.get(VARIABLE)
    return [RecordingPolicy(Recording(Path(path).expanduser()))] if path else []


class Recording:
    """A file to which the processes of several runs append.

    Beside it is a file with keyed digests of what the stand-ins stand for. It holds no name, but whoever has it can try
    whether a name that they guess is one of them.

    Args:
        path: The recording. It is made with mode 0600 when it is not there.

    Raises:
        Failure: It can't be written, or the file beside it is missing.
    """

    def __init__(self, path: Path) -> None:
        # Few runs need it, and loading its patterns takes 13 ms of CPU.
        from ansible_collections.aks.gpu.plugins.module_utils._azure import _redaction

        self._redaction = _redaction
        self.path = path
        self.names_path = path.with_name(path.name + NAMES_SUFFIX)
        if not path.is_absolute():
            raise Failure(f"{VARIABLE}: {path} is not an absolute path.")
        try:
            with self._locked() as descriptor:
                if not self.names_path.exists():
                    if os.fstat(descriptor).st_size:
                        raise Failure(
                            f"{VARIABLE}: {path} is a recording whose {self.names_path.name} is missing: what is added "
                            "would call the same things otherwise.",
                            hint="Name a new file.",
                        )
                    self._write_names(_redaction.Names())
        except OSError as error:
            raise Failure(
                f"{VARIABLE}: {path} can't be written: {error.strerror or error}.",
                hint="Name a file in a directory that exists and that you may write to, or unset the variable.",
            ) from error

    def append(self, entry: Mapping[str, Any]) -> None:
        """Redacts an exchange and appends it.

        Args:
            entry: See ``_redaction.redacted``.

        Raises:
            OSError: It could not be written; the recording is as it was.
            ValueError: The file beside the recording is no longer what it was.
        """
        with self._locked() as descriptor:
            names = self._redaction.Names(json.loads(self.names_path.read_text(encoding="utf-8")))
            line = (
                json.dumps(
                    {"time": round(time.time(), 3), **self._redaction.redacted(entry, names)}, separators=(",", ":")
                )
                + "\n"
            )
            if names.grown:
                self._write_names(names)
            _write_whole(descriptor, line.encode())

    def _write_names(self, names: Names) -> None:
        write_private(self.names_path, json.dumps(names.state()))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path, flags, PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def _write_whole(descriptor: int, line: bytes) -> None:
    """Appends a line as a whole, or leaves the file as it was."""
    size = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError("only a part could be written")
    except OSError:
        os.ftruncate(descriptor, size)
        raise


class RecordingPolicy(libraries.HTTPPolicy[Any, Any]):
    """Records what passes: the last policy, so that it sees what is sent.

    Args:
        recording: Where to.
        say: Told when an exchange could not be recorded; the task goes on, for Azure may have acted already.
    """

    def __init__(self, recording: Recording, say: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self._recording = recording
        self._say = say or Progress()

    def send(self, request: Any) -> Any:
        """Sends a request and records it with its answer.

        Raises:
            CoreError: The connection was lost; that is recorded, too.
        """
        sent = request.http_request
        if not urlsplit(sent.url).path.lower().startswith(("/subscriptions", "/providers")):
            return self.next.send(request)
        try:
            response = self.next.send(request)
        except libraries.CoreError:
            self._record(sent, 0, {}, None)
            raise
        answer = response.http_response
        self._record(sent, answer.status_code, dict(answer.headers), answer.read())
        return response

    def _record(self, sent: Any, status: int, headers: Mapping[str, str], content: bytes | None) -> None:
        entry = {
            "method": sent.method,
            "url": sent.url,
            "request_headers": dict(sent.headers),
            "request_body": _parsed(sent.content),
            "status": status,
            "response_headers": headers,
            "response_body": _parsed(content),
        }
        try:
            self._recording.append(entry)
        except (OSError, ValueError) as error:
            self._say(f"{VARIABLE}: a request to Azure is missing in {self._recording.path}: {error}")


def _parsed(content: Any) -> Any:
    """Returns the JSON of a body, its text when it is none, None when it is empty."""
    if not content:
        return None
    if not isinstance(content, (str, bytes)):
        return "a body that is not a text"
    try:
        return json.loads(content)
    except ValueError:
        return content.decode("utf-8", "replace") if isinstance(content, bytes) else content
