# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the ARM modules share: an Azure without Kubernetes, and plays of many tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aks_sandbox.testing import Sandbox
from harness import Ansible, PlaybookRun

Json = dict[str, Any]

QUICK: Json = {"clock_speed": 10.0}


@dataclass(frozen=True)
class Call:
    """One task: a module of aks.gpu, its options, whether in check mode, and keywords of the task."""

    module: str
    options: Json = field(default_factory=dict)
    check: bool = False
    keywords: Json = field(default_factory=dict)


def pool(sandbox: Sandbox, name: str = "gpunp", *, check: bool = False, **options: Any) -> Call:
    """A task on a node pool of the first cluster."""
    place = {"resource_group": sandbox.resource_group, "cluster_name": sandbox.cluster, "name": name}
    return Call("node_pool", {**place, **options}, check)


def play(ansible: Ansible, *calls: Call, environment: Mapping[str, str] | None = None) -> list[Json]:
    """Runs tasks in one play and returns their results, failed ones among them."""
    done = run(ansible, *calls, environment=environment)
    return [{**each.result, "failed": each.status in ("failed", "ignored")} for each in done.results]


def run(ansible: Ansible, *calls: Call, environment: Mapping[str, str] | None = None) -> PlaybookRun:
    """Runs tasks in one play, with --diff; a failed one doesn't end it."""
    done = ansible.playbook(plays(*calls), diff=True, environment=environment)
    assert len(done.results) == len(calls), done.output
    return done


def plays(*calls: Call) -> list[Json]:
    """One play of these tasks, in which a failed one doesn't end it."""
    tasks = [
        {
            "name": f"Task {number}",
            f"aks.gpu.{call.module}": call.options,
            "check_mode": call.check,
            "ignore_errors": True,
            **call.keywords,
        }
        for number, call in enumerate(calls)
    ]
    return [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]


def four(ansible: Ansible, call: Call) -> list[Json]:
    """A task in check mode, for real, for real again, and in check mode again."""
    checked = Call(call.module, call.options, True, call.keywords)
    return play(ansible, checked, call, call, checked)


def text_of(result: Json) -> str:
    """The message of a failed task."""
    assert result["failed"], {key: value for key, value in result.items() if key != "invocation"}
    return str(result["msg"])
