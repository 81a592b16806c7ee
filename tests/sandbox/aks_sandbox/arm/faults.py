"""Faults that a test plants: what to do to the n-th request that fits."""

from __future__ import annotations

import itertools
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from ..interfaces import SandboxError
from .errors import BUSY_ANSWERS, FAILURE_SHAPES

Json = dict[str, Any]


@dataclass
class Rule:
    """One fault.

    Attributes:
        method: HTTP method, or `*`.
        path: regular expression, searched in path and query, whatever the letter case.
        nth: the first request that fits and is hit, counted from 1.
        times: how many are hit; 0 for all that follow.
        status, body, headers: the answer instead of Azure's.
        acts: the request is carried out all the same, only its answer is replaced.
        reset: `before` or `after`: the connection is reset before, or after, the server acted.
        hang, hang_after: seconds that the request waits before, or after, the server acts.
        expired_token, precondition_failed, in_progress: 401, 412, 409 as Azure words them. `in_progress` is true, or
            one of the setting `busy_answer`.
        kubernetes: it is about requests to API servers (setting `api_server_gateway`), not to Resource Manager.
        operation: of the operation that the request starts: `{"code", "message", "details"}` fails it, in the setting's
            `failure_shape` or in its own `shape`; `{"endless": true}` never ends it.
    """

    method: str = "*"
    path: str = ""
    nth: int = 1
    times: int = 1
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    acts: bool = False
    reset: str | None = None
    hang: float = 0
    hang_after: float = 0
    expired_token: bool = False
    precondition_failed: bool = False
    in_progress: bool | str = False
    kubernetes: bool = False
    operation: Json | None = None
    id: int = 0
    seen: int = 0
    hits: int = 0

    @property
    def answers_after_acting(self) -> bool:
        """The server acts, and answers something else."""
        return self.acts and self.status is not None

    def fits(self, method: str, path: str) -> bool:
        """Is the request one of those that count?"""
        return self.method.upper() in ("*", method) and re.search(self.path, path, re.IGNORECASE) is not None


DEFAULT_BODIES: dict[int, Json] = {
    429: {
        "error": {"code": "TooManyRequests", "message": "The request is being throttled as the limit has been reached."}
    },
    500: {"error": {"code": "InternalServerError", "message": "Encountered internal server error."}},
    503: {"error": {"code": "ServerTimeout", "message": "The request timed out. Please try again."}},
}


class Faults:
    """The planted faults, in the order in which they were added."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._ids = itertools.count(1)

    def add(self, values: Json) -> Json:
        """Plant a fault; returns it with its id.

        Raises:
            SandboxError: a field that does not exist, or a path that is no regular expression.
        """
        try:
            rule = Rule(**values)
            re.compile(rule.path)
        except (TypeError, re.error) as error:
            raise SandboxError(f"not a fault: {error}") from error
        if rule.reset not in (None, "before", "after"):
            raise SandboxError(f"reset is before or after, not {rule.reset!r}")
        if isinstance(rule.in_progress, str) and rule.in_progress not in BUSY_ANSWERS:
            raise SandboxError(f"in_progress is true or one of {', '.join(BUSY_ANSWERS)}, not {rule.in_progress!r}")
        shape = (rule.operation or {}).get("shape", "recorded")
        if shape not in ("recorded", *FAILURE_SHAPES):
            raise SandboxError(f"an operation's shape is one of {', '.join(FAILURE_SHAPES)}, not {shape!r}")
        if rule.body is None and not rule.kubernetes and rule.status in DEFAULT_BODIES:
            rule.body = DEFAULT_BODIES[rule.status]
        rule.id = next(self._ids)
        self._rules.append(rule)
        return asdict(rule)

    def clear(self, rule_id: int | None = None) -> None:
        """Remove one fault, or all."""
        self._rules = [rule for rule in self._rules if rule_id is not None and rule.id != rule_id]

    def list(self) -> list[Json]:
        """All faults with how often each fitted (`seen`) and hit (`hits`)."""
        return [asdict(rule) for rule in self._rules]

    def matching(self, method: str, path: str, *, kubernetes: bool = False) -> Rule | None:
        """The fault for this request. Counts it."""
        for rule in self._rules:
            if rule.kubernetes != kubernetes or not rule.fits(method, path):
                continue
            rule.seen += 1
            if rule.seen >= rule.nth and (rule.times == 0 or rule.hits < rule.times):
                rule.hits += 1
                return rule
        return None
