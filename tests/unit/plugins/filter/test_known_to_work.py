# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job of AWX hands on, and what the jobs of a workflow make of it.

How AWX joins what jobs hand on: WorkflowJob.get_effective_artifacts and WorkflowJobNode.get_job_kwargs in
awx/main/models/workflow.py of AWX 24.6.1. The jobs of a sliced template are put together variable by variable.
"""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.filter.known_to_work import known_to_work
from ansible_collections.aks.gpu.plugins.module_utils._evidence._report import handed_on

Json = dict[str, Any]


def job(number: str | None, run: str | None = None, **verdicts: str) -> Json:
    evidence = [{"host": host, "verdict": verdict} for host, verdict in verdicts.items()]
    return handed_on({"clusters": len(evidence)}, evidence, run, number)


def test_slices_do_not_take_each_others_place() -> None:
    first = job("101", "awx.example.com/100", a="works", b="does_not_work")
    second = job("102", "awx.example.com/100", c="works", d="not_looked_at")
    joined = {**first, **second}
    assert joined["aks_gpu_summary"] == {"clusters": 2}
    assert joined["aks_gpu_summary_101"] == {"clusters": 2, "hosts": {"a": "works", "b": "does_not_work"}}
    assert joined["aks_gpu_summary_102"] == {"clusters": 2, "hosts": {"c": "works", "d": "not_looked_at"}}
    assert joined["aks_gpu_run"] == "awx.example.com/100"
    assert known_to_work(joined) == ["a", "c"]


def test_outside_of_awx_nothing_is_handed_on_but_the_summary() -> None:
    assert job(None, a="works") == {"aks_gpu_summary": {"clusters": 1}}
    assert job("not a number", a="works") == {"aks_gpu_summary": {"clusters": 1}}


def test_the_last_job_that_says_something_of_a_host_counts() -> None:
    provision = job("99", a="works", b="does_not_work", c="idle", d="works")
    verify = job("100", a="does_not_work", b="works")
    assert known_to_work({**verify, **provision}) == ["b", "c", "d"]


@pytest.mark.parametrize("value", [{}, {"aks_gpu_summary": {"hosts": {"a": "works"}}}, {"aks_gpu_summary_7": None}])
def test_a_host_of_which_no_job_says_anything_is_not_known_to_work(value: Json) -> None:
    assert known_to_work(value) == []
