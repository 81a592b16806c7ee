# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plain HTTP client of Resource Manager that keeps every exchange. It knows no SDK and nothing of the tables."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import requests

Json = dict[str, Any]
FINAL = ("Succeeded", "Failed", "Canceled")
PAUSE_SECONDS = 0.04
PATIENCE_SECONDS = 30.0


class Stopped(Exception):
    """A sequence can't go on: an answer lacks what the next step needs."""


class Client:
    """Asks, waits, and keeps what was said.

    Attributes:
        exchanges: all of them, in the format of the sandbox's traffic; tokens are left out.
        version: the api-version of the requests that name none.
    """

    def __init__(self, url: str, token: str, certificates: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = certificates
        self._session.headers["Authorization"] = f"Bearer {token}"
        self.exchanges: list[Json] = []
        self.version = ""

    def ask(
        self, method: str, path: str, body: Any = None, version: str = "", headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """One request; `path` below the server's root, or a whole URL with its api-version."""
        url = path if path.startswith("https:") else self._url + path
        query = {} if "api-version=" in url else {"api-version": version or self.version}
        answer = self._session.request(method, url, params=query, json=body, headers=dict(headers or {}), timeout=30)
        sent = {name.lower(): value for name, value in answer.request.headers.items() if name != "Authorization"}
        self.exchanges.append(
            {
                "method": method,
                "url": answer.request.url,
                "request_headers": sent,
                "request_body": json.loads(json.dumps(body)),
                "status": answer.status_code,
                "response_headers": dict(answer.headers),
                "response_body": _json(answer),
            }
        )
        return answer

    def accepted(self, answer: requests.Response) -> requests.Response:
        """The answer itself.

        Raises:
            Stopped: the request was refused.
        """
        if answer.status_code >= 400:
            raise Stopped(
                f"{answer.request.method} {answer.request.path_url}: {answer.status_code} {answer.text[:200]}"
            )
        return answer

    def wait(self, answer: requests.Response, watched: str = "") -> str:
        """Follow the operation that an answer leads to.

        Args:
            answer: of the request that began it.
            watched: path of a resource that is read meanwhile, and once more at the end.

        Returns:
            How it ended.

        Raises:
            Stopped: there is no operation, or it doesn't end.
        """
        url = self.accepted(answer).headers.get("azure-asyncoperation")
        if not url:
            raise Stopped(f"{answer.request.method} {answer.request.path_url}: there is no azure-asyncoperation")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            status = self.accepted(self.ask("GET", url)).json()["status"]
            if watched:
                self.ask("GET", watched)
            if status in FINAL:
                return str(status)
            if time.monotonic() > deadline:
                raise Stopped(f"{url.partition('?')[0]} is {status} after {PATIENCE_SECONDS:g} s")
            time.sleep(PAUSE_SECONDS)

    def body(self, path: str) -> Json:
        """A resource now.

        Raises:
            Stopped: it is not there.
        """
        return dict(self.accepted(self.ask("GET", path)).json())


def signed_in(url: str, tenant: str, client_id: str, secret: str, certificates: str) -> Client:
    """A client with a token for Resource Manager, got by client credentials."""
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": secret,
        "scope": "https://management.azure.com/.default",
    }
    answer = requests.post(f"{url}/{tenant}/oauth2/v2.0/token", data=form, verify=certificates, timeout=30)
    answer.raise_for_status()
    return Client(url, answer.json()["access_token"], certificates)


def _json(answer: requests.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError:
        return answer.text
