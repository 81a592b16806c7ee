"""A small engine for the part of the Kusto Query Language that questions about metrics take. It filters and aggregates.

Statements `let`; operators where, extend, project, project-away, summarize, distinct, order/sort, top, take/limit,
count; the functions and aggregates below. Names of types are Log Analytics'. A query that goes beyond that is refused
as a syntax error, never answered wrongly.

Witness: Microsoft's reference of the Kusto Query Language.
No witness: the texts of syntax errors.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

Row = dict[str, Any]
Scalar = Callable[[Row], Any]


class KqlError(Exception):
    """A query that can't be run. `semantic`: it reads well, but a name in it is not known."""

    def __init__(self, message: str, *, position: int = 0, token: str = "", semantic: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.token = token
        self.semantic = semantic


@dataclass
class Table:
    """Rows with named, typed columns. `types`: by column, in order."""

    types: dict[str, str]
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Expression:
    """A scalar: how it is computed for a row, its type, and the name a column of it gets by itself."""

    value: Scalar
    type: str
    name: str = ""


@dataclass(frozen=True)
class Aggregate:
    """An aggregate function of a group of rows; `columns`: those that it makes, with their types."""

    values: Callable[[list[Row]], list[Any]]
    columns: list[tuple[str, str]]


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int


_TOKENS = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<datetime>datetime\s*\([^)]*\))
    |(?P<dynamic>dynamic\s*\()
    |(?P<timespan>\d+(?:\.\d+)?(?:ms|[dhms])(?![\w]))
    |(?P<number>\d+\.(?!\.)\d*(?:[eE][+-]?\d+)?|\d+)
    |(?P<string>@?"(?:[^"\\\n]|\\.)*"|@?'(?:[^'\\\n]|\\.)*')
    |(?P<name>[A-Za-z_]\w*(?:-(?:away|rename|keep)\b)?)
    |(?P<operator>==|!=|=~|!~|<=|>=|\.\.|!(?:in|has|contains|startswith|endswith)~?(?![\w])|[|()\[\],;=<>+\-*/%.{}:])""",
    re.VERBOSE,
)
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_TICK = timedelta(microseconds=1)


def run(query: str, tables: Mapping[str, Table], now: datetime) -> Table:
    """The answer of a query.

    Args:
        query: Its text.
        tables: What there is to be queried, by name.
        now: What `now()` and `ago()` go by.

    Raises:
        KqlError: It is no query, or more than this engine knows.
    """
    return _Parser(query, tables, now).run()


class _Parser:
    def __init__(self, query: str, tables: Mapping[str, Table], now: datetime) -> None:
        self._tables = tables
        self._now = now
        self._tokens = list(_tokens(query))
        self._at = 0
        self._lets: dict[str, Expression] = {}
        self._columns: dict[str, str] = {}

    # tokens

    @property
    def _token(self) -> _Token:
        return self._tokens[self._at]

    def _is(self, *texts: str) -> bool:
        return self._token.kind != "string" and self._token.text in texts

    def _take(self, *texts: str) -> bool:
        if self._is(*texts):
            self._at += 1
            return True
        return False

    def _next(self) -> _Token:
        token = self._token
        self._at += 1
        return token

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._unexpected()

    def _unexpected(self) -> KqlError:
        token = self._token
        return KqlError(f"Query could not be parsed at '{token.text}'", position=token.position, token=token.text)

    def _identifier(self) -> str:
        if self._token.kind != "name":
            raise self._unexpected()
        return self._next().text

    # statements and operators

    def run(self) -> Table:
        while self._take("let"):
            name = self._identifier()
            self._expect("=")
            self._lets[name] = self._scalar()
            self._expect(";")
        token = self._token
        name = self._identifier()
        if name not in self._tables:
            raise KqlError(
                f"Failed to resolve table or column or scalar or function expression named '{name}'",
                position=token.position,
                token=name,
                semantic=True,
            )
        source = self._tables[name]
        table = Table(dict(source.types), source.rows)
        while self._take("|"):
            operator = self._identifier()
            step = getattr(self, "_op_" + operator.replace("-", "_"), None)
            if step is None:
                self._at -= 1
                raise self._unexpected()
            self._columns = table.types
            table = step(table)
        self._take(";")
        if self._token.kind != "end":
            raise self._unexpected()
        return table

    def _op_where(self, table: Table) -> Table:
        condition = self._scalar()
        return Table(table.types, [row for row in table.rows if condition.value(row)])

    def _named(self) -> tuple[str, Expression]:
        """`name = expression`, or an expression that names itself."""
        if self._token.kind == "name" and self._tokens[self._at + 1].text == "=":
            name = self._identifier()
            self._expect("=")
            return name, self._scalar()
        expression = self._scalar()
        return expression.name or "Column1", expression

    def _list(self, item: Callable[[], Any]) -> list[Any]:
        found = [item()]
        while self._take(","):
            found.append(item())
        return found

    def _op_extend(self, table: Table) -> Table:
        for name, expression in self._list(self._named_and_known):
            table = Table(
                {**table.types, name: expression.type},
                [{**row, name: expression.value(row)} for row in table.rows],
            )
        return table

    def _named_and_known(self) -> tuple[str, Expression]:
        name, expression = self._named()
        self._columns = {**self._columns, name: expression.type}
        return name, expression

    def _op_project(self, table: Table) -> Table:
        chosen = self._list(self._named)
        return Table(
            {name: expression.type for name, expression in chosen},
            [{name: expression.value(row) for name, expression in chosen} for row in table.rows],
        )

    def _op_project_away(self, table: Table) -> Table:
        gone = set(self._list(self._identifier))
        return Table(
            {name: kind for name, kind in table.types.items() if name not in gone},
            [{name: value for name, value in row.items() if name not in gone} for row in table.rows],
        )

    def _op_distinct(self, table: Table) -> Table:
        names = self._list(self._identifier)
        seen = {_key([row[name] for name in names]): {name: row[name] for name in names} for row in table.rows}
        return Table({name: self._type_of(name) for name in names}, list(seen.values()))

    def _op_count(self, table: Table) -> Table:
        return Table({"Count": "long"}, [{"Count": len(table.rows)}])

    def _op_take(self, table: Table) -> Table:
        return Table(table.types, table.rows[: int(self._scalar().value({}))])

    _op_limit = _op_take

    def _op_top(self, table: Table) -> Table:
        count = int(self._primary().value({}))
        ordered = self._ordered(table)
        return Table(ordered.types, ordered.rows[:count])

    def _op_order(self, table: Table) -> Table:
        return self._ordered(table)

    _op_sort = _op_order

    def _ordered(self, table: Table) -> Table:
        self._expect("by")

        def one() -> tuple[Expression, bool]:
            expression = self._scalar()
            descending = not self._take("asc")
            if descending:
                self._take("desc")
            return expression, descending

        rows = list(table.rows)
        for expression, descending in reversed(self._list(one)):
            rows.sort(key=lambda row: _sortable(expression.value(row)), reverse=descending)
        return Table(table.types, rows)

    def _op_summarize(self, table: Table) -> Table:
        aggregates: list[Aggregate] = [] if self._is("by") else self._list(self._aggregate)
        keys: list[tuple[str, Expression]] = self._list(self._named) if self._take("by") else []
        groups: dict[Any, tuple[list[Any], list[Row]]] = {}
        for row in table.rows:
            values = [expression.value(row) for _name, expression in keys]
            groups.setdefault(_key(values), (values, []))[1].append(row)
        if not keys and not groups:
            groups[()] = ([], [])
        types = {name: expression.type for name, expression in keys}
        columns = [column for aggregate in aggregates for column in aggregate.columns]
        for position, (name, kind) in enumerate(columns):
            unique = name
            while unique in types:  # as Kusto does with a name that is taken
                unique = f"{name}{position + 1}"
            types[unique] = kind
        rows = []
        for values, members in groups.values():
            made = [value for aggregate in aggregates for value in aggregate.values(members)]
            rows.append(dict(zip(types, [*values, *made], strict=True)))
        return Table(types, rows)

    def _aggregate(self) -> Aggregate:
        names: list[str] = []
        if self._is("("):
            self._next()
            names = self._list(self._identifier)
            self._expect(")")
            self._expect("=")
        elif self._tokens[self._at + 1].text == "=":
            names = [self._identifier()]
            self._expect("=")
        token = self._token
        function = self._identifier()
        self._expect("(")
        maker = getattr(self, "_agg_" + function, None)
        if maker is None:
            raise KqlError(f"Unknown function: '{function}'", position=token.position, token=function, semantic=True)
        aggregate: Aggregate = maker()
        self._expect(")")
        renamed = [
            (names[number] if number < len(names) else name, kind)
            for number, (name, kind) in enumerate(aggregate.columns)
        ]
        return Aggregate(aggregate.values, renamed)

    def _agg_count(self) -> Aggregate:
        return Aggregate(lambda rows: [len(rows)], [("count_", "long")])

    def _agg_countif(self) -> Aggregate:
        condition = self._scalar()
        return Aggregate(lambda rows: [sum(1 for row in rows if condition.value(row))], [("countif_", "long")])

    def _simple(self, name: str, function: Callable[[list[Any]], Any], kind: str | None = None) -> Aggregate:
        expression = self._scalar()

        def values(rows: list[Row]) -> list[Any]:
            found = [value for row in rows if (value := expression.value(row)) is not None]
            return [function(found) if found else None]

        return Aggregate(values, [(f"{name}_{expression.name}", kind or expression.type)])

    def _agg_sum(self) -> Aggregate:
        return self._simple("sum", sum)

    def _agg_avg(self) -> Aggregate:
        return self._simple("avg", statistics.fmean, "real")

    def _agg_min(self) -> Aggregate:
        return self._simple("min", min)

    def _agg_max(self) -> Aggregate:
        return self._simple("max", max)

    def _agg_dcount(self) -> Aggregate:
        return self._simple("dcount", lambda values: len(set(map(_key, values))), "long")

    def _agg_make_set(self) -> Aggregate:
        return self._simple("set", lambda values: list(dict.fromkeys(values)), "dynamic")

    def _agg_make_list(self) -> Aggregate:
        return self._simple("list", list, "dynamic")

    def _agg_take_any(self) -> Aggregate:
        return self._simple("any", lambda values: values[0])

    def _agg_arg_max(self, best: Callable[..., Any] = max) -> Aggregate:
        by = self._scalar()
        returned: list[tuple[str, Expression]] = []
        while self._take(","):
            if self._take("*"):
                returned += [(name, _column(name, kind)) for name, kind in self._columns.items() if name != by.name]
            else:
                returned.append(self._named())

        def values(rows: list[Row]) -> list[Any]:
            if not rows:
                return [None] * (len(returned) + 1)
            row = best(rows, key=lambda each: _sortable(by.value(each)))
            return [by.value(row), *(expression.value(row) for _name, expression in returned)]

        return Aggregate(
            values, [(by.name or "max_", by.type), *((name, expression.type) for name, expression in returned)]
        )

    def _agg_arg_min(self) -> Aggregate:
        return self._agg_arg_max(min)

    # scalars, loosest binding first

    def _scalar(self) -> Expression:
        left = self._and()
        while self._take("or"):
            left = _both(left, self._and(), lambda one, other: bool(one) or bool(other))
        return left

    def _and(self) -> Expression:
        left = self._comparison()
        while self._take("and"):
            left = _both(left, self._comparison(), lambda one, other: bool(one) and bool(other))
        return left

    def _comparison(self) -> Expression:
        left = self._sum()
        operator = self._token.text
        if self._token.kind in ("operator", "name") and operator in _COMPARISONS:
            self._next()
            if operator == "matches":
                self._expect("regex")
            return _both(left, self._sum(), _COMPARISONS[operator])
        if operator in ("between", "in", "!in"):
            self._next()
            # `in~` comes as `in` and a bare tilde only in `!in~`; the tokenizer keeps that together.
            return self._between(left) if operator == "between" else self._in(left, operator)
        if operator in ("in~", "!in~"):
            self._next()
            return self._in(left, operator)
        return left

    def _between(self, left: Expression) -> Expression:
        self._expect("(")
        low = self._sum()
        self._expect("..")
        high = self._sum()
        self._expect(")")

        def value(row: Row) -> bool:
            this, least, most = left.value(row), low.value(row), high.value(row)
            if isinstance(most, timedelta) and isinstance(least, datetime):
                most = least + most
            return bool(this is not None and least <= this <= most)

        return Expression(value, "bool")

    def _in(self, left: Expression, operator: str) -> Expression:
        self._expect("(")
        members = self._list(self._scalar)
        self._expect(")")
        fold = operator.endswith("~")

        def folded(value: Any) -> Any:
            return value.lower() if fold and isinstance(value, str) else value

        constant = all(not member.name for member in members)
        known: set[Any] | None = None

        def flat(row: Row) -> set[Any]:
            found: set[Any] = set()
            for member in members:
                value = member.value(row)
                found.update(map(folded, value) if isinstance(value, list) else [folded(value)])
            return found

        def value(row: Row) -> bool:
            nonlocal known
            if known is None or not constant:
                known = flat(row)
            return (folded(left.value(row)) in known) != operator.startswith("!")

        return Expression(value, "bool")

    def _sum(self) -> Expression:
        left = self._product()
        while self._is("+", "-"):
            operator = self._next().text
            left = _arithmetic(left, self._product(), operator)
        return left

    def _product(self) -> Expression:
        left = self._unary()
        while self._is("*", "/", "%"):
            operator = self._next().text
            left = _arithmetic(left, self._unary(), operator)
        return left

    def _unary(self) -> Expression:
        if self._take("-"):
            inner = self._unary()
            return Expression(lambda row: -inner.value(row), inner.type)
        return self._path(self._primary())

    def _path(self, inner: Expression) -> Expression:
        while True:
            if self._take("."):
                key: Any = self._identifier()
            elif self._take("["):
                index = self._scalar()
                key = index.value({})
                self._expect("]")
            else:
                return inner
            inner = _member(inner, key)

    def _primary(self) -> Expression:
        token = self._next()
        if token.kind == "string":
            return _constant(_string(token.text), "string")
        if token.kind == "number":
            return _constant(float(token.text), "real") if "." in token.text else _constant(int(token.text), "long")
        if token.kind == "timespan":
            found = re.fullmatch(r"([\d.]+)(\w+)", token.text)
            assert found is not None
            return _constant(timedelta(seconds=float(found[1]) * _UNITS[found[2]]), "timespan")
        if token.kind == "datetime":
            return _constant(_datetime(token.text.partition("(")[2][:-1].strip(" '\""), token), "datetime")
        if token.kind == "dynamic":
            return self._dynamic()
        if token.text == "(":
            inner = self._scalar()
            self._expect(")")
            return inner
        if token.kind == "name":
            return self._name(token)
        self._at -= 1
        raise self._unexpected()

    def _dynamic(self) -> Expression:
        values: list[Any] = []
        self._expect("[")
        while not self._take("]"):
            values.append(self._scalar().value({}))
            self._take(",")
        self._expect(")")
        return _constant(values, "dynamic")

    def _name(self, token: _Token) -> Expression:
        if token.text in ("true", "false"):
            return _constant(token.text == "true", "bool")
        if self._is("(") and token.text not in self._columns:
            return self._call(token)
        if token.text in self._columns:
            return _column(token.text, self._columns[token.text])
        if token.text in self._lets:
            return self._lets[token.text]
        raise self._unknown(token)

    def _type_of(self, name: str) -> str:
        if name not in self._columns:
            raise self._unknown(_Token("name", name, 0))
        return self._columns[name]

    def _unknown(self, token: _Token) -> KqlError:
        return KqlError(
            f"Failed to resolve scalar expression named '{token.text}'",
            position=token.position,
            token=token.text,
            semantic=True,
        )

    def _call(self, token: _Token) -> Expression:
        self._expect("(")
        arguments: list[Expression] = [] if self._is(")") else self._list(self._scalar)
        self._expect(")")
        if token.text == "now":
            return _constant(self._now, "datetime")
        if token.text == "ago":
            return _constant(self._now - arguments[0].value({}), "datetime")
        known = _FUNCTIONS.get(token.text)
        if known is None:
            raise KqlError(
                f"Unknown function: '{token.text}'", position=token.position, token=token.text, semantic=True
            )
        function, kind = known
        type_ = kind or arguments[0].type
        name = arguments[0].name if arguments and token.text in ("bin", "tostring", "todynamic") else ""
        return Expression(lambda row: function(*(argument.value(row) for argument in arguments)), type_, name)


def _tokens(query: str) -> Iterable[_Token]:
    position = 0
    while position < len(query):
        found = _TOKENS.match(query, position)
        if found is None:
            raise KqlError(
                f"Query could not be parsed at '{query[position]}'", position=position, token=query[position]
            )
        kind = str(found.lastgroup)
        text = found.group()
        end = found.end()
        if kind == "name" and text == "in" and query[end : end + 1] == "~":
            text, end = "in~", end + 1
        if kind != "space":
            yield _Token(kind, text, position)
        position = end
    yield _Token("end", "end of query", position)


def _string(text: str) -> str:
    if text.startswith("@"):
        return text[2:-1]
    body = text[1:-1]
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), body)


def _datetime(text: str, token: _Token) -> datetime:
    try:
        return parse_time(text)
    except ValueError as error:
        raise KqlError(
            f"Query could not be parsed at '{token.text}'", position=token.position, token=token.text
        ) from error


def parse_time(text: str) -> datetime:
    """An ISO 8601 time with up to seven digits of a second.

    Raises:
        ValueError: it is none.
    """
    text = re.sub(r"(\.\d{6})\d+", r"\1", text.strip())
    when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)


def _constant(value: Any, kind: str) -> Expression:
    return Expression(lambda _row: value, kind)


def _column(name: str, kind: str) -> Expression:
    return Expression(lambda row: row[name], kind, name)


def _member(inner: Expression, key: Any) -> Expression:
    def value(row: Row) -> Any:
        whole = inner.value(row)
        if isinstance(whole, dict):
            return whole.get(key)
        if isinstance(whole, list) and isinstance(key, int) and -len(whole) <= key < len(whole):
            return whole[key]
        return None

    return Expression(value, "dynamic", f"{inner.name}_{key}" if isinstance(key, str) else "")


def _both(left: Expression, right: Expression, operation: Callable[[Any, Any], Any]) -> Expression:
    return Expression(lambda row: operation(left.value(row), right.value(row)), "bool")


def _arithmetic(left: Expression, right: Expression, operator: str) -> Expression:
    operations: dict[str, Callable[[Any, Any], Any]] = {
        "+": lambda one, other: one + other,
        "-": lambda one, other: one - other,
        "*": lambda one, other: one * other,
        "/": _divided,
        "%": lambda one, other: one % other,
    }
    kinds = (left.type, right.type)
    kind = "datetime" if "datetime" in kinds else "timespan" if "timespan" in kinds else left.type
    if kinds == ("datetime", "datetime"):
        kind = "timespan"
    elif "real" in kinds:
        kind = "real"

    def value(row: Row) -> Any:
        one, other = left.value(row), right.value(row)
        return None if one is None or other is None else operations[operator](one, other)

    return Expression(value, kind)


def _divided(one: Any, other: Any) -> Any:
    if not other:
        return None
    return one // other if isinstance(one, int) and isinstance(other, int) else one / other


def _text(value: Any) -> str:
    """What `tostring` makes of a value; null becomes the empty string."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, separators=(",", ":"))
    return str(value)


