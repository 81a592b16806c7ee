# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``prometheus_scraping``: which targets the agent of Managed Prometheus scrapes in a cluster."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import access_of
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._arguments import KUBERNETES_ARGUMENTS
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Client
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import KubernetesError
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._libraries import require_kubernetes_libraries
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._ownership import CREATED_BY_ANNOTATION
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._paths import CONFIG_MAP
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._ama_metrics_config import (
    CONFIG_MAP_NAME,
    CONFIG_MAP_NAMESPACE,
    is_v2,
    key_of_targets,
    target_value,
    with_target,
)

DCGM = "dcgmexporter"
BEFORE = "aks.gpu/targets-before"
"""Annotation: what the targets had been before this collection set them, as JSON; null: nothing."""

PATH = CONFIG_MAP.path(CONFIG_MAP_NAMESPACE)
FIELD_MANAGER = "aks.gpu"
ATTEMPTS = 5

PROMETHEUS_SCRAPING_ARGUMENTS = KUBERNETES_ARGUMENTS.merge(
    ArgumentSpec(
        options={
            "targets": {"type": "list", "elements": "str", "default": [DCGM]},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        }
    )
)


def plan_prometheus_scraping(task: Task) -> Plan:
    """Says what a task of the module ``prometheus_scraping`` is going to do. Raises subclasses of ``Failure``."""
    targets = task.params["targets"]
    wrong = [target for target in targets if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", target)]
    if wrong or not targets:
        raise Failure(f"targets: {', '.join(map(repr, wrong)) or 'an empty list'}: names such as {DCGM} are needed.")
    require_kubernetes_libraries()
    client = Client(access_of(task.params, task.temporary_directory, task.secret, task.execute))
    change = _switched_off if task.params["state"] == "absent" else _switched_on
    current = _read_config_map(client)
    wanted = change(current, targets)
    changed = wanted != current
    return Plan(
        changed=changed,
        result=_scraping_result(wanted, targets),
        apply=(lambda: _write_config_map(client, change, targets)) if changed else None,
        before=_scraping_diff(current),
        after=_scraping_diff(wanted),
    )


def _read_config_map(client: Client) -> dict[str, Any] | None:
    try:
        return client.get(CONFIG_MAP.path(CONFIG_MAP_NAMESPACE, CONFIG_MAP_NAME))
    except KubernetesError as error:
        if error.status == 404:
            return None
        raise


def _annotations(current: Mapping[str, Any] | None) -> dict[str, str]:
    return dict(((current or {}).get("metadata") or {}).get("annotations") or {})


def _recorded(annotations: Mapping[str, str]) -> dict[str, str | None]:
    try:
        found = json.loads(annotations.get(BEFORE) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _switched_on(current: dict[str, Any] | None, targets: list[str]) -> dict[str, Any] | None:
    """Returns the ConfigMap in which the targets are on, with a note of what they had been."""
    data: dict[str, str] = dict((current or {}).get("data") or {})
    annotations = _annotations(current)
    recorded = _recorded(annotations)
    off = [target for target in targets if target_value(data, target) != "true"]
    if not off:
        return current
    for target in off:
        recorded.setdefault(target, target_value(data, target))
        data = with_target(data, target, "true")
    annotations[BEFORE] = json.dumps(recorded, sort_keys=True)
    if current is None:
        annotations[CREATED_BY_ANNOTATION] = FIELD_MANAGER
    return _with(current, data, annotations)


def _switched_off(current: dict[str, Any] | None, targets: list[str]) -> dict[str, Any] | None:
    """Returns the ConfigMap as it was before, None when it then holds nothing that anybody else has put there."""
    if current is None:
        return None
    data: dict[str, str] = dict(current.get("data") or {})
    annotations = _annotations(current)
    recorded = _recorded(annotations)
    ours = [target for target in targets if target in recorded]
    if not ours:
        return current
    for target in ours:
        before = recorded.pop(target)
        if target_value(data, target) == "true":  # else somebody has set it since
            data = with_target(data, target, before)
    if recorded:
        annotations[BEFORE] = json.dumps(recorded, sort_keys=True)
    else:
        annotations.pop(BEFORE)
        if annotations.pop(CREATED_BY_ANNOTATION, None) and set(data) <= {"schema-version", "config-version"}:
            return None
    return _with(current, data, annotations)


def _with(current: dict[str, Any] | None, data: dict[str, str], annotations: dict[str, str]) -> dict[str, Any]:
    body = current or {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP_NAME, "namespace": CONFIG_MAP_NAMESPACE},
    }
    return {**body, "metadata": {**body["metadata"], "annotations": annotations}, "data": data}


def _write_config_map(
    client: Client, change: Callable[[dict[str, Any] | None, list[str]], dict[str, Any] | None], targets: list[str]
) -> dict[str, Any]:
    """Writes what follows from the ConfigMap as it is now; when somebody else was quicker, what follows from theirs."""
    for attempt in range(ATTEMPTS):
        current = _read_config_map(client)
        wanted = change(current, targets)
        if wanted == current:
            break
        try:
            _send(client, current, wanted)
            break
        except KubernetesError as error:
            if error.status not in (404, 409) or attempt == ATTEMPTS - 1:
                raise
    return _scraping_result(_read_config_map(client), targets)


def _send(client: Client, current: dict[str, Any] | None, wanted: dict[str, Any] | None) -> None:
    query = {"fieldManager": FIELD_MANAGER}
    path = CONFIG_MAP.path(CONFIG_MAP_NAMESPACE, CONFIG_MAP_NAME)
    if wanted is None:
        if current is None:
            return
        metadata = current["metadata"]
        conditions = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions}
        client.request("DELETE", path, body=body)
    elif current is None:
        client.request("POST", PATH, query=query, body=wanted)
    else:
        client.request("PUT", path, query=query, body=wanted)  # carries the resourceVersion that was read


def _scraping_diff(current: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"data": dict(current.get("data") or {})} if current else {}


def _scraping_result(current: Mapping[str, Any] | None, targets: list[str]) -> dict[str, Any]:
    data: dict[str, str] = dict((current or {}).get("data") or {})
    return {
        "config_map": f"{CONFIG_MAP_NAMESPACE}/{CONFIG_MAP_NAME}" if current else None,
        "schema": ("v2" if is_v2(data) else "v1") if current else None,
        "key": key_of_targets(data) if current else None,
        "targets": {target: target_value(data, target) == "true" for target in targets},
    }
