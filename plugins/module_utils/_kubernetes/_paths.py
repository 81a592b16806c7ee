# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths of an API server: the one place where names become parts of them, and which names can."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import KubernetesError

_API_VERSION = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[a-z0-9]+")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class ResourceType:
    """A kind of object, as the API server serves it.

    Attributes:
        api_version: Such as ``apps/v1``.
        kind: Such as ``DaemonSet``.
        plural: Such as ``daemonsets``.
        namespaced: Whether its objects live in namespaces.
    """

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None = None, name: str | None = None, part: str | None = None) -> str:
        """Returns the path of an object; without a name that of a list; without a namespace that of all namespaces.

        Args:
            namespace: Left out for a kind that has none.
            name: Name of the object.
            part: A subresource of the object, such as ``log``.

        Raises:
            KubernetesError: A part of the path is not a name.
        """
        parts = [root_of(self.api_version)]
        if self.namespaced and namespace:
            parts += ["namespaces", _segment(namespace)]
        parts.append(_segment(self.plural))
        if name:
            parts += [_segment(name), *([_segment(part)] if part else [])]
        return "/".join(parts)


CONFIG_MAP = ResourceType("v1", "ConfigMap", "configmaps", namespaced=True)
EVENT = ResourceType("v1", "Event", "events", namespaced=True)
JOB = ResourceType("batch/v1", "Job", "jobs", namespaced=True)
NODE = ResourceType("v1", "Node", "nodes", namespaced=False)
POD = ResourceType("v1", "Pod", "pods", namespaced=True)


def root_of(api_version: str) -> str:
    """Returns the path of a group and version, such as ``/apis/apps/v1``.

    Raises:
        KubernetesError: A part of it is not a name.
    """
    return "/".join(["/apis" if "/" in api_version else "/api", *map(_segment, api_version.split("/"))])


def place_problems(found: dict[str, Any]) -> list[str]:
    """Returns why an object's apiVersion, kind, namespace or name can't be part of a path.

    Sources: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ (a name is a path segment: not
    ``.`` or ``..``, without ``/`` and ``%``) and, for namespaces, RFC 1123 labels.
    """
    metadata = found.get("metadata") or {}
    problems = []
    if not _API_VERSION.fullmatch(str(found.get("apiVersion"))):
        problems.append(f"apiVersion {_quoted_segment(found.get('apiVersion'))} is not a valid group and version")
    if not _KIND.fullmatch(str(found.get("kind"))):
        problems.append(f"{_quoted_segment(found.get('kind'))} is not a valid kind: use letters and digits")
    name = metadata.get("name")
    if name in (".", "..") or re.search(r"[/%\s\x00-\x1f\x7f]", str(name)):
        problems.append(
            f"{_quoted_segment(name)} is not a valid name: it is a path, or has a character that names cannot have"
        )
    return problems + namespace_problems(metadata.get("namespace"))


def namespace_problems(namespace: Any) -> list[str]:
    """Returns why something is not the name of a namespace; nothing for one that is not set, which may be empty."""
    if namespace in (None, "") or (isinstance(namespace, str) and _LABEL.fullmatch(namespace)):
        return []
    return [f"{_quoted_segment(namespace)} is not a valid namespace: use lower-case letters, digits and '-'"]


def require_place(namespace: Any, name: Any = None) -> None:
    """Refuses options that can't be a namespace, or the name of a Job.

    Args:
        namespace: The option, or None.
        name: The option, or None where there is none. The API server takes an RFC 1123 subdomain.

    Raises:
        Failure: One of them is not valid. All that is wrong is named.
    """
    problems = [f"namespace: {text}" for text in namespace_problems(namespace)]
    if name is not None and not _SUBDOMAIN.fullmatch(str(name)):
        problems.append(
            f"name: {_quoted_segment(name)} is not a valid name: use lower-case letters, digits, '-' and '.'"
        )
    if problems:
        raise Failure(f"{'; '.join(problems)}.")


def _quoted_segment(value: Any) -> str:
    return ascii(value)[:200]


def _segment(text: str) -> str:
    """Returns a text as one segment of a path."""
    if text in ("", ".", ".."):
        raise KubernetesError(f"{text!r} is not a valid name.", status=0)
    return quote(text, safe=":")
