"""Lists in pages, with `nextLink`."""

from __future__ import annotations

import json
from typing import Any

from .calls import Call, Reply
from .world import World


def page(world: World, call: Call, items: list[Any]) -> Reply:
    """One page of `items`, which are JSON values or values already serialised.

    `page_size` and `empty_last_page` of the settings decide.
    """
    size = world.settings.page_size or max(len(items), 1)
    start = int(call.query.get("$skiptoken") or 0)
    part = items[start : start + size]
    rest = len(items) - start - len(part)
    body = b",".join(
        each if isinstance(each, bytes) else json.dumps(each, separators=(",", ":")).encode() for each in part
    )
    link = b""
    if rest > 0 or (world.settings.empty_last_page and part):
        url = f"{call.base_url}{call.path}?api-version={call.query['api-version']}&%24skiptoken={start + len(part)}"
        link = b',"nextLink":' + json.dumps(url).encode()
    return Reply(200, b'{"value":[' + body + b"]" + link + b"}")
