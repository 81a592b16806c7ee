"""The record of the traffic: one JSON object a line, without secrets.

Fields: `method`, `url`, `request_headers`, `request_body`, `status`, `response_headers`, `response_body`, and `time`.
A status of 0 says that the connection was reset. Secrets, assertions, passwords, tokens and kubeconfigs are replaced.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from .calls import Call

Json = dict[str, Any]
REDACTED = "REDACTED"
SECRET_FIELDS = {"client_secret", "client_assertion", "password", "assertion", "refresh_token", "code"}
SECRET_ANSWERS = {"access_token", "refresh_token", "id_token", "value"}


class Recording:
    """Appends to one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.enabled = True
        self._file = path.open("ab")

    def write(self, call: Call, url: str, status: int, headers: dict[str, str], answer: Any, secret: bool) -> None:
        """Record one exchange. `answer` as bytes of JSON, or as a value."""
        if not self.enabled:
            return
        sent = {name: value for name, value in call.headers.items() if name not in ("authorization", "secret")}
        if "authorization" in call.headers:
            sent["authorization"] = f"{call.headers['authorization'].partition(' ')[0]} {REDACTED}"
        entry = {
            "time": time.time(),
            "method": call.method,
            "url": call.base_url + url,
            "request_headers": sent,
            "request_body": _request_body(call),
            "status": status,
            "response_headers": headers,
        }
        line = json.dumps(entry, separators=(",", ":")).encode()
        self._file.write(line[:-1] + b',"response_body":' + _answer_bytes(answer, secret) + b"}\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _request_body(call: Call) -> Any:
    if not call.body:
        return None
    if call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        pairs = parse_qsl(call.body.decode(errors="replace"), keep_blank_values=True)
        return {name: REDACTED if name in SECRET_FIELDS else value for name, value in pairs}
    try:
        body = json.loads(call.body)
        if isinstance(body, dict) and "clusterToken" in body:
            body["clusterToken"] = REDACTED
        return body
    except ValueError:
        return call.body.decode(errors="replace")


def _answer_bytes(answer: Any, secret: bool) -> bytes:
    if not isinstance(answer, bytes):
        return json.dumps(answer).encode()
    if not answer:
        return b"null"
    if not secret:
        return answer
    return json.dumps(_without_secrets(json.loads(answer))).encode()


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: REDACTED if name in SECRET_ANSWERS and isinstance(each, str) else _without_secrets(each)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(each) for each in value]
    return value
