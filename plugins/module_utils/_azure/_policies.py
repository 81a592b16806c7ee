# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policies of azure-core by which requests to Azure are sent: who may see a token, and when to repeat a request.

They replace the SDK's own: its retries know no deadline of a task, its authentication adds a token for every host, and
its client registers missing resource providers, which check mode must not do.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded, Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, Progress
from ansible_collections.aks.gpu.plugins.module_utils._azure import _libraries as libraries
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError, ConnectionFailed, error_of
from ansible_collections.aks.gpu.plugins.module_utils._azure._sign_in import Tokens

USER_AGENT = "ansible-aks.gpu"
ARM_CONNECT_SECONDS = 10
ARM_READ_SECONDS = 60
FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
CONNECTION_ATTEMPTS = 6
SERVER_ERROR_ATTEMPTS = 8
BUSY_FIRST_DELAY = 2.0

_PASSING = {408, 429, 500, 502, 503, 504}
_MAYBE_DONE = _PASSING - {429}
"""After these it is unknown whether Azure has acted (RFC 9110, 9.2.2); after 429 it has not (RFC 6585, 4)."""

_ID_HEADERS = ("x-ms-request-id", "x-ms-correlation-request-id")


@dataclass
class Call:
    """How one request is to be treated; ``RetryBudget`` takes it from the keyword ``call`` of the request.

    Attributes:
        activity: What is being done, for messages, such as ``Creating node pool gpunp``.
        repeatable: Whether doing it twice is as good as once, so that it may be repeated after a lost connection or
            an error of the server.
        wait_while_busy: Whether to repeat it while another operation is in progress (409).
        planned: Whether its body was planned from a read of the resource, so that it must not be sent again when the
            resource has changed since.
        response: The last answer.
    """

    activity: str | None = None
    repeatable: bool = True
    wait_while_busy: bool = False
    planned: bool = False
    response: Any = None

    @property
    def error(self) -> AzureError:
        """The last answer as an error."""
        headers = self.response.headers
        return error_of(
            parsed(self.response),
            status=self.response.status_code,
            request_id=next((headers[name] for name in _ID_HEADERS if name in headers), None),
            activity=self.activity,
        )


@dataclass
class _Tries:
    """How often each reason has made one request be repeated."""

    lost: int = 0
    passing: int = 0
    busy: int = 0


class Authentication(libraries.HTTPPolicy[Any, Any]):
    """Adds a token to each request, and renews it once when Azure refuses it.

    A token is for one host: a request to another one, to which a ``nextLink`` or the URL of an operation may lead, is
    refused before it is sent.

    Args:
        tokens: Who is asking.
        base_url: The service that the tokens are issued for.
    """

    def __init__(self, tokens: Tokens, base_url: str) -> None:
        super().__init__()
        self._tokens = tokens
        self._own = urlsplit(base_url)

    def send(self, request: Any) -> Any:
        """Sends a request.

        Raises:
            Failure: It goes to another host.
            SignInFailed: No way to sign in leads to a token.
        """
        self._require_own_host(request.http_request.url)
        token = self._tokens.token()
        response = self._send_with(request, token)
        if response.http_response.status_code != 401 or request.context.get("renewed"):
            return response
        request.context["renewed"] = True
        self._tokens.forget(token)
        return self._send_with(request, self._tokens.token())

    def _send_with(self, request: Any, token: str) -> Any:
        request.http_request.headers["Authorization"] = f"Bearer {token}"
        return self.next.send(request)

    def _require_own_host(self, url: str) -> None:
        other, own = urlsplit(url), self._own.netloc.lower()
        host = other.netloc.lower()
        if other.scheme != "https" or not (host == own or host.endswith("." + own)):
            raise Failure(f"An answer of Azure points to {other.scheme}://{other.netloc}, which isn't {own}.")


