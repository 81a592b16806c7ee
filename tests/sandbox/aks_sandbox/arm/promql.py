"""A small engine for the part of PromQL that questions about metrics take. It selects, aggregates and computes.

Selectors with matchers and ranges, `…_over_time`, rate, increase, sum, avg, min, max, count with by/without, arithmetic
and comparison between vectors (one to one) and numbers, `or`. What goes beyond that is refused, never answered wrongly.

Witness: Prometheus' reference of its query language.
"""

from __future__ import annotations

import math
import operator as operators
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

LOOKBACK_SECONDS = 300.0

Labels = tuple[tuple[str, str], ...]
Vector = dict[Labels, float]


class PromqlError(Exception):
    """A query that can't be run."""


@dataclass
class Series:
    """One time series: labels, `__name__` among them, and samples (seconds since the epoch, value) in order of time."""

    labels: dict[str, str]
    samples: list[tuple[float, float]] = field(default_factory=list)

    @property
    def key(self) -> Labels:
        return tuple(sorted(self.labels.items()))


@dataclass(frozen=True)
class _Selector:
    matchers: tuple[tuple[str, str, str], ...]
    seconds: float = 0.0

    def matches(self, labels: dict[str, str]) -> bool:
        for name, operator, value in self.matchers:
            have = labels.get(name, "")
            equal = bool(re.fullmatch(value, have)) if "~" in operator else have == value
            if equal == operator.startswith("!"):
                return False
        return True


Node = Callable[[float], "Vector | float"]

