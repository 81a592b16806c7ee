# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make first-run` works out for itself: the price, what a playbook has done, whether a name got through."""

from __future__ import annotations

import json
from typing import Any

import first_run
import pytest
from first_run import Price

TASK = {"host": "localhost", "task": "Task", "action": "x", "status": "ok", "result": {}}


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        # As https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices shows items.
        ({}, True),
        ({"productName": "Virtual Machines NCasT4 v3 Series Windows"}, False),
        ({"skuName": "NC4as T4 v3 Spot"}, False),
        ({"skuName": "NC4as T4 v3 Low Priority"}, False),
        ({"type": "Reservation", "unitOfMeasure": "1 Hour"}, False),
        ({"unitOfMeasure": "1/Month"}, False),
    ],
)
def test_the_price_is_that_of_a_regular_linux_machine(fields: dict[str, Any], taken: bool) -> None:
    item = {"productName": "Virtual Machines NCasT4 v3 Series", "skuName": "NC4as T4 v3", "meterName": "NC4as T4 v3",
            "unitOfMeasure": "1 Hour", "type": "Consumption", "retailPrice": 0.526, **fields}  # fmt: skip
    assert first_run.is_linux_by_the_hour(item) is taken


def test_a_price_that_is_not_told_is_not_made_up() -> None:
    price = first_run.price_of("westus2", "Standard_NC4as_T4_v3", "http://127.0.0.1:9/prices")
    assert price.amount is None
    text = first_run.cost_text(price, "Standard_NC4as_T4_v3", "westus2")
    assert "not known: http://127.0.0.1:9/prices did not say it" in text
    assert first_run.PRICE_PAGE in text


def test_what_a_run_costs() -> None:
    text = first_run.cost_text(Price(0.526, "USD"), "Standard_NC4as_T4_v3", "westus2")
    assert "0.53 USD an hour" in text
    assert "roughly 0.26 USD" in text


def test_what_a_playbook_has_done() -> None:
    lines = [
        json.dumps({**TASK, "task": "Apply", "result": {"changed": True}}),
        json.dumps({**TASK, "task": "Look", "result": {"changed": False}}),
        json.dumps({**TASK, "task": "Wait", "status": "failed", "result": {"msg": "Too late.", "changed": True}}),
        json.dumps({"stats": {"localhost": {"ok": 2, "failures": 1}}}),
    ]
    ended = first_run.played(2, lines)
    assert (ended.changed, ended.failures, ended.ended) == (["Apply"], ["Too late."], True)
    killed = first_run.played(-9, [*lines[:1], lines[1][:20]])
    assert (killed.changed, killed.ended) == (["Apply"], False)


def test_names_are_looked_for_as_words() -> None:
    text = '{"name":"cluster-1","vmSize":"Standard_NC4as_T4_v3","tags":{"x":"Contoso"}}'
    assert first_run.telling_values(text, ["contoso", "standard", "cluster", "as", "", "prod"]) == [
        "cluster",
        "contoso",
        "standard",
    ]
    assert first_run.telling_values(text, ["lust", "conto"]) == []


@pytest.mark.parametrize("name", ["Gpu", "1gpu", "a-b", "abcdefghijklm", ""])
def test_a_pool_name_that_aks_refuses_is_refused_first(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        first_run.parsed(["--resource-group", "g", "--cluster", "c", "--pool", name])
    assert ended.value.code == 2
    assert "is not a valid name" in capsys.readouterr().err