def _ordered_pair(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda one, other: one is not None and other is not None and compare(one, other)


def _words(text: Any, term: Any) -> bool:
    return bool(re.search(rf"(?<![A-Za-z0-9]){re.escape(_text(term))}(?![A-Za-z0-9])", _text(text), re.IGNORECASE))


def _holds(one: Any, other: Any) -> bool:
    return _text(other).lower() in _text(one).lower()


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda one, other: bool(one == other),
    "!=": lambda one, other: bool(one != other),
    "=~": lambda one, other: _text(one).lower() == _text(other).lower(),
    "!~": lambda one, other: _text(one).lower() != _text(other).lower(),
    "<": _ordered_pair(lambda one, other: bool(one < other)),
    "<=": _ordered_pair(lambda one, other: bool(one <= other)),
    ">": _ordered_pair(lambda one, other: bool(one > other)),
    ">=": _ordered_pair(lambda one, other: bool(one >= other)),
    "has": _words,
    "!has": lambda one, other: not _words(one, other),
    "contains": _holds,
    "!contains": lambda one, other: not _holds(one, other),
    "startswith": lambda one, other: _text(one).lower().startswith(_text(other).lower()),
    "!startswith": lambda one, other: not _text(one).lower().startswith(_text(other).lower()),
    "endswith": lambda one, other: _text(one).lower().endswith(_text(other).lower()),
    "!endswith": lambda one, other: not _text(one).lower().endswith(_text(other).lower()),
    "matches": lambda one, other: bool(re.search(_text(other), _text(one))),
}


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value or None


