# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds recorded traffic against the models of the official SDK: every name known, every value of its type.

The SDK itself takes anything; so a misspelt field of the sandbox, or of our modules, would never show.
"""

from __future__ import annotations

import datetime
import enum
import functools
import re
import types
import typing
from typing import Any
from urllib.parse import urlsplit

from azure.mgmt.containerservice import models as containerservice
from azure.mgmt.containerservice.models import _enums, _models

Json = dict[str, Any]

CLUSTERS = r"/providers/Microsoft\.ContainerService/managedClusters"
_PATHS: tuple[tuple[str, type, bool], ...] = (
    (rf"{CLUSTERS}/[^/]+/agentPools/[^/]+", containerservice.AgentPool, False),
    (rf"{CLUSTERS}/[^/]+/agentPools", containerservice.AgentPool, True),
    (rf"{CLUSTERS}/[^/]+/listCluster(User|Admin)Credential", containerservice.CredentialResults, False),
    (rf"{CLUSTERS}/[^/]+", containerservice.ManagedCluster, False),
    (CLUSTERS, containerservice.ManagedCluster, True),
)
"""Path, model, and whether it is a list of them."""

WITHOUT_A_NAME = {"AgentPool": {"eTag"}}
"""Fields that Azure sends although the SDK's model does not have them."""


def mistakes(exchange: Json) -> list[str] | None:
    """What in a recorded request and its answer the SDK's models do not know; None when there is no model for it."""
    path = urlsplit(exchange["url"]).path
    for pattern, model, several in _PATHS:
        if re.search(f"{pattern}$", path, re.IGNORECASE):
            found = []
            if exchange["method"] in ("PUT", "PATCH") and exchange["request_body"]:
                found += _of_model(model, exchange["request_body"], "sent")
            if exchange["status"] in (200, 201) and isinstance(exchange["response_body"], dict):
                answer = exchange["response_body"]
                items = answer.get("value", []) if several else [answer]
                for number, item in enumerate(items):
                    found += _of_model(model, item, f"answered[{number}]" if several else "answered")
            return found
    return None


def _of_model(model: Any, value: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where} is {type(value).__name__}, not {model.__name__}"]
    names = _fields(model)
    found = []
    for name, item in value.items():
        if name in names:
            found += _of_type(names[name], item, f"{where}.{name}")
        elif name not in WITHOUT_A_NAME.get(model.__name__, ()):
            found.append(f"{where}.{name} is not of {model.__name__}")
    return found


_SCOPE = {**vars(_models), **vars(_enums), "_models": containerservice}


@functools.cache
def fields_of(model: Any) -> dict[str, tuple[Any, bool]]:
    """A model's fields by their names on the wire: the type, and whether Azure alone may set it."""
    model({})  # fills the model's table of fields, once
    annotated: dict[str, Any] = {}
    for base in reversed(model.__mro__):
        annotated.update(vars(base).get("__annotations__", {}))
    return {
        field._rest_name: (_resolved(annotated[name]), field._visibility == ["read"])
        for name, field in model._attr_to_rest_field.items()
    }


def is_model(hint: Any) -> bool:
    """Is it one of the SDK's models?"""
    plain = isinstance(hint, type) and typing.get_origin(hint) is None  # on Python 3.10 list[str] is a type, too
    return plain and issubclass(hint, _models._Model)  # type: ignore[attr-defined]


def _fields(model: Any) -> dict[str, Any]:
    return {name: hint for name, (hint, _read_only) in fields_of(model).items()}


def _resolved(hint: Any) -> Any:
    if isinstance(hint, str):
        return _resolved(eval(hint, _SCOPE))
    if isinstance(hint, typing.ForwardRef):
        return _resolved(hint.__forward_arg__)
    if arguments := typing.get_args(hint):
        resolved = tuple(_resolved(each) for each in arguments)
        origin = typing.get_origin(hint)
        return typing.Union[resolved] if origin in (typing.Union, types.UnionType) else origin[resolved]  # noqa: UP007
    return hint


def _of_type(hint: Any, value: Any, where: str) -> list[str]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or value is None:
        return []
    if origin in (typing.Union, types.UnionType):
        options = [each for each in arguments if each is not types.NoneType]
        known = next((each for each in options if isinstance(each, type) and issubclass(each, enum.Enum)), None)
        if known is not None:
            values = {str(each.value).lower() for each in known}
            return [] if str(value).lower() in values else [f"{where}: {value!r} is not a {known.__name__}"]
        complaints = [_of_type(each, value, where) for each in options]
        return min(complaints, key=len, default=[])
    if origin is list:
        if not isinstance(value, list):
            return [f"{where} is no list"]
        return [text for n, item in enumerate(value) for text in _of_type(arguments[0], item, f"{where}[{n}]")]
    if origin is dict:
        if not isinstance(value, dict):
            return [f"{where} is no map"]
        return [text for key, item in value.items() for text in _of_type(arguments[1], item, f"{where}[{key}]")]
    if is_model(hint):
        return _of_model(hint, value, where)
    return [] if _is_a(hint, value) else [f"{where}: {value!r} is not {getattr(hint, '__name__', hint)}"]


def _is_a(hint: Any, value: Any) -> bool:
    if hint in (datetime.datetime, bytes, bytearray):
        return isinstance(value, str)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(hint, type) or isinstance(value, hint)
