# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which run has created something, and what a removal that is limited to a run leaves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._runs import limit_of_task, run_of_task, why_kept
from ansible_collections.aks.gpu.plugins.module_utils._azure._ownership import creating_run
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._manifest import _ManifestWork
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import option_values
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._plan import plan_pool

Json = dict[str, Any]
MINE, THEIRS = "awx.example.com/57", "awx.example.com/41"
MARKS = {"aks.gpu.created-by": "aks.gpu", "aks.gpu.run": MINE}


def wanted(**options: Any) -> Any:
    return option_values({"vm_size": "Standard_NC4as_T4_v3", "count": 1, **options})


def pool_of(run: str | None, **options: Any) -> Json:
    body = plan_pool(None, wanted(**options), run).steps[0].body
    return {"id": "/x", "name": "gpunp", "properties": {**body["properties"], "provisioningState": "Succeeded"}}


def limited(run: str | None = MINE, only_run: bool = True) -> Json:
    return {"run": run, "only_run": only_run}


def test_a_new_pool_says_which_run_creates_it_besides_the_users_tags() -> None:
    assert pool_of(MINE)["properties"]["tags"] == MARKS
    assert pool_of(MINE, tags={"team": "vision"})["properties"]["tags"] == {**MARKS, "team": "vision"}
    assert pool_of(MINE, tags={"AKS.GPU.Run": THEIRS})["properties"]["tags"] == MARKS
    assert pool_of(None)["properties"]["tags"] == {"aks.gpu.created-by": "aks.gpu"}


def test_another_run_finds_nothing_to_change_and_keeps_the_mark() -> None:
    pool = pool_of(MINE, tags={"team": "vision"})
    assert plan_pool(pool, wanted(tags={"team": "vision"}), THEIRS).action == "nothing"
    (step,) = plan_pool(pool, wanted(tags={"team": "speech"}), THEIRS).steps
    assert step.body["properties"]["tags"] == {**MARKS, "team": "speech"}
    (step,) = plan_pool(pool, wanted(tags={}), THEIRS).steps
    assert step.body["properties"]["tags"] == MARKS


def test_a_pool_of_somebody_else_gets_no_mark() -> None:
    pool = {"id": "/x", "name": "gpunp", "properties": {"count": 1, "tags": {"team": "vision"}}}
    (step,) = plan_pool(pool, option_values({"count": 2}), MINE).steps
    assert step.body["properties"]["tags"] == {"team": "vision"}


@pytest.mark.parametrize(
    ("tags", "run"),
    [({"AKS.GPU.RUN": MINE}, MINE), ({"aks.gpu.run": ""}, None), ({}, None), (None, None)],
)
def test_the_mark_is_read_without_letter_case(tags: Json | None, run: str | None) -> None:
    assert creating_run(tags) == run


@pytest.mark.parametrize(
    ("noted", "task", "reason"),
    [
        (MINE, limited(), None),
        (THEIRS, limited(), f"run {THEIRS} created it, not run {MINE}"),
        (MINE.upper(), limited(), f"run {MINE.upper()} created it, not run {MINE}"),
        (None, limited(), f"it does not say which run created it, so it is not known to be of run {MINE}"),
        ("", limited(), f"it does not say which run created it, so it is not known to be of run {MINE}"),
        (None, limited(only_run=False), None),
        (THEIRS, limited(run=None, only_run=False), None),
    ],
)
def test_only_what_says_so_is_of_a_run(noted: str | None, task: Json, reason: str | None) -> None:
    assert why_kept(noted, task) == reason


@pytest.mark.parametrize("run", [None, "", "  "])
def test_a_limit_without_a_run_is_refused(run: str | None) -> None:
    """An emptied answer must not turn a limited removal into one without limits."""
    with pytest.raises(Failure, match="only_run: true requires run"):
        limit_of_task(limited(run=run))
    with pytest.raises(Failure, match="only_run: true requires run"):
        why_kept(MINE, limited(run=run))


@pytest.mark.parametrize("run", ["x" * 257, "two\nlines"])
def test_a_run_that_no_tag_can_hold_is_refused(run: str) -> None:
    with pytest.raises(Failure, match="at most 256 characters"):
        run_of_task(limited(run=run))


def marks(live: Json | None, run: str | None) -> Json:
    task = SimpleNamespace(params={"run": run, "only_run": False, "field_manager": "aks.gpu"})
    return _ManifestWork(task, None, "default")._marks(live)  # type: ignore[arg-type]


def test_an_object_keeps_the_mark_of_the_run_that_created_it() -> None:
    ours, run = {"aks.gpu/created-by": "aks.gpu"}, "aks.gpu/run"
    assert marks(None, MINE) == {**ours, run: MINE}
    assert marks(None, None) == ours
    assert marks({"metadata": {"annotations": {**ours, run: THEIRS}}}, MINE) == {**ours, run: THEIRS}
    assert marks({"metadata": {"annotations": ours}}, MINE) == ours
    assert marks({"metadata": {"annotations": {"team": "vision"}}}, MINE) == {}
    assert marks({"metadata": {}}, MINE) == {}
