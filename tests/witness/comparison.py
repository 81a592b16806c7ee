# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds rows against observations. Pure: no file, no network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from exchanges import ELEMENTS, GROUPS, Observation
from tables import Row

Json = dict[str, Any]

AGREES, DIFFERS, UNEXERCISED = "agrees", "differs", "not exercised"
ROOTS = ("request", "sent", "created", "before", "running", "query", "cluster")
STAND_IN = re.compile(
    r"REDACTED|00000000-0000-0000-0000-\d{12}|(?<![\w-])(?:monitor-workspace|scale-set|[a-z]{3,12})-\d+(?![\w-])"
)
"""What a redacted recording has in place of a name, an id or a secret, such as `cluster-1`."""


ELSEWHERE = {("cluster", "properties.agentPoolProfiles"), ("provider", "resourceTypes")}
"""What is below these fields is looked at as elements."""


class _Missing:
    def __repr__(self) -> str:
        return "absent"


MISSING = _Missing()


@dataclass(frozen=True)
class Result:
    """How a row came out.

    Attributes:
        verdict: AGREES, DIFFERS or UNEXERCISED.
        answers: how many answers it was held against.
        reason: the first answer that differs, and how.
    """

    row: Row
    verdict: str
    answers: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Unwitnessed:
    """A field, value or header that was answered and that no row covers."""

    kind: str
    what: str
    example: str


def compare(rows: Iterable[Row], seen: Sequence[Observation], real: bool = False) -> list[Result]:
    """Every row with its result.

    Args:
        rows: of the tables.
        seen: what was observed.
        real: it is a redacted recording of Azure. A text with stand-ins in it that doesn't fit shows nothing, and what
            only some answers show may be missing.
    """
    by_kind: dict[str, list[Observation]] = {}
    for each in seen:
        for kind in (each.kind, *(group for group in GROUPS if group in each.tags)):
            by_kind.setdefault(kind, []).append(each)
    return [
        Result(row, UNEXERCISED) if row.real_only and not real else _compare(row, by_kind.get(row.of[0], []), real)
        for row in rows
    ]


def concerned(row: Row, each: Observation) -> bool:
    """Is the row about this answer?"""
    kind, *tags = row.of
    if (row.header or row.status) and each.tags & {"listed", "profile"}:
        return False
    if kind != each.kind and (kind not in GROUPS or kind not in each.tags):
        return False
    for tag in tags:
        if (tag[1:] in each.tags) if tag.startswith("!") else (tag not in each.tags):
            return False
    return _api_fits(row.api, each.api) and all(_is(each, path, value) for path, value in row.when.items())


def _compare(row: Row, seen: Sequence[Observation], real: bool) -> Result:
    matching = [each for each in seen if concerned(row, each)]
    if row.sequence:
        checked = list(_sequences(row, matching))
    else:
        checked = [(each, found) for each in matching for found in [_complaint(row, each, real)] if found is not None]
    if not checked:
        return Result(row, UNEXERCISED)
    wrong = [(each, complaint) for each, complaint in checked if complaint]
    if not wrong or (row.some and len(wrong) < len(checked)):
        return Result(row, AGREES, len(checked))
    if row.some and real:
        return Result(row, UNEXERCISED)
    each, complaint = wrong[0]
    return Result(row, DIFFERS, len(checked), f"{complaint} ({each.where}, {each.api or 'no api-version'})")


def _complaint(row: Row, each: Observation, real: bool) -> str | None:
    """What is wrong with an answer; "" for nothing, None when it shows nothing of what the row says."""
    if row.status:
        fits = any(_status_fits(wanted, each.status) for wanted in row.status)
        return "" if fits else f"the status is {each.status}"
    if row.header:
        value: Any = each.headers.get(row.header, MISSING)
        if row.absent:
            return "" if value is MISSING else f"{row.header} is there: {shown(value)}"
        return _value_complaint(row, each, row.header, value, real)
    places = walk(each.body, row.field)
    if row.has is not None:
        values = [value for _parent, _name, value in places if value is not MISSING]
        return "" if any(_equal(value, row.has) for value in values) else f"{row.field} has no {row.has!r}"
    complaints = []
    for parent, name, value in places:
        if row.absent:
            complaints.append("" if value is MISSING else f"{row.field} is there: {shown(value)}")
            continue
        found = _value_complaint(row, each, row.field, value, real)
        if found == "" and row.last and list(parent)[-1] != name:
            found = f"{row.field} is not the last key, {list(parent)[-1]} is"
        if found is not None:
            complaints.append(found)
    if not complaints:
        return None
    return next(filter(None, complaints), "")


