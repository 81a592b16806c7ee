# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects of a cluster: where they live, reading, server-side apply, deletion."""

from __future__ import annotations

from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import APPLY_TYPE, Client, ReadRequest
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import KubernetesError
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._paths import ResourceType, root_of

DISCOVERY_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
METADATA_TYPE = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class UnknownKind(KubernetesError):
    """The API server serves no such kind; its CustomResourceDefinition may be missing."""


class Resources:
    """The objects of one cluster.

    Args:
        client: Speaks with the API server.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._types: dict[str, dict[str, ResourceType]] = {}

    def type_of(self, api_version: str, kind: str) -> ResourceType:
        """Returns how a kind is served; the server is asked again for a kind it did not have before.

        Raises:
            UnknownKind: It is not served.
            KubernetesError: The server refused, or gave no answer.
        """
        known = self._types.get(api_version, {})
        if kind not in known:
            known = self._types[api_version] = self._discover(api_version)
        if kind not in known:
            served = ", ".join(sorted(known)) or "nothing"
            raise UnknownKind(
                f"The API server knows no kind {kind} in {api_version} (it serves there: {served}).",
                hint="Check apiVersion and kind; a custom resource needs its CustomResourceDefinition first.",
                status=404,
                reason="NotFound",
            )
        return known[kind]

    def get(self, kind: ResourceType, namespace: str | None, name: str) -> dict[str, Any] | None:
        """Returns an object, or None when it, or its namespace, does not exist."""
        try:
            return self.client.get(kind.path(namespace, name))
        except KubernetesError as error:
            if error.status == 404:
                return None
            raise

    def items(
        self,
        kind: ResourceType,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> list[dict[str, Any]]:
        """Returns all objects of a kind that the selectors let pass, page by page."""
        items: list[dict[str, Any]] = []
        token = None
        while True:
            query = {
                "labelSelector": label_selector,
                "fieldSelector": field_selector,
                "limit": 500,
                "continue": token,
            }
            page = self.client.request("GET", kind.path(namespace), query=query)
            items += page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return items

    def apply(
        self,
        kind: ResourceType,
        manifest: dict[str, Any],
        *,
        field_manager: str,
        force: bool = False,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Applies a manifest on the server and returns the object that results.

        Args:
            kind: Of the manifest.
            manifest: With a name, and a namespace where the kind has them.
            field_manager: The owner of the fields that the manifest sets.
            force: Take over fields that somebody else owns.
            dry_run: The server does everything but store it.

        Raises:
            KubernetesError: ``Conflict`` for fields of another owner, ``Invalid`` for values and immutable fields,
                ``NotFound`` for a missing namespace, and so on.
        """
        metadata = manifest["metadata"]
        query = {
            "fieldManager": field_manager,
            "force": force or None,
            "dryRun": "All" if dry_run else None,
            "fieldValidation": "Strict",
        }
        path = kind.path(metadata.get("namespace"), metadata["name"])
        return self.client.request("PATCH", path, query=query, body=manifest, content_type=APPLY_TYPE)

    def delete(
        self, kind: ResourceType, live: dict[str, Any], *, propagation: str = "Foreground", dry_run: bool = False
    ) -> None:
        """Starts the deletion of exactly this object; nothing happens when it is gone already.

        Args:
            kind: Of the object.
            live: The object as it was read; another one of the same name is not deleted.
            propagation: What becomes of its dependents: ``Foreground``, ``Background`` or ``Orphan``.
            dry_run: The server does everything but delete it.

        Raises:
            KubernetesError: The server refused, or gave no answer.
        """
        metadata = live["metadata"]
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": {"uid": metadata["uid"]},
        }
        if dry_run:
            options["dryRun"] = ["All"]
        try:
            self.client.request("DELETE", kind.path(metadata.get("namespace"), metadata["name"]), body=options)
        except KubernetesError as error:
            replaced = error.status == 409 and "UID" in error.message
            if error.status != 404 and not replaced:
                raise

    def contents(self, namespace: str) -> tuple[list[dict[str, Any]], list[str]]:
        """Returns what lives in a namespace, whatever its kind.

        Args:
            namespace: Name of the namespace.

        Returns:
            The objects as ``apiVersion``, ``kind``, ``metadata``; and the kinds that could not be looked at, with why.
            Events, and what Kubernetes itself puts into each namespace, are left out.

        Raises:
            KubernetesError: The server can't be reached, or doesn't accept the credentials.
        """
        found: list[dict[str, Any]] = []
        unknown: list[str] = []
        kinds = self._deletable()
        left: list[tuple[ResourceType, str | None]] = [(kind, None) for kind in kinds]
        while left:
            asks = [
                ReadRequest(kind.path(namespace), {"limit": 500, "continue": token}, METADATA_TYPE)
                for kind, token in left
            ]
            following: list[tuple[ResourceType, str | None]] = []
            for (kind, _token), page in zip(left, self.client.read_many(asks), strict=True):
                if isinstance(page, KubernetesError):
                    if page.status in (0, 401):
                        raise page
                    if page.status not in (404, 405):
                        unknown.append(f"{kind.plural} ({page.message})")
                    continue
                found += [
                    {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": item["metadata"]}
                    for item in page.get("items") or []
                    if (kind.kind, item["metadata"]["name"]) not in _FURNITURE
                ]
                if token := (page.get("metadata") or {}).get("continue"):
                    following.append((kind, token))
            left = following
        return found, unknown

    def _deletable(self) -> list[ResourceType]:
        kinds: dict[tuple[str, str], ResourceType] = {}
        for root in ("/api", "/apis"):
            answer = self.client.request("GET", root, accept=DISCOVERY_TYPE)
            for group in answer.get("items") or []:
                name = (group.get("metadata") or {}).get("name", "")
                for version in group.get("versions") or []:
                    for entry in version.get("resources") or []:
                        if (
                            entry.get("scope") != "Namespaced"
                            or not {"list", "delete"} <= set(entry.get("verbs") or [])
                            or entry["resource"] == "events"
                        ):
                            continue
                        api_version = f"{name}/{version['version']}" if name else version["version"]
                        kind = ResourceType(api_version, entry["responseKind"]["kind"], entry["resource"], True)
                        kinds.setdefault((name, entry["resource"]), kind)
        return list(kinds.values())

    def _discover(self, api_version: str) -> dict[str, ResourceType]:
        try:
            answer = self.client.get(root_of(api_version))
        except KubernetesError as error:
            if error.status == 404:
                return {}
            raise
        return {
            entry["kind"]: ResourceType(api_version, entry["kind"], entry["name"], bool(entry["namespaced"]))
            for entry in answer.get("resources") or []
            if "/" not in entry["name"]
        }


_FURNITURE = frozenset({("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")})


def describe(manifest: dict[str, Any]) -> str:
    """Returns an object's name as people say it: ``DaemonSet gpu-resources/nvidia-device-plugin-daemonset``."""
    metadata = manifest.get("metadata") or {}
    space = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{manifest.get('kind')} {space}{metadata.get('name')}"
