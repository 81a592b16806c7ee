"""Lists in pages, with `nextLink`."""

from __future__ import annotations

import json
from typing import Any

from .calls import Call, Reply
from .world import World


def page(world: World, call: Call, items: list[Any], *, of: str) -> Reply:
    """One page of `items`, which are JSON values or values already serialised.

    Witness: CLI test_aks_create_spot_node_pool.yaml, 2025-07-07: the list of a cluster's pools, all of them on one
    page, has a nextLink, and behind that is `{"value": []}`. The parameter is there twice, with and without the dollar
    sign.
    No witness: pages of fewer items (`page_size`), and how lists of clusters end.

    Args:
        world: `page_size` and `empty_last_page` of its settings decide.
        call: the request.
        items: all of them.
        of: `pools` or `clusters`.
    """
    settings = world.settings
    size = settings.page_size or max(len(items), 1)
    start = int(call.query.get("skiptoken") or call.query.get("$skiptoken") or 0)
    part = items[start : start + size]
    rest = len(items) - start - len(part)
    body = b",".join(
        each if isinstance(each, bytes) else json.dumps(each, separators=(",", ":")).encode() for each in part
    )
    link = b""
    if rest > 0 or (settings.empty_last_page in ("all", of) and part):
        token, version = start + len(part), call.query["api-version"]
        url = f"{call.base_url}{call.path}?%24skipToken={token}&api-version={version}&skipToken={token}"
        link = b',"nextLink":' + json.dumps(url).encode()
    return Reply(200, b'{"value":[' + body + b"]" + link + b"}")
