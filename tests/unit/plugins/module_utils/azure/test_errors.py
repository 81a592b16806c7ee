# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of Azure, read wherever they are, with what to do next; and when to ask again."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import error_fields, error_of, hint_for
from ansible_collections.aks.gpu.plugins.module_utils._azure._policies import backoff, retry_after


def read(body: Any, status: int = 400) -> Any:
    return error_of(body, status=status, request_id="r", doing="Doing")


def test_bare_and_wrapped_errors_read_the_same() -> None:
    bare = {
        "code": "QuotaExceeded",
        "message": "Too much.",
        "details": None,
        "subcode": "",
        "target": "properties.count",
    }
    assert error_fields(bare) == error_fields({"error": bare})
    error = read(bare)
    assert (error.code, error.target, error.status, error.request_id) == ("QuotaExceeded", "properties.count", 400, "r")
    assert str(error).startswith("Doing: QuotaExceeded: Too much. Lower count or max_count")


def test_details_and_json_in_a_message_are_read() -> None:
    assert error_fields({"code": "A", "message": "Outer.", "details": [{"code": "B", "message": "Inner."}]}) == {
        "code": "A",
        "message": "Outer. Inner.",
    }
    assert error_fields({"code": "A", "message": '{"error": {"code": "B", "message": "Inner."}}'})["code"] == "B"
    assert error_fields({"error": "invalid_client", "error_description": "AADSTS7000215: no"})["message"].startswith(
        "AAD"
    )


@pytest.mark.parametrize("body", [None, "", [], "<html><body>502 Bad Gateway</body></html>", {"error": {}}, 7])
def test_an_answer_that_is_no_error_of_azure(body: Any) -> None:
    assert read(body, 502).code == "HTTP 502"


@pytest.mark.parametrize(
    ("code", "message", "advice"),
    [
        ("ErrCode_InsufficientVCPUQuota", "Insufficient regional vcpu quota left", "quota"),
        ("QuotaExceeded", "exceeding approved Total Regional Cores quota", "quota"),
        ("PropertyChangeNotAllowed", "Changing property 'properties.vmSize' is not allowed.", "another name"),
        (
            "OperationNotAllowed",
            "Another agentpool operation (x - Creating) is in progress, please wait",
            "wait_timeout",
        ),
        ("OperationNotAllowed", "Unable to perform 'Scaling' since deletion was issued on 'a'", "being deleted"),
        ("BadRequest", "The VM size of X is not allowed in your subscription in location 'westus2'.", "vm_size_info"),
        ("SkuNotAvailable", "is currently not available", "vm_size_info"),
        ("ZonalAllocationFailed", "Allocation failed.", "repair: true"),
        ("AllocationFailed", "Allocation failed.", "capacity"),
        ("OverconstrainedAllocationRequest", "Allocation failed.", "capacity"),
        ("PreviewFeatureNotRegistered", "Preview feature not registered.", "aks.gpu.feature"),
        ("MissingSubscriptionRegistration", "not registered", "aks.gpu.resource_provider"),
        ("ResourceGroupNotFound", "", "resource_group"),
        ("ParentResourceNotFound", "", "cluster_name"),
        ("AuthorizationFailed", "does not have authorization", "role"),
        ("InvalidAuthenticationToken", "", "Sign in again"),
        ("ExpiredAuthenticationToken", "", "Sign in again"),
        ("TooManyRequests", "", "rate"),
        ("Throttled", "", "rate"),
        ("SubscriptionRequestsThrottled", "", "rate"),
        ("PodDrainFailure", "", "ignore_pod_disruption_budget"),
        ("AKSOperationPreempted", "", "run again"),
        ("ScopeLocked", "", "lock"),
        ("UnmarshalError", "", "field"),
    ],
)
def test_each_known_code_says_what_to_do(code: str, message: str, advice: str) -> None:
    hint = hint_for(code, message)
    assert hint is not None
    assert advice in hint


def test_only_an_operation_in_progress_is_worth_waiting_for() -> None:
    busy = "Operation is not allowed: Another agentpool operation (nodepool1 - Creating) is in progress, please wait"
    assert read({"code": "OperationNotAllowed", "message": busy}, 409).busy
    for code, message, status in (
        ("ScopeLocked", "The scope is locked.", 409),
        ("SkuNotAvailable", "not available", 409),
        ("OperationNotAllowed", "Unable to perform 'Scaling' since deletion was issued", 409),
        ("OperationNotAllowed", busy, 400),
    ):
        assert not read({"code": code, "message": message}, status).busy


def test_retry_after_as_number_and_as_date() -> None:
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after-ms": "1500", "retry-after": "7"}) == 1.5
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, now=lambda: 40.0) == 60
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, now=lambda: 400.0) == 0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None


def test_backoff_grows_and_is_bounded() -> None:
    assert 0.8 <= backoff(1) <= 1.2
    assert 3.2 <= backoff(3) <= 4.8
    assert backoff(40) <= 36
