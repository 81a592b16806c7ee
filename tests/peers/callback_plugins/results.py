# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what every task shows to callbacks into the file that RESULTS_FILE names, one JSON object a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results
type: notification
short_description: Results of tasks as JSON lines
version_added: 0.1.0
description: For tests. The file is named by the environment variable RESULTS_FILE.
options: {}
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "results"

    def _write(self, result: Any, failed: bool) -> None:
        shown = self._clean(result._result)
        entry = {"task": result._task.get_name(), "result": {**shown, "failed": failed}}
        with Path(os.environ["RESULTS_FILE"]).open("a") as file:
            file.write(json.dumps(entry, default=str) + "\n")

    def _clean(self, result: dict[str, Any]) -> dict[str, Any]:
        """What core's own callbacks show."""
        if result.get("_ansible_no_log"):
            return {"censored": "the output has been hidden", "changed": result.get("changed", False)}
        return {key: value for key, value in result.items() if not key.startswith("_ansible")}

    def v2_runner_on_ok(self, result: Any) -> None:
        self._write(result, failed=False)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._write(result, failed=True)
