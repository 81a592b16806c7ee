# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What node_pool waits for, and what it does when the pool changes meanwhile."""

from __future__ import annotations

import threading
import time

import pytest
from aks_sandbox.testing import Sandbox
from arm_harness import play, pool, run, text_of
from harness import Ansible, pools
from node_pool_harness import ARTICLE, ansible, properties, puts, sandbox

__all__ = ["ansible", "sandbox"]


def test_an_operation_in_progress_is_waited_for(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **ARTICLE))
    sandbox.act("background", cluster=sandbox.cluster, seconds=150)
    # A module in a process of its own can't show lines before its end.
    done = run(ansible, pool(sandbox, max_count=4), environment={"AKS_GPU_IN_PROCESS": "auto"})
    assert done.results[0].result["changed"]
    assert "waiting for another operation: OperationNotAllowed" in done.output
    assert properties(sandbox)["maxCount"] == 4


def test_there_is_a_deadline(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.set(create_seconds=10000)
    start = time.monotonic()
    (late,) = play(ansible, pool(sandbox, **ARTICLE, wait_timeout=3))
    assert time.monotonic() - start < 20
    assert "still CreatingAgentPool after 3 s" in text_of(late)  # ASO's recording of 2026-09-18
    assert "run again" in text_of(late)
    (busy,) = play(ansible, pool(sandbox, "other", **ARTICLE, wait_timeout=3))
    assert "OperationNotAllowed" in text_of(busy)
    assert "gpunp - Creating" in text_of(busy)


def test_started_in_one_task_awaited_in_the_next(sandbox: Sandbox, ansible: Ansible) -> None:
    started, state = play(
        ansible, pool(sandbox, **ARTICLE, wait=False), pool(sandbox, **ARTICLE, wait=False, check=True)
    )
    assert started["changed"]
    assert started["node_pool"]["provisioning_state"] == "Creating"
    assert not state["changed"]
    checked, awaited = play(ansible, pool(sandbox, **ARTICLE, check=True), pool(sandbox, **ARTICLE))
    assert not checked["changed"]
    assert not awaited["changed"]
    assert awaited["node_pool"]["provisioning_state"] == "Succeeded"
    results = play(ansible, pool(sandbox, state="absent", wait=False), pool(sandbox, state="absent"))
    assert [result["changed"] for result in results] == [True, False]
    assert "gpunp" not in pools(sandbox)


def test_a_pool_that_is_being_deleted_is_awaited_and_created(sandbox: Sandbox, ansible: Ansible) -> None:
    results = play(
        ansible,
        pool(sandbox, **ARTICLE),
        pool(sandbox, state="absent", wait=False),
        pool(sandbox, **ARTICLE, check=True),
        pool(sandbox, **ARTICLE),
    )
    assert [result["changed"] for result in results] == [True] * 4
    assert properties(sandbox)["provisioningState"] == "Succeeded"


def test_a_create_never_overwrites(sandbox: Sandbox, ansible: Ansible) -> None:
    mark = sandbox.mark()
    play(ansible, pool(sandbox, **ARTICLE))
    (put,) = puts(sandbox, mark)
    headers = {name.lower(): value for name, value in put["request_headers"].items()}
    assert headers["if-none-match"] == "*"


def test_a_late_update_is_planned_again(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **ARTICLE))
    sandbox.fault("PUT", "agentPools/gpunp", precondition_failed=True)
    (result,) = play(ansible, pool(sandbox, max_count=4))
    assert result["changed"]
    assert properties(sandbox)["maxCount"] == 4


def test_somebody_elses_change_of_the_same_option_is_not_overwritten(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **ARTICLE))
    planted = sandbox.fault("PUT", "agentPools/gpunp", hang=5)

    def meddle() -> None:
        while not any(fault["id"] == planted and fault["hits"] for fault in sandbox.faults()):
            time.sleep(0.1)
        sandbox.act("pool", cluster=sandbox.cluster, pool="gpunp", properties={"maxCount": 7})

    meddler = threading.Thread(target=meddle, daemon=True)
    meddler.start()
    (result,) = play(ansible, pool(sandbox, max_count=4))
    meddler.join(timeout=10)
    assert "max_count was 3, is now 7, and shall become 4" in text_of(result)
    assert properties(sandbox)["maxCount"] == 7


def test_abort_ends_a_stuck_operation(sandbox: Sandbox, ansible: Ansible) -> None:
    play(ansible, pool(sandbox, **ARTICLE))
    sandbox.fault("PUT", "agentPools/gpunp", operation={"endless": True})
    play(ansible, pool(sandbox, max_count=4, wait=False))
    (stuck,) = play(ansible, pool(sandbox, max_count=4, wait_timeout=2))
    assert "abort: true" in text_of(stuck)
    (result,) = play(ansible, pool(sandbox, max_count=4, abort=True))
    assert result["changed"]
    assert properties(sandbox)["provisioningState"] == "Succeeded"
    assert properties(sandbox)["maxCount"] == 4


@pytest.mark.parametrize("disputed", ["refuse", "accept"])
def test_two_pools_of_one_cluster(sandbox: Sandbox, ansible: Ansible, disputed: str) -> None:
    sandbox.set(two_pools_at_a_time=disputed)
    names = ("one", "two")
    started = play(ansible, *(pool(sandbox, name, **ARTICLE, wait=False) for name in names))
    awaited = play(ansible, *(pool(sandbox, name, **ARTICLE) for name in names))
    assert [result["changed"] for result in started + awaited] == [True, True, False, False]
    assert [properties(sandbox, name)["provisioningState"] for name in names] == ["Succeeded"] * 2


def test_a_conflict_that_does_not_pass_fails_at_once(sandbox: Sandbox, ansible: Ansible) -> None:
    locked = {"error": {"code": "ScopeLocked", "message": "The scope cannot perform write operation: it is locked."}}
    sandbox.fault("PUT", "agentPools/gpunp", status=409, body=locked)
    mark = sandbox.mark()
    (result,) = play(ansible, pool(sandbox, **ARTICLE))
    assert "ScopeLocked" in text_of(result)
    assert len(puts(sandbox, mark)) == 1
    assert "gpunp" not in pools(sandbox)
