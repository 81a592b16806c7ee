"""A request and its answer, and which handler serves which request."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .errors import GatewayError

if TYPE_CHECKING:
    from .identity import Principal

Json = dict[str, Any]


@dataclass
class Reply:
    """What a handler answers. `body` as JSON, or as JSON already serialised."""

    status: int
    body: Json | list[Any] | bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """One request, as a handler sees it. `names` are the path's variables, `query` keys are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    base_url: str
    names: dict[str, str] = field(default_factory=dict)
    principal: Principal | None = None
    operation_fault: Json | None = None

    def json(self) -> Json:
        """The body as a JSON object.

        Raises:
            GatewayError: it is none.
        """
        try:
            value = json.loads(self.body or b"{}")
        except ValueError as error:
            raise GatewayError(
                400,
                "InvalidRequestContent",
                f"The request content was invalid and could not be deserialized: '{error}'.",
            ) from error
        if not isinstance(value, dict):
            raise GatewayError(400, "InvalidRequestContent", "The request content was invalid: not an object.")
        return value

    def form(self) -> dict[str, str]:
        """The body as form fields."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True)
class Route:
    """One kind of request.

    Attributes:
        segments: of the path, the empty one before the first slash included; None: any number.
        action: the permission it needs, as in a role definition; None needs none, not even a token.
        reads: a POST that changes nothing.
        throttle: its bucket in AKS, by name in `throttles`.
        secret: its answer is a secret and is recorded without it.
    """

    method: str
    pattern: re.Pattern[str]
    segments: int | None
    handler: Handler
    action: str | None
    reads: bool = False
    throttle: str | None = None
    secret: bool = False


def route(
    method: str,
    path: str,
    handler: Handler,
    action: str | None,
    *,
    reads: bool = False,
    throttle: str | None = None,
    secret: bool = False,
) -> Route:
    """A route for `path`, whose variables are in braces; a name that ends in `*` takes slashes too."""
    segments = []
    for segment in path.split("/"):
        if not segment.startswith("{"):
            segments.append(re.escape(segment))
        elif segment.endswith("*}"):
            segments.append(f"(?P<{segment[1:-2]}>.+)")
        else:
            segments.append(f"(?P<{segment[1:-1]}>[^/]+)")
    count = None if "*" in path else len(segments)
    pattern = re.compile("/".join(segments), re.IGNORECASE)
    return Route(method, pattern, count, handler, action, reads, throttle, secret)
