# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of Azure, read wherever they are, with what to do next; and when to ask again.

``recorded/errors.yml`` holds bodies that real Azure was seen to send, each with its source.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.aks.gpu.plugins.module_utils._ansible._option_names import with_names
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import (
    AzureError,
    error_fields,
    error_of,
    hint_for,
)
from ansible_collections.aks.gpu.plugins.module_utils._azure._operations import operation_failure
from ansible_collections.aks.gpu.plugins.module_utils._azure._policies import backoff, retry_after

Json = dict[str, Any]

RECORDED: list[Json] = yaml.safe_load((Path(__file__).parent / "recorded" / "errors.yml").read_text())


def read(body: Any, status: int = 400) -> Any:
    return error_of(body, status=status, request_id="r", activity="Doing")


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
        ("ZonalAllocationFailed", "Allocation failed.", "O(repair=true)"),
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


# --- what real Azure was seen to send ----------------------------------------------------------------------------


def error_in(recorded: Json) -> AzureError:
    """The typed error of a recorded body."""
    if "status" in recorded:
        return read(recorded["body"], recorded["status"])
    return operation_failure(recorded["body"], "Failed", "Doing")


each_recorded = pytest.mark.parametrize("recorded", RECORDED, ids=[each["name"] for each in RECORDED])


def test_every_recorded_body_names_its_source() -> None:
    assert len({each["name"] for each in RECORDED}) == len(RECORDED)
    assert [each["name"] for each in RECORDED if not each.get("source")] == []
    causes = [each for each in RECORDED if each.get("cause")]
    assert len(causes) >= 14, "wrapped causes are what these bodies are kept for"


@each_recorded
def test_the_outer_code_and_the_text_of_azure_are_kept(recorded: Json) -> None:
    error = error_in(recorded)
    assert error.code == recorded["code"]
    assert recorded["says"] in error.azure_message
    assert f"Doing: {recorded['code']}: " in str(error)
    assert recorded["says"] in str(error)


@each_recorded
def test_the_innermost_code_is_the_cause(recorded: Json) -> None:
    error = error_in(recorded)
    if "cause" in recorded:
        assert error.cause == recorded["cause"]
    else:
        assert error.cause in (None, recorded["code"]), "there is no other code that says what is wrong"


@each_recorded
def test_the_cause_decides_what_to_do(recorded: Json) -> None:
    error = error_in(recorded)
    if "hint" in recorded:
        assert error.hint is not None
        assert recorded["hint"].lower() in error.hint.lower()
        assert with_names(error.hint) in str(error)
    else:
        inner = hint_for(recorded["cause"], error.azure_message) if "cause" in recorded else None
        assert error.hint == (inner or hint_for(recorded["code"], error.azure_message))


@each_recorded
def test_what_is_busy_and_what_is_stale(recorded: Json) -> None:
    error = error_in(recorded)
    assert error.busy is bool(recorded.get("busy"))
    assert error.stale is bool(recorded.get("stale"))


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_only_a_conflict_is_busy_or_stale(status: int) -> None:
    """A wording alone doesn't make an answer one that is worth repeating: the status has to say so too."""
    for recorded in RECORDED:
        if recorded.get("busy") or recorded.get("stale"):
            error = read(recorded["body"], status)
            assert (error.busy, error.stale) == (False, False), recorded["name"]


def test_a_code_that_a_user_wrote_is_no_cause() -> None:
    """Names in a message may look like anything."""
    error = read({"code": "BadRequest", "message": "Invalid label: code=QuotaExceeded. See SubCode in the docs."})
    assert error.cause in (None, "BadRequest")
    assert error.hint == hint_for("BadRequest", error.azure_message)


@pytest.mark.parametrize(
    "message",
    [
        'Failed. Error: {"code": "QuotaExceeded", "message": "cut off by a pro',
        'Failed. Details: Code="QuotaExceeded" Message="cut off by a pro',
        "Failed: Category: ClientError; SubCode: QuotaExceeded; Dependency: Microsoft.Comp",
    ],
)
def test_a_cause_in_a_text_that_was_cut_off_is_still_found(message: str) -> None:
    """Messages of AKS end somewhere: the one of terraform-azurerm-aks#604 ends within a word."""
    error = operation_failure({"error": {"code": "CreateVMSSAgentPoolFailed", "message": message}}, "Failed", "Doing")
    assert error.code == "CreateVMSSAgentPoolFailed"
    assert error.cause == "QuotaExceeded"
    assert "vCPUs" in str(error.hint)


def test_a_deeply_nested_error_ends() -> None:
    body: Json = {"code": "QuotaExceeded", "message": "The cause."}
    for number in range(200):
        body = {"code": f"Wrapper{number}", "message": f"Level {number}.", "details": [body]}
    error = read(body)
    assert error.code == "Wrapper199"
    assert len(error.azure_message) <= 2001


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
