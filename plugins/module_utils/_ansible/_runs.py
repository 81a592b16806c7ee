# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs: what one of them has created carries its name, so that a clean-up can be limited to it.

The name is written at creation only. Something that an earlier run has created keeps the name of that run, and
something without a name is of no known run: neither is removed for another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure

LONGEST = 256
"""The most characters of a tag's value in Azure.

Source: https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/tag-resources#limitations
"""

RUN_ARGUMENTS = ArgumentSpec(options={"run": {"type": "str"}, "only_run": {"type": "bool", "default": False}})


def run_of_task(params: Mapping[str, Any]) -> str | None:
    """Returns the run that a task belongs to, or None where it has no name.

    Raises:
        Failure: It can't be the value of a tag.
    """
    run = str(params["run"] or "").strip()
    if len(run) > LONGEST or not run.isprintable():
        raise Failure(
            f"O(run) is not a valid name of a run: it has at most {LONGEST} characters, all of them printable.",
            hint="Nothing was changed.",
        )
    return run or None


def limit_of_task(params: Mapping[str, Any]) -> str | None:
    """Returns the run whose things alone a task may remove, or None where its removal is not limited.

    Raises:
        Failure: It is limited, and the run has no valid name.
    """
    run = run_of_task(params)
    if not params["only_run"]:
        return None
    if run is None:
        raise Failure(
            "O(only_run=true) requires O(run), the name of the run whose things alone may be removed.",
            hint="Nothing was removed.",
        )
    return run


def why_kept(noted: str | None, params: Mapping[str, Any]) -> str | None:
    """Returns why something must not be removed, as the end of a sentence; None when it may be.

    Args:
        noted: The run that is noted on it, or None.
        params: The options of the task.
    """
    run = limit_of_task(params)
    if run is None or noted == run:
        return None
    if not noted:
        return f"it does not say which run created it, so it is not known to be of run {run}"
    return f"run {noted} created it, not run {run}"
