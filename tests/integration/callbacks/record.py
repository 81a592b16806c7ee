# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what each task returned to the file $AKS_GPU_RECORD, one JSON object a line, for the tests to read."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: aggregate
short_description: Records task results for the integration tests
description:
  - Records task results for the integration tests.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "record"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, record: dict[str, Any]) -> None:
        with open(os.environ["AKS_GPU_RECORD"], "a", encoding="utf-8") as log:
            log.write(json.dumps(record, default=str) + "\n")

    def _result(self, status: str, outcome: Any) -> None:
        result = outcome.result if hasattr(outcome, "result") else outcome._result  # ansible-core before 2.19
        task = outcome.task if hasattr(outcome, "task") else outcome._task
        host = outcome.host if hasattr(outcome, "host") else outcome._host
        self._write(
            {
                "host": host.get_name(),
                "task": task.get_name(),
                "action": task.action,
                "status": status,
                "result": result,
            }
        )

    def v2_runner_on_ok(self, result: Any) -> None:
        self._result("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._result("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._result("skipped", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._result("unreachable", result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._write({"stats": {host: stats.summarize(host) for host in stats.processed}})