def _value_complaint(row: Row, each: Observation, name: str, value: Any, real: bool) -> str | None:
    if value is MISSING:
        return None if row.optional else f"{name} is absent"
    if row.type and type_of(value) not in _types(row.type):
        return f"{name} is {shown(value)}, of type {type_of(value)}"
    complaint = _content_complaint(row, each, name, value)
    if complaint and real and isinstance(value, (str, list)) and STAND_IN.search(json.dumps(value)):
        return None
    return complaint


def _content_complaint(row: Row, each: Observation, name: str, value: Any) -> str | None:
    if row.values and not any(_equal(value, wanted) for wanted in row.values):
        return f"{name} is {shown(value)}"
    if row.pattern and not re.fullmatch(row.pattern, value if isinstance(value, str) else str(value), re.DOTALL):
        return f"{name} is {shown(value)}"
    if row.ends and not (isinstance(value, list) and value and value[-1] in row.ends):
        return f"{name} ends with {shown(value[-1:] if isinstance(value, list) else value)}"
    if row.order and (not isinstance(value, list) or value != sorted(value, reverse=True)):
        return f"{name} is not {row.order}: {shown(value)}"
    if row.same:
        wanted = _lookup(each, row.same)
        if wanted is MISSING:
            return None
        if not _equal(value, wanted):
            return f"{name} is {shown(value)}, {row.same} is {shown(wanted)}"
    return ""


def _sequences(row: Row, seen: Sequence[Observation]) -> Iterator[tuple[Observation, str]]:
    """The states of each chain that has come to an end."""
    chains: dict[int, list[Observation]] = {}
    for each in seen:
        if each.chain:
            chains.setdefault(each.chain, []).append(each)
    for chain in chains.values():
        states: list[str] = []
        for each in chain:
            for _parent, _name, value in walk(each.body, row.sequence):
                if value is not MISSING and (not states or states[-1] != str(value)):
                    states.append(str(value))
        if "ended" in chain[-1].tags:
            text = " > ".join(states)
            yield chain[0], "" if re.fullmatch(row.pattern, text) else f"{row.sequence} is {text}"


# values


def walk(body: Any, path: str) -> list[tuple[Any, str, Any]]:
    """Every place of a path: the object it is in, its name there, and its value or MISSING.

    A missing object on the way makes one place that is missing; an empty array makes none.
    """
    places: list[tuple[Any, str, Any]] = [({}, "", body)]
    for part in path.replace("[]", ".[]").split(".") if path else []:
        step: list[tuple[Any, str, Any]] = []
        for _parent, _name, value in places:
            if part == "[]":
                elements = value if isinstance(value, list) else []
                step += [(value, "", each) for each in elements]
                if not isinstance(value, list):
                    step.append((value, "", MISSING))
            elif part == "*":
                step += [(value, name, each) for name, each in value.items()] if isinstance(value, dict) else []
            elif isinstance(value, dict):
                step.append((value, part, value.get(part, MISSING)))
            else:
                step.append((value, part, MISSING))
        places = step
    return places


def type_of(value: Any) -> str:
    """The JSON type; whole numbers are `int`."""
    if value is None:
        return "null"
    names = {bool: "bool", int: "int", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _types(text: str) -> set[str]:
    types = set(text.split("|"))
    return types | {"int"} if "number" in types else types


def shown(value: Any) -> str:
    """A value in at most 160 characters."""
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:157]}…"


