# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts the host-tasks of a run, skipped ones too, and writes them at its end to the file $AKS_GPU_COUNT."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: count
type: aggregate
short_description: Counts host-tasks
description: By task and outcome, in the file that the variable AKS_GPU_COUNT names.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "count"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._tasks: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._first: float | None = None

    def _count(self, outcome: str, result: Any) -> None:
        task = result.task if hasattr(result, "task") else result._task  # ansible-core before 2.19
        self._tasks[task.get_name()] += 1
        self._outcomes[outcome] += 1

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._first = self._first or time.time()

    def v2_runner_on_ok(self, result: Any) -> None:
        changed = (result.result if hasattr(result, "result") else result._result).get("changed")
        self._count("changed" if changed else "ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._count("failed", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._count("skipped", result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        measured = {"tasks": self._tasks, "outcomes": self._outcomes, "began": self._first, "ended": time.time()}
        with open(os.environ["AKS_GPU_COUNT"], "w", encoding="utf-8") as file:
            json.dump(measured, file)