@dataclass(eq=False)
class RetryBudget(libraries.HTTPPolicy[Any, Any]):
    """Repeats a request within the deadline of the task, and says what is waited for.

    Repeated are: 429, after ``Retry-After`` or ever longer; 5xx and a lost connection, where repeating is harmless;
    and, where the call asks for it, 409 because another operation is in progress. A write that was planned from an
    earlier read is not repeated as it is when the resource has changed since (412, or 409 ``EtagMismatch``).

    Args:
        base_url: The service, for messages.
        deadline: Shared by everything that the task does.
        progress: Told about every wait.
        sleep: Waits a number of seconds.
        read_seconds: How long an answer may take.
        final: Statuses that are not repeated.
    """

    base_url: str
    deadline: Deadline
    progress: Progress
    sleep: Callable[[float], None] = time.sleep
    read_seconds: float = ARM_READ_SECONDS
    final: Collection[int] = field(default_factory=tuple)

    def send(self, request: Any) -> Any:
        """Sends a request until it is answered for good; the last answer is kept in its ``Call``.

        Raises:
            ConnectionFailed: The service can't be reached.
            DeadlineExceeded: The time is up.
        """
        call: Call = request.context.options.pop("call", None) or Call()
        tries = _Tries()
        while True:
            left = max(1.0, self.deadline.remaining())
            request.context.options["connection_timeout"] = min(ARM_CONNECT_SECONDS, left)
            request.context.options["read_timeout"] = min(self.read_seconds, left)
            request.context.options["stream"] = False  # a connection that is lost in the body is noticed here, too
            try:
                response = self.next.send(request)
            except libraries.CoreError as error:
                self._after_lost_connection(error, tries, call)
                continue
            call.response = response.http_response
            if call.response.status_code < 300:
                return response
            failure = call.error
            busy = call.wait_while_busy and failure.busy and not (call.planned and failure.stale)
            delay = self._delay(call, tries, busy)
            if delay is None or delay >= self.deadline.remaining():
                return response
            waiting_for = "another operation" if busy else "Azure"
            activity = call.activity or request.http_request.method
            self.progress(f"{activity}: waiting for {waiting_for}: {failure.code}: {failure.azure_message}")
            self.pause(delay)

    def pause(self, seconds: float) -> None:
        """Waits, but never beyond the deadline."""
        self.sleep(min(seconds, self.deadline.remaining()))

    def _after_lost_connection(self, error: Exception, tries: _Tries, call: Call) -> None:
        """Waits before the next attempt after a connection was refused, reset, or silent for too long.

        Raises:
            ConnectionFailed: There is no next attempt.
            DeadlineExceeded: There is no time for one.
        """
        tries.lost += 1
        text = f"{call.activity}: " if call.activity else ""
        reason = " ".join(str(error).split())
        if "CERTIFICATE_VERIFY_FAILED" in reason or "SSLError" in reason:
            raise ConnectionFailed(
                f"{text}{self.base_url} shows a certificate that isn't trusted: {reason}.",
                hint="Set ca_bundle (or REQUESTS_CA_BUNDLE) to the certificates of your own authority.",
            ) from error
        not_sent = isinstance(error, libraries.ServiceRequestError)
        if not (call.repeatable or not_sent) or tries.lost >= CONNECTION_ATTEMPTS:
            raise ConnectionFailed(
                f"{text}{self.base_url} can't be reached ({tries.lost} attempts): {reason}.",
                hint="Check cloud_environment, the network and the proxy (HTTPS_PROXY, NO_PROXY).",
            ) from error
        if self.deadline.expired:
            raise DeadlineExceeded(
                f"{text}{self.base_url} did not answer within {self.deadline.seconds:.0f} s: {reason}."
            ) from error
        self.progress(f"{call.activity or 'Azure'}: connection lost, trying again")
        self.pause(backoff(tries.lost))

    def _delay(self, call: Call, tries: _Tries, busy: bool) -> float | None:
        """Returns the seconds after which to repeat, or None when repeating doesn't help or may do something twice."""
        response = call.response
        status = response.status_code
        if status in self.final or (status in _MAYBE_DONE and not call.repeatable):
            return None
        named = retry_after({name.lower(): value for name, value in response.headers.items()})
        if status in _PASSING:
            tries.passing += 1
            if status != 429 and named is None and tries.passing >= SERVER_ERROR_ATTEMPTS:
                return None
            return named if named is not None else backoff(tries.passing)
        if busy:
            tries.busy += 1
            return named if named is not None else backoff(tries.busy, first=BUSY_FIRST_DELAY)
        return None


def policies(patience: RetryBudget, authentication: Authentication) -> list[Any]:
    """Returns the policies of a client, the outermost first.

    Args:
        patience: When to repeat.
        authentication: Whose token.
    """
    return [libraries.RequestIdPolicy(), libraries.UserAgentPolicy(USER_AGENT), patience, authentication]


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


def backoff(attempt: int, first: float = FIRST_DELAY, longest: float = LONGEST_DELAY) -> float:
    """Returns the seconds before the next attempt.

    Twice as long each time, with some chance in it, so that the tasks of a fleet don't come back at the same moment.

    Args:
        attempt: 1 after the first attempt.
        first: Seconds after the first attempt.
        longest: Never more than this.
    """
    return min(longest, first * 2.0 ** (attempt - 1)) * random.uniform(0.8, 1.2)  # noqa: S311


def parsed(response: Any) -> Any:
    """Returns the JSON of a response, its text when it isn't JSON, None when it is empty."""
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        return response.text()
