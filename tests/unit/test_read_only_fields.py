# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An update of a cluster sends nothing that the models of the pinned azure-mgmt-containerservice mark as read-only."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._cluster import writable_cluster
from azure.mgmt.containerservice import models
from sdk_models import fields_of, is_model


def read_only(model: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths that the SDK's model, and the models in it, mark as read-only; `*` is an item of a list or map."""
    for name, (hint, only_read) in fields_of(model).items():
        if only_read:
            yield (*path, name)
            continue
        for inner, through in _models_in(hint):
            yield from read_only(inner, (*path, name, *through))


def _models_in(hint: Any, through: tuple[str, ...] = ()) -> Iterator[tuple[Any, tuple[str, ...]]]:
    if is_model(hint):
        yield hint, through
    origin = typing.get_origin(hint)
    for argument in typing.get_args(hint):
        yield from _models_in(argument, (*through, "*") if origin in (list, dict) else through)


def _made(path: tuple[str, ...]) -> Any:
    """A JSON value that has a path and a sibling of it."""
    if not path:
        return "AKS's"
    return [_made(path[1:])] if path[0] == "*" else {path[0]: _made(path[1:]), "sibling": "ours"}


def _holds(value: Any, path: tuple[str, ...]) -> bool:
    if not path:
        return True
    if path[0] == "*":
        return any(_holds(each, path[1:]) for each in value)
    return path[0] in value and _holds(value[path[0]], path[1:])


READ_ONLY = sorted(read_only(models.ManagedClusterProperties))


def test_the_models_are_looked_through() -> None:
    assert ("networkProfile", "loadBalancerProfile", "effectiveOutboundIPs") in READ_ONLY
    assert ("agentPoolProfiles", "*", "eTag") in READ_ONLY


@pytest.mark.parametrize("path", READ_ONLY, ids=".".join)
def test_what_the_official_sdk_marks_as_read_only_is_not_sent(path: tuple[str, ...]) -> None:
    sent = writable_cluster({"properties": _made(path)})["properties"]
    assert not _holds(sent, path)
    assert sent["sibling"] == "ours"