def _number(value: Any, kind: Callable[[float], Any]) -> Any:
    try:
        return kind(float(value))
    except (TypeError, ValueError):
        return None


def _bin(value: Any, width: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, datetime):
        epoch = datetime(1, 1, 1, tzinfo=timezone.utc)
        return epoch + (value - epoch) // width * width
    return value // width * width


def _split(text: Any, by: str, index: int | None = None) -> list[str]:
    parts = _text(text).split(by)
    return parts if index is None else parts[index : index + 1]


_FUNCTIONS: dict[str, tuple[Callable[..., Any], str | None]] = {
    "tostring": (_text, "string"),
    "todynamic": (_parsed, "dynamic"),
    "parse_json": (_parsed, "dynamic"),
    "todouble": (lambda value: _number(value, float), "real"),
    "toreal": (lambda value: _number(value, float), "real"),
    "tolong": (lambda value: _number(value, int), "long"),
    "toint": (lambda value: _number(value, int), "int"),
    "todatetime": (lambda value: parse_time(value) if isinstance(value, str) else value, "datetime"),
    "bin": (_bin, None),
    "tolower": (lambda value: _text(value).lower(), "string"),
    "toupper": (lambda value: _text(value).upper(), "string"),
    "strcat": (lambda *values: "".join(map(_text, values)), "string"),
    "split": (_split, "dynamic"),
    "strlen": (lambda value: len(_text(value)), "long"),
    "isempty": (lambda value: _text(value) == "", "bool"),
    "isnotempty": (lambda value: _text(value) != "", "bool"),
    "isnull": (lambda value: value is None, "bool"),
    "isnotnull": (lambda value: value is not None, "bool"),
    "not": (lambda value: not value, "bool"),
    "iff": (lambda condition, yes, no: yes if condition else no, "dynamic"),
    "round": (lambda value, digits=0: None if value is None else round(value, digits), "real"),
    "coalesce": (lambda *values: next((value for value in values if value not in (None, "")), None), None),
}


def _key(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_key, value))
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else value


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


def time_text(when: datetime) -> str:
    """A time as Log Analytics writes it: UTC, no digits beyond what is needed."""
    text = when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return text + "Z"


def as_json(table: Table) -> dict[str, Any]:
    """A table as the query API answers it."""

    def cell(value: Any, kind: str) -> Any:
        if isinstance(value, datetime):
            return time_text(value)
        if isinstance(value, timedelta):
            return str(value)
        if kind == "dynamic" and value is not None:
            return _text(value)
        return value

    return {
        "name": "PrimaryResult",
        "columns": [{"name": name, "type": kind} for name, kind in table.types.items()],
        "rows": [[cell(row.get(name), kind) for name, kind in table.types.items()] for row in table.rows],
    }
