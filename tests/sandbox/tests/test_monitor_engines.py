"""The engines that answer queries really filter and aggregate, and refuse what they don't know."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from aks_sandbox.arm import kql, promql

NOW = datetime(2026, 11, 22, 18, 0, tzinfo=timezone.utc)
TYPES = {"TimeGenerated": "datetime", "Computer": "string", "Name": "string", "Val": "real", "Tags": "string"}
TABLE = kql.Table(
    TYPES,
    [
        {
            "TimeGenerated": NOW - timedelta(minutes=number),
            "Computer": f"node{number % 3}",
            "Name": "a" if number % 2 else "B",
            "Val": float(number),
            "Tags": json.dumps({"x/y": f"C{number % 2}", "list": [number]}),
        }
        for number in range(12)
    ],
)


def asked(text: str) -> list[list[Any]]:
    return list(kql.as_json(kql.run("T | " + text, {"T": TABLE}, NOW))["rows"])


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("count", [[12]]),
        ('where Name == "b" | count', [[0]]),
        ('where Name =~ "b" | count', [[6]]),
        ('where Name in ("a") and Val > 5 | count', [[3]]),
        ('where Name in~ ("A", "b") | count', [[12]]),
        ('where Name !in ("a") or Val == 1 | count', [[7]]),
        ("where TimeGenerated between (ago(3m) .. now()) | count", [[4]]),
        ("where TimeGenerated >= datetime(2026-11-22T17:58:00Z) | count", [[3]]),
        ('where Computer endswith "1" and not(Val == 1) | summarize sum(Val)', [[21.0]]),
        ('extend t = todynamic(Tags) | where tostring(t["x/y"]) == "C1" | summarize avg(Val)', [[6.0]]),
        ("extend t = parse_json(Tags) | extend n = tolong(t.list[0]) | summarize max(n), dcount(Computer)", [[11, 3]]),
        ("summarize n = count() by Name | order by Name asc", [["B", 6], ["a", 6]]),
        ("summarize arg_max(TimeGenerated, Val) by Computer | project Val | order by Val asc", [[0.0], [1.0], [2.0]]),
        ("summarize (Last, Value) = arg_max(Val, Name) | project Last, Value", [[11.0, "a"]]),
        ("summarize sum(Val) by bin(TimeGenerated, 10m) | project sum_Val", [[0.0], [55.0], [11.0]]),
        ("top 2 by Val | project Val", [[11.0], [10.0]]),
        ("distinct Computer | count", [[3]]),
        ("project Val, half = Val / 2 | where half == 5.5 | project-away Val", [[5.5]]),
        ('where tostring(split(Computer, "e")[1]) == "2" | take 1 | project Computer', [["node2"]]),
    ],
)
def test_kql(query: str, rows: list[list[Any]]) -> None:
    assert asked(query) == rows


@pytest.mark.parametrize(
    ("query", "semantic"),
    [
        ("T | where Nothing == 1", True),
        ("Nothing | count", True),
        ("T | where foo(Val)", True),
        ("T | render timechart", False),
        ("T | where Val >", False),
        ('T | where Name == "open', False),
        ("T | join (T) on Name", False),
        ("", False),
    ],
)
def test_kql_refuses_what_it_does_not_know(query: str, semantic: bool) -> None:
    with pytest.raises(kql.KqlError) as caught:
        kql.run(query, {"T": TABLE}, NOW)
    assert caught.value.semantic is semantic


def series(name: str, values: list[float], **labels: str) -> promql.Series:
    samples = [(60.0 * number, value) for number, value in enumerate(values)]
    return promql.Series({"__name__": name, **labels}, samples)


SERIES = [
    series("used", [1, 2, 3, 4, 5], gpu="0", node="a"),
    series("used", [10, 20, 30, 40, 50], gpu="1", node="a"),
    series("free", [9, 8, 7, 6, 5], gpu="0", node="a"),
    series("total", [0, 60, 120, 180, 240], node="a"),
]


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("used", [5.0, 50.0]),
        ('used{gpu="0"}', [5.0]),
        ('used{gpu!="0"}', [50.0]),
        ('used{gpu=~"0|2"}', [5.0]),
        ('{__name__=~"us.*",gpu!~"0"}', [50.0]),
        ("avg_over_time(used[2m])", [4.5, 45.0]),
        ("max by (node) (used)", [50.0]),
        ("sum(used) by (node) / 11", [5.0]),
        ("sum without (gpu) (used)", [55.0]),
        ("used > 10", [50.0]),
        ("used + on (gpu, node) free", [10.0]),
        ("used * 2 - 1", [9.0, 99.0]),
        ("rate(total[3m])", [120.0 / 180.0]),
        ("count(used or free)", [2.0]),
        ("nothing", []),
    ],
)
def test_promql(query: str, values: list[float]) -> None:
    found = promql.Query(query, SERIES).instant(240.0)
    assert isinstance(found, dict)
    assert sorted(found.values()) == pytest.approx(values)


def test_promql_looks_back_five_minutes() -> None:
    assert promql.Query("used", SERIES).instant(240.0 + 299) != {}
    assert promql.Query("used", SERIES).instant(240.0 + 300) == {}


def test_promql_ranges() -> None:
    found = promql.Query('used{gpu="0"}', SERIES).range(0.0, 240.0, 120.0)
    assert list(found.values()) == [[(0.0, 1.0), (120.0, 3.0), (240.0, 5.0)]]


@pytest.mark.parametrize(
    "query", ["", "used{", "used[5m]", "histogram_quantile(0.9, used)", "rate(used)", "used $", "topk(1, used)"]
)
def test_promql_refuses_what_it_does_not_know(query: str) -> None:
    with pytest.raises(promql.PromqlError):
        promql.Query(query, SERIES).instant(240.0)
