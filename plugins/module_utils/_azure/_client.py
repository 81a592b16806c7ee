# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to Azure Resource Manager, and the one policy by which they are repeated.

Bodies are plain JSON in both directions, so that a field this collection does not know survives a round trip.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded, Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, Progress
from ansible_collections.aks.gpu.plugins.module_utils._azure import _libraries as libraries
from ansible_collections.aks.gpu.plugins.module_utils._azure._cloud import Cloud
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import (
    AzureError,
    ConnectionFailed,
    error_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._azure._sign_in import Tokens

API_VERSIONS = {
    "containerservice": "2026-08-01",
    "features": "2021-07-01",
    "providers": "2025-04-01",
    "resource_groups": "2025-04-01",
    "skus": "2021-07-01",
    "usages": "2026-04-01",
    "subscriptions": "2022-12-01",
    "permissions": "2022-04-01",
    "subnets": "2024-05-01",
    "workspaces": "2023-09-01",
    "data_collection": "2022-06-01",
    "monitor_accounts": "2023-04-03",
}
"""The version of each interface of Resource Manager that is used, here and nowhere else."""

CONNECT_SECONDS = 10
READ_SECONDS = 60
FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
CONNECTION_ATTEMPTS = 6
SERVER_ERROR_ATTEMPTS = 8
BUSY_FIRST_DELAY = 2.0

_PASSING = {408, 429, 500, 502, 503, 504}
_ID_HEADERS = ("x-ms-request-id", "x-ms-correlation-request-id")


@dataclass(frozen=True)
class Answer:
    """What Azure answered.

    Attributes:
        status: The HTTP status, below 300, or 404 where that was asked for.
        body: The parsed JSON, or None when there was none.
        headers: By lower-case name.
    """

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def retry_after(self) -> float | None:
        """Seconds after which Azure wants to be asked again, or None."""
        return retry_after(self.headers)


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Returns the seconds that a header ``Retry-After`` names, be it as a number or as a date; None without one."""
    for name, unit in (("retry-after-ms", 1000.0), ("x-ms-retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name)
        if not text:
            continue
        try:
            return max(0.0, float(text) / unit)
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - now())
        except (TypeError, ValueError):
            continue
    return None


class ArmClient:
    """A client of Resource Manager for one task.

    Repeated within the deadline are: 429 and 5xx, after ``Retry-After`` or ever longer; a lost connection, where
    repeating is harmless; 401 once, with a new token; and, where asked for, 409 because another operation is in
    progress. A write whose body comes from an earlier read is not repeated as it is when the resource has changed since
    (412, or 409 ``EtagMismatch``): the error is raised, and the caller reads and plans again.

    Args:
        cloud: Where Resource Manager is.
        tokens: Who is asking.
        deadline: Shared by everything that the task does.
        progress: Told about every wait.
        ca_bundle: A file of certificates to trust instead of the system's, or None.
        sleep: Waits a number of seconds.
    """

    read_seconds: float = READ_SECONDS
    """How long an answer may take."""

    def __init__(
        self,
        cloud: Cloud,
        tokens: Tokens,
        deadline: Deadline,
        progress: Progress,
        *,
        ca_bundle: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.cloud = cloud
        self.deadline = deadline
        self.progress = progress
        self.sleep = sleep
        self.tokens = tokens
        self.ca_bundle = ca_bundle
        self._pipeline = pipeline(cloud.resource_manager, ca_bundle)

    def get(self, path: str, api: str, *, query: Mapping[str, str] | None = None, doing: str | None = None) -> Answer:
        """Reads.

        Args:
            path: From the first slash on, or a whole URL that Azure has returned.
            api: A key of ``API_VERSIONS``; not used with a whole URL.
            query: Further parameters.
            doing: What is being done, for the text of an error.

        Raises:
            AzureError: Azure refused.
            ConnectionFailed: Azure could not be reached.
            DeadlineExceeded: It did not answer in time.
        """
        return self._request("GET", path, api, query=query, doing=doing)

    def find(self, path: str, api: str, *, doing: str | None = None) -> Any:
        """Returns the body of what is there, or None when there is nothing (404)."""
        try:
            return self.get(path, api, doing=doing).body
        except AzureError as error:
            if error.status == 404:
                return None
            raise

    def items(
        self, path: str, api: str, *, query: Mapping[str, str] | None = None, doing: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Returns what a list holds, page by page; a page may be empty."""
        answer = self.get(path, api, query=query, doing=doing)
        while True:
            body = answer.body if isinstance(answer.body, Mapping) else {}
            yield from body.get("value") or ()
            following = body.get("nextLink")
            if not following:
                return
            answer = self.get(following, api, doing=doing)

    def put(
        self,
        path: str,
        api: str,
        body: Any,
        *,
        headers: Mapping[str, str] | None = None,
        doing: str | None = None,
        planned: bool = False,
    ) -> Answer:
        """Writes a resource; waits while another operation is in progress. Raises as ``get`` does.

        Args:
            path: From the first slash on, or a whole URL.
            api: A key of ``API_VERSIONS``; not used with a whole URL.
            body: The body.
            headers: Further headers.
            doing: What is being done, for the text of an error.
            planned: Whether the body was planned from a read of the resource, so that it must not be sent again when
                the resource has changed since.
        """
        return self._request(
            "PUT", path, api, headers=headers, body=body, doing=doing, wait_while_busy=True, planned=planned
        )

    def post(
        self,
        path: str,
        api: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        doing: str | None = None,
        repeatable: bool = True,
        wait_while_busy: bool = False,
    ) -> Answer:
        """Acts. Raises as ``get`` does.

        Args:
            path: From the first slash on, or a whole URL.
            api: A key of ``API_VERSIONS``; not used with a whole URL.
            body: The body, or None.
            headers: Further headers.
            doing: What is being done, for the text of an error.
            repeatable: Whether doing it twice is as good as once, so that a lost connection may be repeated.
            wait_while_busy: Whether to repeat it while another operation is in progress.
        """
        return self._request(
            "POST",
            path,
            api,
            headers=headers,
            body=body,
            doing=doing,
            repeatable=repeatable,
            wait_while_busy=wait_while_busy,
        )

    def delete(
        self, path: str, api: str, *, query: Mapping[str, str] | None = None, doing: str | None = None
    ) -> Answer:
        """Deletes; waits while another operation is in progress. Raises as ``get`` does."""
        return self._request("DELETE", path, api, query=query, doing=doing, wait_while_busy=True)

    def token(self, audience: str) -> str:
        """Returns a token for another audience than Resource Manager. Raises ``SignInFailed``."""
        return self.tokens.token(audience)

    def pause(self, seconds: float) -> None:
        """Waits, but never beyond the deadline."""
        self.sleep(min(seconds, self.deadline.remaining()))

    def _request(
        self,
        method: str,
        path: str,
        api: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        doing: str | None = None,
        repeatable: bool = True,
        wait_while_busy: bool = False,
        planned: bool = False,
    ) -> Answer:
        url, parameters = self._address(path, api, query)
        tries = _Tries()
        while True:
            token = self.tokens.token()
            request = libraries.HttpRequest(
                method,
                url,
                params=parameters,
                headers={**(headers or {}), "Authorization": f"Bearer {token}", "Accept": "application/json"},
                json=body,
            )
            try:
                answer = self._exchange(request)
            except libraries.CoreError as error:
                self._after_lost_connection(error, tries, repeatable, doing)
                continue
            if answer.status < 300:
                return answer
            failure = error_of(
                answer.body,
                status=answer.status,
                request_id=next((answer.headers[name] for name in _ID_HEADERS if name in answer.headers), None),
                doing=doing,
            )
            if answer.status == 401 and not tries.unauthorized:
                tries.unauthorized = True
                self.tokens.forget(token)
                continue
            busy = wait_while_busy and failure.busy and not (planned and failure.stale)
            delay = self._delay(answer, tries, busy)
            if delay is None or delay >= self.deadline.remaining():
                raise failure
            waiting_for = "another operation" if busy else "Azure"
            self.progress(f"{doing or method}: waiting for {waiting_for}: {failure.code}: {failure.azure_message}")
            self.pause(delay)

    def _address(self, path: str, api: str, query: Mapping[str, str] | None) -> tuple[str, Mapping[str, str] | None]:
        """Returns URL and parameters. A token goes to Resource Manager only, whatever URL an answer names.

        Raises:
            Failure: The URL belongs to another host.
        """
        if not path.startswith("/"):
            own, other = urlsplit(self.cloud.resource_manager), urlsplit(path)
            if other.scheme != "https" or not (
                other.netloc.lower() == own.netloc.lower() or other.netloc.lower().endswith("." + own.netloc.lower())
            ):
                raise Failure(
                    f"An answer of Azure points to {other.scheme}://{other.netloc}, which isn't {own.netloc}."
                )
            return path, None
        return self.cloud.resource_manager + path, {"api-version": API_VERSIONS[api], **(query or {})}

    def _exchange(self, request: Any) -> Answer:
        response = self._pipeline.send_request(
            request,
            connection_timeout=min(CONNECT_SECONDS, max(1.0, self.deadline.remaining())),
            read_timeout=min(self.read_seconds, max(1.0, self.deadline.remaining())),
        )
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, _parsed(response), headers)

    def _after_lost_connection(self, error: Exception, tries: _Tries, repeatable: bool, doing: str | None) -> None:
        """Waits before the next attempt after a connection was refused, reset, or silent for too long.

        Raises:
            ConnectionFailed: There is no next attempt.
            DeadlineExceeded: There is no time for one.
        """
        tries.lost += 1
        text = f"{doing}: " if doing else ""
        reason = " ".join(str(error).split())
        if "CERTIFICATE_VERIFY_FAILED" in reason or "SSLError" in reason:
            raise ConnectionFailed(
                f"{text}{self.cloud.resource_manager} shows a certificate that isn't trusted: {reason}.",
                hint="Set ca_bundle (or REQUESTS_CA_BUNDLE) to the certificates of your own authority.",
            ) from error
        not_sent = isinstance(error, libraries.ServiceRequestError)
        if not (repeatable or not_sent) or tries.lost >= CONNECTION_ATTEMPTS:
            raise ConnectionFailed(
                f"{text}{self.cloud.resource_manager} can't be reached ({tries.lost} attempts): {reason}.",
                hint="Check cloud_environment, the network and the proxy (HTTPS_PROXY, NO_PROXY).",
            ) from error
        if self.deadline.expired:
            raise DeadlineExceeded(
                f"{text}{self.cloud.resource_manager} did not answer within {self.deadline.seconds:.0f} s: {reason}."
            ) from error
        self.progress(f"{doing or 'Azure'}: connection lost, trying again")
        self.pause(backoff(tries.lost))

    def _delay(self, answer: Answer, tries: _Tries, busy: bool) -> float | None:
        """Returns the seconds after which to repeat, or None when repeating is of no use."""
        if answer.status in _PASSING:
            tries.passing += 1
            named = answer.retry_after
            if answer.status != 429 and named is None and tries.passing >= SERVER_ERROR_ATTEMPTS:
                return None
            return named if named is not None else backoff(tries.passing)
        if busy:
            tries.busy += 1
            named = answer.retry_after
            return named if named is not None else backoff(tries.busy, first=BUSY_FIRST_DELAY)
        return None


