# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which requests are sent again, with azure-core's own pipeline and a server that answers as it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, Progress
from ansible_collections.aks.gpu.plugins.module_utils._azure._policies import Call, RetryBudget
from api_server import Asked, api_server
from azure.core import PipelineClient
from azure.core.rest import HttpRequest

ERROR = {"error": {"code": "InternalServerError", "message": "The server encountered an internal error."}}


def times_sent(folder: Path, call: Call, answers: list[int]) -> int:
    coming = iter(answers)

    def answer(_asked: Asked) -> tuple[int, Any]:
        status = next(coming)
        return status, ERROR if status >= 300 else {}

    with api_server(folder, answer) as server:
        patience = RetryBudget(server.url, Deadline(60), Progress(), sleep=lambda _seconds: None)
        client: Any = PipelineClient(server.url, policies=[patience])
        with client:
            client.send_request(HttpRequest("POST", server.url), call=call)
        return len(server.asked)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_what_may_have_been_done_is_not_done_again(tmp_path: Path, status: int) -> None:
    """RFC 9110, 9.2.2: a client does not repeat what is not idempotent, unless it knows that it was not applied."""
    assert times_sent(tmp_path, Call("Running a command", repeatable=False), [status, 200]) == 1
    assert times_sent(tmp_path, Call("Reading"), [status, 200]) == 2


def test_what_was_throttled_was_not_done(tmp_path: Path) -> None:
    """RFC 6585, 4, and https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling."""
    assert times_sent(tmp_path, Call("Running a command", repeatable=False), [429, 429, 200]) == 3
