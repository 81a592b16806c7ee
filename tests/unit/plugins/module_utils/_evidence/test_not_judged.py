# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is gone, and what was not looked at, is neither good nor bad. Modules' return values in, checks out."""

from __future__ import annotations

from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._evidence._checks import Expectations, Observations, checks_of

ASKED = Expectations(probe="the variable gpu_verify_probe is false", job="mnist", training=True, minimum_accuracy=0.9)
GPUS: dict[str, Any] = {"nodes": [], "gpus_ready": True, "expected": {"nodes": 0}}


def about_the_job(found: Observations) -> dict[str, bool | None]:
    names = ("job", "device", "accuracy")
    return {check.name: check.holds for check in checks_of(ASKED, found) if check.name in names}


def test_the_log_of_a_complete_job_is_gone() -> None:
    """Findings C12: the pool was scaled to 0 and back, and "device found: none; accuracy … none was told" was said."""
    gone: dict[str, Any] = {
        "log_state": "gone",
        "log_problem": "its Pods are gone",
        "pods": [],
        "devices": [],
        "accuracy_last": None,
    }
    job = {"exists": True, "complete": True, "succeeded": 1, "completions": 1, **gone}
    assert about_the_job(Observations(gpus=GPUS, job=job)) == {"job": True, "device": None, "accuracy": None}


def test_nobody_looked_at_the_job() -> None:
    """Findings C14: "FAIL Job … complete: 0 of 1" and "FAIL device found: none" after a step that failed before it."""
    assert about_the_job(Observations(gpus=GPUS)) == {"job": None, "device": None, "accuracy": None}