_TOKENS = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<duration>\d+(?:ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*)
    |(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
    |(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
    |(?P<operator>=~|!~|!=|==|<=|>=|[-+*/%^<>=(){}\[\],])""",
    re.VERBOSE,
)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "sum": math.fsum,
    "avg": statistics.fmean,
    "min": min,
    "max": max,
    "count": lambda values: float(len(values)),
}
_OVER_TIME: dict[str, Callable[[Sequence[tuple[float, float]]], float]] = {
    "avg_over_time": lambda samples: statistics.fmean(value for _when, value in samples),
    "max_over_time": lambda samples: max(value for _when, value in samples),
    "min_over_time": lambda samples: min(value for _when, value in samples),
    "sum_over_time": lambda samples: math.fsum(value for _when, value in samples),
    "count_over_time": lambda samples: float(len(samples)),
    "last_over_time": lambda samples: samples[-1][1],
}
_KEEPS_NAME = ("last_over_time",)
_BINARY: dict[str, Callable[[float, float], Any]] = {
    "+": operators.add,
    "-": operators.sub,
    "*": operators.mul,
    "/": lambda one, other: one / other if other else math.nan if not one else math.copysign(math.inf, one),
    "%": math.fmod,
    "==": operators.eq,
    "!=": operators.ne,
    ">": operators.gt,
    "<": operators.lt,
    ">=": operators.ge,
    "<=": operators.le,
}
_LEVELS = (("or",), ("==", "!=", ">", "<", ">=", "<="), ("+", "-"), ("*", "/", "%"))
_COMPARISONS = _LEVELS[1]


def seconds_of(text: str) -> float:
    """A duration such as `5m` or `1h30m`, or a number of seconds.

    Raises:
        PromqlError: it is none.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = re.findall(r"(\d+)(ms|[smhdwy])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise PromqlError(f'cannot parse "{text}" to a valid duration')
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


class Query:
    """A parsed query over series.

    Attributes:
        name_matchers: Matchers of `__name__`, in all selectors together.

    Raises:
        PromqlError: It is no query, or more than this engine knows.
    """

    def __init__(self, text: str, series: Iterable[Series]) -> None:
        self._series = list(series)
        self.name_matchers: list[tuple[str, str]] = []
        self._tokens: list[tuple[str, str, int]] = []
        position = 0
        while position < len(text):
            found = _TOKENS.match(text, position)
            if found is None:
                raise PromqlError(f"1:{position + 1}: parse error: unexpected character: {text[position]!r}")
            if found.lastgroup != "space":
                self._tokens.append((str(found.lastgroup), found.group(), position))
            position = found.end()
        self._tokens.append(("end", "end of input", position))
        self._at = 0
        self._root = self._binary(0)
        if self._tokens[self._at][0] != "end":
            raise self._unexpected()

    def instant(self, when: float) -> Vector | float:
        """The value at a time."""
        return self._root(when)

    def range(self, start: float, end: float, step: float) -> dict[Labels, list[tuple[float, float]]]:
        """The values at each step from start to end."""
        found: dict[Labels, list[tuple[float, float]]] = {}
        count = int((end - start) / step + 1e-9)
        for number in range(count + 1):
            when = start + number * step
            vector = self._root(when)
            for labels, value in ({(): vector} if isinstance(vector, float) else vector).items():
                found.setdefault(labels, []).append((when, value))
        return found

    # parsing

    def _unexpected(self) -> PromqlError:
        kind, text, position = self._tokens[self._at]
        return PromqlError(f"1:{position + 1}: parse error: unexpected {kind} {text!r}")

    def _take(self, *texts: str) -> str | None:
        kind, text, _position = self._tokens[self._at]
        if kind != "string" and text in texts:
            self._at += 1
            return text
        return None

    def _expect(self, text: str) -> None:
        if self._take(text) is None:
            raise self._unexpected()

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while operator := self._take(*_LEVELS[level]):
            keep_bool = bool(self._take("bool"))
            matching = self._matching()
            left = _combined(operator, left, self._binary(level + 1), matching, keep_bool)
        return left

    def _matching(self) -> tuple[str, list[str]] | None:
        how = self._take("on", "ignoring")
        return (how, self._names()) if how else None

    def _names(self) -> list[str]:
        self._expect("(")
        names = []
        while not self._take(")"):
            kind, text, _position = self._tokens[self._at]
            if kind != "name":
                raise self._unexpected()
            names.append(text)
            self._at += 1
            self._take(",")
        return names

    def _unary(self) -> Node:
        if self._take("-"):
            inner = self._unary()
            return _combined("*", lambda _when: -1.0, inner, None, False)
        kind, text, _position = self._tokens[self._at]
        if kind == "number":
            self._at += 1
            return lambda _when: float(text)
        if self._take("("):
            inner = self._binary(0)
            self._expect(")")
            return inner
        if kind == "name" and text in _AGGREGATES and self._tokens[self._at + 1][1] in ("(", "by", "without"):
            self._at += 1
            return self._aggregation(text)
        if kind == "name" and self._tokens[self._at + 1][1] == "(":
            self._at += 1
            return self._function(text)
        selector = self._selector()
        if selector.seconds:
            raise PromqlError("1:1: parse error: a range vector has to be the argument of a function")
        return lambda when: self._instant(selector, when)

    def _aggregation(self, name: str) -> Node:
        grouping = self._grouping()
        self._expect("(")
        inner = self._binary(0)
        self._expect(")")
        how, names = grouping or self._grouping() or ("by", [])
        function = _AGGREGATES[name]

        def value(when: float) -> Vector:
            vector = inner(when)
            if isinstance(vector, float):
                raise PromqlError("1:1: parse error: expected type instant vector in aggregation expression")
            groups: dict[Labels, list[float]] = {}
            for labels, number in vector.items():
                kept = tuple(
                    (label, text) for label, text in labels if (label in names) == (how == "by") and label != "__name__"
                )
                groups.setdefault(kept, []).append(number)
            return {labels: function(numbers) for labels, numbers in groups.items()}

        return value

    def _grouping(self) -> tuple[str, list[str]] | None:
        how = self._take("by", "without")
        return (how, self._names()) if how else None

    def _function(self, name: str) -> Node:
        self._expect("(")
        if name in _OVER_TIME or name in ("rate", "increase"):
            selector = self._selector()
            self._expect(")")
            if not selector.seconds:
                raise PromqlError(f"1:1: parse error: expected type range vector in call to function {name!r}")
            return lambda when: self._over(name, selector, when)
        raise PromqlError(f"1:1: parse error: unknown function with name {name!r}")

    def _selector(self) -> _Selector:
        matchers: list[tuple[str, str, str]] = []
        kind, text, _position = self._tokens[self._at]
        if kind == "name":
            self._at += 1
            matchers.append(("__name__", "=", text))
        elif text != "{":
            raise self._unexpected()
        if self._take("{"):
            while not self._take("}"):
                kind, label, _position = self._tokens[self._at]
                if kind != "name":
                    raise self._unexpected()
                self._at += 1
                operator = self._take("=", "!=", "=~", "!~")
                value = self._tokens[self._at]
                if operator is None or value[0] != "string":
                    raise self._unexpected()
                self._at += 1
                matchers.append((label, operator, _unquoted(value[1])))
                self._take(",")
        seconds = 0.0
        if self._take("["):
            seconds = seconds_of(self._tokens[self._at][1])
            self._at += 1
            self._expect("]")
        self.name_matchers += [(operator, value) for label, operator, value in matchers if label == "__name__"]
        return _Selector(tuple(matchers), seconds)

    # values

    def _instant(self, selector: _Selector, when: float) -> Vector:
        found: Vector = {}
        for series in self._series:
            if selector.matches(series.labels):
                recent = [value for at, value in series.samples if when - LOOKBACK_SECONDS < at <= when]
                if recent:
                    found[series.key] = recent[-1]
        return found

    def _over(self, name: str, selector: _Selector, when: float) -> Vector:
        found: Vector = {}
        for series in self._series:
            if not selector.matches(series.labels):
                continue
            window = [(at, value) for at, value in series.samples if when - selector.seconds < at <= when]
            labels = series.key if name in _KEEPS_NAME else _nameless(series.key)
            if name in _OVER_TIME and window:
                found[labels] = _OVER_TIME[name](window)
            elif name in ("rate", "increase") and len(window) > 1:
                pairs = pairwise(window)
                grown = math.fsum(after - before if after >= before else after for (_a, before), (_b, after) in pairs)
                found[labels] = grown / selector.seconds if name == "rate" else grown
        return found


def _unquoted(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text[1:-1])


def _nameless(labels: Labels) -> Labels:
    return tuple(pair for pair in labels if pair[0] != "__name__")


def _combined(operator: str, left: Node, right: Node, matching: tuple[str, list[str]] | None, keep_bool: bool) -> Node:
    def group(labels: Labels) -> Labels:
        plain = _nameless(labels)
        if matching is None:
            return plain
        how, names = matching
        return tuple(pair for pair in plain if (pair[0] in names) == (how == "on"))

    def compare(one: float, other: float, kept: float) -> float | None:
        result = _BINARY[operator](one, other)
        if operator not in _COMPARISONS:
            return float(result)
        return float(result) if keep_bool else kept if result else None

    def value(when: float) -> Vector | float:
        one, other = left(when), right(when)
        if operator == "or":
            if isinstance(one, float) or isinstance(other, float):
                raise PromqlError("1:1: parse error: set operator 'or' not allowed in binary scalar expression")
            taken = {group(labels) for labels in one}
            return {**one, **{labels: each for labels, each in other.items() if group(labels) not in taken}}
        if isinstance(one, float) and isinstance(other, float):
            return float(_BINARY[operator](one, other))
        found: Vector = {}
        if isinstance(one, float) or isinstance(other, float):
            vector = other if isinstance(one, float) else one
            assert isinstance(vector, dict)
            for labels, each in vector.items():
                pair = (one, each) if isinstance(one, float) else (each, other)
                result = compare(*pair, each)  # type: ignore[arg-type]
                if result is not None:
                    found[labels if operator in _COMPARISONS and not keep_bool else _nameless(labels)] = result
            return found
        by_group = {group(labels): each for labels, each in other.items()}
        for labels, each in one.items():
            if (key := group(labels)) in by_group and (result := compare(each, by_group[key], each)) is not None:
                found[labels if operator in _COMPARISONS and not keep_bool else key] = result
        return found

    return value
