# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of recorded facts: `tables/*.yml`, and `witnesses.yml`, which says what each fact was read from.

README.md, beside this file, describes a row.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from exchanges import GROUPS, KINDS

Json = dict[str, Any]

FOLDER = Path(__file__).parent
TYPES = ("string", "int", "number", "bool", "object", "array", "null")
ORDERS = ("descending",)


class TableError(Exception):
    """A table that can't be read as one. The text names the row."""


@dataclass(frozen=True)
class Row:
    """One recorded fact. Exactly one of `status`, `header`, `field` and `sequence` says what it is about.

    Attributes:
        id: its name; the part before the first dot is the table's.
        of: tags that an answer has to have; `!tag` must not be there. The first is a kind or a group.
        witness: keys of witnesses.yml.
        api: the api-versions it holds for: "", one, or one with `>=` or `<=` before it.
        when: paths in the answer's body, or below `sent`, `request`, `created`, `before`, `running`, `cluster` or
            `query`, with the value that they must have; "~…" is a regular expression, `present` and `absent` are words
            of their own.
        status: what the status may be; "4xx" is any of them.
        header: a header's name in lower case.
        field: a path in the body; `[]` is each element, `*` each key.
        sequence: a path whose values are taken from a write and the reads after it, and joined by " > ".
        absent: there is no such field, or header.
        optional: it may be missing.
        type: its JSON type, of `TYPES`, or several of them separated by "|".
        values: what it may be.
        seen: what was recorded, where more is possible: other values are without witness.
        pattern: a regular expression that it fits as a whole.
        same: a path, as in `when`, whose value it equals.
        last: it is the last key of its object.
        order: of an array.
        ends: what an array's last element may be.
        has: one of the values at the path is this; the others don't matter.
        open: what is below the field is not fixed: maps with keys of the user's, and the like.
        some: one of the answers has to agree; the others may be different.
        note: what is doubtful about it.
        unexercised: why the sequences can't show it.
        real_only: why the sandbox can't be as Azure is there; the row is for recordings.
    """

    id: str
    of: tuple[str, ...]
    witness: tuple[str, ...]
    api: str = ""
    when: Json = dataclasses.field(default_factory=dict)
    status: tuple[int | str, ...] = ()
    header: str = ""
    field: str = ""
    sequence: str = ""
    absent: bool = False
    optional: bool = False
    type: str = ""
    values: tuple[Any, ...] = ()
    seen: tuple[Any, ...] = ()
    pattern: str = ""
    same: str = ""
    last: bool = False
    order: str = ""
    ends: tuple[Any, ...] = ()
    has: Any = None
    open: bool = False
    some: bool = False
    note: str = ""
    unexercised: str = ""
    real_only: str = ""

    @property
    def says(self) -> str:
        """The fact in short."""
        parts = [f"status {' or '.join(map(str, self.status))}"] if self.status else []
        parts += [f"header {self.header}"] if self.header else []
        parts += [self.field] if self.field else []
        parts += [f"sequence of {self.sequence}"] if self.sequence else []
        parts += ["absent"] if self.absent else []
        parts += [self.type] if self.type else []
        parts += ["or absent"] if self.optional else []
        parts += ["is " + " or ".join(repr(each) for each in self.values)] if self.values else []
        parts += [f"fits {self.pattern}"] if self.pattern else []
        parts += [f"equals {self.same}"] if self.same else []
        parts += ["is the last key"] if self.last else []
        parts += [f"is {self.order}"] if self.order else []
        parts += ["ends with " + " or ".join(map(repr, self.ends))] if self.ends else []
        parts += [f"has {self.has!r}"] if self.has is not None else []
        where = " ".join(self.of) + (f", API {self.api}" if self.api else "")
        where += "".join(f", {path} {value!r}" for path, value in self.when.items())
        return f"{' '.join(parts)} [{where}]"


@dataclass(frozen=True)
class Witness:
    """Where a fact was read. `api`: the real api-version, as far as it is known."""

    key: str
    what: str
    recorded: str
    api: str = ""


def read_witnesses(folder: Path = FOLDER) -> dict[str, Witness]:
    """The witnesses by their key."""
    entries = yaml.safe_load((folder / "witnesses.yml").read_text())
    return {key: Witness(key, **entry) for key, entry in entries.items()}


def read_rows(folder: Path = FOLDER) -> list[Row]:
    """All rows, in the order of the files and of the rows in them.

    Raises:
        TableError: a row that is not one, an id that two rows have, or a witness that is not in the table of them.
    """
    witnesses = read_witnesses(folder)
    rows: dict[str, Row] = {}
    for path in sorted((folder / "tables").glob("*.yml")):
        for entry in yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            row = _row(entry, path.name)
            if row.id in rows:
                raise TableError(f"{path.name}: {row.id} is there twice")
            if unknown := set(row.witness) - set(witnesses):
                raise TableError(f"{path.name}: {row.id}: witnesses.yml has no {', '.join(sorted(unknown))}")
            rows[row.id] = row
    return list(rows.values())


def _row(entry: Json, name: str) -> Row:
    if not isinstance(entry, dict) or "id" not in entry:
        raise TableError(f"{name}: {entry!r} is not a row")
    where = f"{name}: {entry['id']}"
    known = {each.name for each in dataclasses.fields(Row)}
    if unknown := set(entry) - known:
        raise TableError(f"{where}: unknown {', '.join(sorted(map(str, unknown)))}")
    values = dict(entry)
    values["of"] = tuple(str(entry.get("of", "")).split())
    witness = entry.get("witness") or []
    values["witness"] = tuple(witness if isinstance(witness, list) else [witness])
    for key in ("status", "values", "seen", "ends"):
        if key in values:
            values[key] = tuple(values[key] if isinstance(values[key], list) else [values[key]])
    row = Row(**values)
    _check(row, where)
    return row


def _check(row: Row, where: str) -> None:
    if not row.of or row.of[0] not in (*KINDS, *GROUPS):
        raise TableError(f"{where}: `of` begins with a kind: {', '.join((*KINDS, *GROUPS))}")
    if not row.witness:
        raise TableError(f"{where}: there is no witness")
    if sum(map(bool, (row.status, row.header, row.field, row.sequence))) != 1:
        raise TableError(f"{where}: exactly one of status, header, field and sequence")
    if not re.fullmatch(r"((>=|<=)?\d{4}-\d\d-\d\d(-preview)?)?", row.api):
        raise TableError(f"{where}: {row.api} is not an api-version")
    facets = (row.absent, row.type, row.values, row.seen, row.pattern, row.same, row.last, row.order, row.ends)
    if not row.status and not row.header and row.has is None and not any(facets):
        raise TableError(f"{where}: it says nothing of {row.field or row.sequence}")
    if unknown := set(filter(None, row.type.split("|"))) - set(TYPES):
        raise TableError(f"{where}: unknown type {', '.join(unknown)}")
    if row.absent and (row.has is not None or any((row.optional, *facets[1:]))):
        raise TableError(f"{where}: what is absent has no type or value")
    if row.order and row.order not in ORDERS:
        raise TableError(f"{where}: unknown order {row.order}")
    re.compile(row.pattern)