def _equal(one: Any, other: Any) -> bool:
    return type_of(one) == type_of(other) and bool(one == other)


def _status_fits(wanted: int | str, status: int) -> bool:
    return str(status)[0] == str(wanted)[0] if isinstance(wanted, str) else status == wanted


def _api_fits(wanted: str, api: str) -> bool:
    """Previews fit where nothing is said, and where they are named themselves."""
    if not wanted:
        return True
    bare = wanted.lstrip("<>=")
    if api.endswith("-preview") != bare.endswith("-preview"):
        return False
    if wanted.startswith(">="):
        return api >= bare
    return "" < api <= bare if wanted.startswith("<=") else api == bare


def _lookup(each: Observation, path: str) -> Any:
    root, _dot, rest = path.partition(".")
    if root in ("operation", "segment"):
        return each.known[root] or MISSING
    if root in ROOTS:
        return _one(each.known[root], rest)
    return _one(each.body, path)


def _one(body: Any, path: str) -> Any:
    places = walk(body, path)
    return places[0][2] if places else MISSING


def _is(each: Observation, path: str, wanted: Any) -> bool:
    value = _lookup(each, path)
    if wanted in ("present", "absent"):
        return (value is not MISSING) is bool(wanted == "present")
    if isinstance(wanted, str) and wanted.startswith("~"):
        return isinstance(value, str) and bool(re.search(wanted[1:], value))
    return value is not MISSING and _equal(value, wanted)


# what no row covers


def unwitnessed(rows: Sequence[Row], seen: Iterable[Observation]) -> list[Unwitnessed]:
    """Fields, headers and values that were answered and that no row covers; each once for a kind of resource."""
    fields: dict[tuple[str, str], Unwitnessed] = {}
    for each in seen:
        refused = "refused" in each.tags
        kind = f"{each.kind} refused" if refused else each.kind
        relevant = [
            row
            for row in rows
            if row.of[0] in (each.kind, *GROUPS) and (row.header or ("refused" in row.of) == refused)
        ]
        known = {row.field for row in relevant if row.field} | {row.sequence for row in relevant if row.sequence}
        free = {row.field for row in relevant if row.field and row.open}
        elsewhere = each.kind == "abort" and "body" in each.tags  # it is seen as a pool or a cluster, too
        body = {} if elsewhere else each.body
        for path, value in _paths(each, body, "", free):
            if not any(_covers(pattern, path) for pattern in known):
                fields.setdefault((kind, path), Unwitnessed(kind, path, shown(value)))
        headers = {row.header for row in relevant if row.header}
        for name in sorted(set(each.headers) - headers):
            what = f"header {name}"
            fields.setdefault(("several", what), Unwitnessed("several", what, shown(each.headers[name])))
        for row in relevant:
            if row.seen and row.field and concerned(row, each):
                for _parent, _name, value in walk(each.body, row.field):
                    if value is not MISSING and not any(_equal(value, known_one) for known_one in row.seen):
                        what = f"{row.field} = {shown(value)}"
                        fields.setdefault((kind, what), Unwitnessed(kind, what, f"recorded: {shown(list(row.seen))}"))
    return sorted(fields.values(), key=lambda each: (each.kind, each.what))


def _paths(each: Observation, value: Any, path: str, free: set[str]) -> Iterator[tuple[str, Any]]:
    if any(_covers(pattern, path) and pattern.count(".") == path.count(".") for pattern in free):
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            below = f"{path}.{name}" if path else name
            yield below, inner
            if (each.kind, below) in ELSEWHERE:
                continue
            yield from _paths(each, inner, below, free)
    elif isinstance(value, list) and not (path == "value" and each.kind in ELEMENTS):
        for inner in value:
            yield from _paths(each, inner, f"{path}[]", free)


def _covers(pattern: str, path: str) -> bool:
    """Is the path the pattern's, or on the way to it?"""
    wanted, is_ = pattern.replace("[]", "").split("."), path.replace("[]", "").split(".")
    if len(is_) > len(wanted):
        return False
    return all(one in ("*", other) for one, other in zip(wanted, is_, strict=False))
