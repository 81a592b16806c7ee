# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for Azure: one waiter for everything, with one deadline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import duration_text
from ansible_collections.aks.gpu.plugins.module_utils._azure._client import ArmClient, ArmResponse
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import (
    AzureError,
    OperationFailed,
    codes_of,
    error_fields,
)

OPERATION_FIRST_INTERVAL = 1.0
GROWTH = 1.5
INTERVAL = 15.0
LATE_INTERVAL = 30.0
LATE = 300.0

ENDED = {"succeeded", "failed", "canceled", "cancelled"}


@dataclass(frozen=True)
class PollResult:
    """What one look at something that is awaited has shown.

    Attributes:
        state: How it is, in Azure's word.
        done: True when there is nothing left to wait for.
        value: What was looked at.
        retry_after: Seconds after which to look again, when Azure has said so.
    """

    state: str
    done: bool
    value: Any = None
    retry_after: float | None = None


def wait_until(
    client: ArmClient,
    look: Callable[[], PollResult],
    *,
    what: str,
    hint: str | None = None,
    first: PollResult | None = None,
    longest: float | None = None,
) -> PollResult:
    """Looks until it is done, and shows the states until then.

    Between two looks it waits as long as Azure says, or at first a second and then ever longer.

    Args:
        client: Whose deadline and progress are used.
        look: Looks once.
        what: What is awaited, such as ``node pool gpunp``.
        hint: What to do when the time is up.
        first: A look that has been taken already.
        longest: The longest time between two looks within the first minutes, in seconds.

    Raises:
        DeadlineExceeded: The time is up; the state is in the message.
    """
    interval = OPERATION_FIRST_INTERVAL
    seen = first or look()
    while not seen.done:
        client.progress(f"{what}: {seen.state}")
        if client.deadline.expired:
            raise DeadlineExceeded(
                f"{what[:1].upper()}{what[1:]} is still {seen.state} after {duration_text(client.deadline.seconds)}.",
                hint=hint or "It goes on in Azure: run again to wait for it, with a longer O(wait_timeout) if need be.",
                state=seen.state,
            )
        client.pause(seen.retry_after if seen.retry_after is not None else interval)
        interval = min(interval * GROWTH, LATE_INTERVAL if client.deadline.elapsed > LATE else longest or INTERVAL)
        seen = look()
    return seen


def operation_url(answer: ArmResponse) -> str | None:
    """Returns where the operation that a request has started can be watched, or None when it has ended already."""
    return answer.headers.get("azure-asyncoperation")


def wait_for_operation(client: ArmClient, answer: ArmResponse, *, activity: str) -> None:
    """Waits for the operation that a request has started. Without one it returns at once.

    Args:
        client: The client.
        answer: What the request was answered.
        activity: What was asked for and is awaited, such as ``Creating node pool gpunp``.

    Raises:
        OperationFailed: With Azure's code and reason, and what to do.
        DeadlineExceeded: The time is up.
    """
    url = operation_url(answer)
    if url is None:
        return

    def look() -> PollResult:
        try:
            seen = client.get(url, "", activity=activity)
        except AzureError as error:
            if error.status == 404:
                # The record of an operation is gone some time after its end; the resource then tells how it ended.
                return PollResult("Ended", True)
            raise
        body = seen.body if isinstance(seen.body, Mapping) else {}
        state = str(body.get("status") or "InProgress")
        return PollResult(state, state.lower() in ENDED, body, seen.retry_after)

    pending = PollResult("InProgress", False, None, answer.retry_after)
    ended = wait_until(client, look, what=activity, first=pending)
    if ended.state.lower() in ("failed", "canceled", "cancelled"):
        raise operation_failure(ended.value, ended.state, activity)


def operation_failure(body: Any, state: str, activity: str) -> OperationFailed:
    """Returns the typed error of an operation that has failed.

    Args:
        body: The operation, or anything that holds its error.
        state: How it ended.
        activity: What was asked for.
    """
    fields = error_fields(body) if body else {}
    return OperationFailed(
        fields.get("code") or f"Operation{state}",
        fields.get("message") or "Azure gave no reason",
        target=fields.get("target"),
        activity=activity,
        codes=codes_of(body),
    )