@dataclass
class _Tries:
    """How often each reason has made one request be repeated."""

    lost: int = 0
    passing: int = 0
    busy: int = 0
    unauthorized: bool = False


def backoff(attempt: int, first: float = FIRST_DELAY, longest: float = LONGEST_DELAY) -> float:
    """Returns the seconds before the next attempt.

    Twice as long each time, with some chance in it, so that the tasks of a fleet don't come back at the same moment.

    Args:
        attempt: 1 after the first attempt.
        first: Seconds after the first attempt.
        longest: Never more than this.
    """
    return min(longest, first * 2.0 ** (attempt - 1)) * random.uniform(0.8, 1.2)  # noqa: S311


def pipeline(base_url: str, ca_bundle: str | None, policies: Sequence[Any] = ()) -> Any:
    """Returns azure-core's HTTP pipeline, with TLS verified and proxies as the environment says.

    It is not ``ARMPipelineClient``: that one registers a missing resource provider by itself on a plain read, a write
    that nobody asked for and that check mode must not make.

    Args:
        base_url: Of the service.
        ca_bundle: A file of certificates to trust, or None for the system's (or ``REQUESTS_CA_BUNDLE``).
        policies: More of azure-core's policies.
    """
    settings: dict[str, Any] = {"connection_verify": ca_bundle} if ca_bundle else {}
    all_policies = [libraries.RequestIdPolicy(), libraries.UserAgentPolicy("ansible-aks.gpu"), *policies]
    return libraries.PipelineClient(base_url, policies=all_policies, **settings)


def _parsed(response: Any) -> Any:
    """Returns the JSON of a response, its text when it is no JSON, None when it is empty."""
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        return response.text()
