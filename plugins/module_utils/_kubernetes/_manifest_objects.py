# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects of manifests: their texts, their parts, and the API server's errors about them."""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._secrets import MASK
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import KubernetesError
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._libraries import SafeLoader, yaml
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._ownership import (
    CREATED_BY_ANNOTATION,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._paths import ResourceType, place_problems
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._secrets import (
    mask_objects,
    objects_of,
)

CONTROLLED_FIELDS = {
    "Job": (
        "spec.suspend",
        "spec.parallelism",
        "spec.template.spec.nodeSelector",
        "spec.template.spec.tolerations",
    ),
    **dict.fromkeys(("Deployment", "ReplicaSet", "StatefulSet"), ("spec.replicas",)),
}
"""By kind, the fields that controllers take over as their job: queues start and place Jobs, autoscalers set replicas.

Sources: https://kueue.sigs.k8s.io/docs/concepts/workload/,
https://kubernetes.io/docs/concepts/workloads/controllers/job/#mutable-scheduling-directives,
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""


_CONTROLLERS = re.compile(r'"(kueue|kube-controller-manager|keda|volcano|vc-|yunikorn|karpenter)[^"]*"')
"""How these controllers name themselves as owners of fields. Another owner's field is a conflict."""


LEASE = ResourceType("coordination.k8s.io/v1", "Lease", "leases", True)


def parse_definition(definition: Any) -> list[dict[str, Any]]:
    """Returns the objects of a definition; lists of objects are taken apart, empty documents passed over.

    Args:
        definition: An object, a list of objects, or YAML or JSON text with one or more documents.

    Raises:
        Failure: Something in it is no Kubernetes object. All of it is named at once.
    """
    try:
        documents = list(yaml.load_all(definition, Loader=SafeLoader)) if isinstance(definition, str) else [definition]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        # YAML quotes the name of an alias or a tag, which may be an unquoted password.
        problem = re.sub(r"(alias|tag|anchor|handle) .*", r"\1", str(getattr(error, "problem", None) or "")).rstrip(".")
        text = f"The definition is not valid YAML{where}{': ' if problem else ''}{problem}."
        raise Failure(text) from None
    objects: list[dict[str, Any]] = []
    problems: list[str] = []
    for number, found in enumerate(objects_of(documents), 1):
        missing = [] if isinstance(found, dict) else ["a dictionary"]
        if isinstance(found, dict):
            missing = [key for key in ("apiVersion", "kind") if not isinstance(found.get(key), str) or not found[key]]
            metadata = found.get("metadata")
            if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
                missing.append("metadata.name")
        if missing:
            problems.append(
                f"object {number} lacks {', '.join(missing)}" if isinstance(found, dict) else f"object {number} is text"
            )
        elif misplaced := place_problems(found):
            problems += [f"object {number}: {text}" for text in misplaced]
        else:
            objects.append(found)
    if problems:
        raise Failure(f"The definition can't be used: {'; '.join(problems)}.")
    return objects


def without_server_fields(found: dict[str, Any]) -> dict[str, Any]:
    """Returns an object without what changes by itself: status, managed fields, versions, times."""
    kept = {key: value for key, value in found.items() if key != "status"}
    ignored = {"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"}
    kept["metadata"] = {key: value for key, value in (found.get("metadata") or {}).items() if key not in ignored}
    return kept


def shortened_object(found: dict[str, Any]) -> dict[str, Any]:
    """Returns an object with the binary data of a ConfigMap replaced by its length and hash: it is not for reading."""
    if found.get("kind") != "ConfigMap" or not found.get("binaryData"):
        return found
    return {**found, "binaryData": {name: _value_summary(value) for name, value in found["binaryData"].items()}}


def _value_summary(value: Any) -> str:
    try:
        content = base64.b64decode(value, validate=True)
    except (TypeError, binascii.Error):
        return str(value)
    return f"{len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}"


def masked_pair(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns two states of an object for a diff: a Secret's changed values are seen to change, but not to what."""
    shown = mask_objects(before), mask_objects(after)
    if after.get("kind") == "Secret":
        for key in ("data", "stringData"):
            for name in set(before.get(key) or {}) & set(after.get(key) or {}):
                if before[key][name] != after[key][name]:
                    shown[0][key][name], shown[1][key][name] = f"{MASK} (before)", f"{MASK} (after)"
    return shown


def without_managed_fields(found: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in (found.get("metadata") or {}).items() if key != "managedFields"}
    return {**found, "metadata": metadata}


def brought(definition: dict[str, Any]) -> set[tuple[str, str]]:
    """The kinds that a CustomResourceDefinition brings."""
    spec = definition.get("spec") or {}
    kind = (spec.get("names") or {}).get("kind")
    return {(f"{spec.get('group')}/{version.get('name')}", str(kind)) for version in spec.get("versions") or []}


def is_lease(found: dict[str, Any]) -> bool:
    return found["kind"] == LEASE.kind and str(found["apiVersion"]).startswith("coordination.k8s.io/")


def lease_seconds(lease: dict[str, Any]) -> float:
    return float((lease.get("spec") or {}).get("leaseDurationSeconds") or 0)


def owner_uids(found: dict[str, Any]) -> set[str]:
    return {ref["uid"] for ref in found["metadata"].get("ownerReferences") or []}


def lacks_namespace(error: KubernetesError) -> bool:
    return (error.status == 404 and error.status_details.get("kind") == "namespaces") or is_terminating(error)


def is_terminating(error: KubernetesError) -> bool:
    return any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes)


def is_settling(error: KubernetesError) -> bool:
    return error.status == 403 and "error looking up service account" in error.message


def is_immutable(error: KubernetesError) -> bool:
    if error.reason != "Invalid" or not error.causes:
        return False
    words = ("immutable", "may not change once set", "cannot change roleRef", "updates to", "may not be changed")
    return all(any(word in str(cause.get("message")) for word in words) for cause in error.causes)


def is_own(live: dict[str, Any] | None) -> bool:
    """Returns whether this collection created an object."""
    return live is not None and CREATED_BY_ANNOTATION in (live["metadata"].get("annotations") or {})


def taken_over(manifest: dict[str, Any], error: KubernetesError) -> set[str]:
    """Returns the fields among those in conflict that belong to a controller whose job it is to set them."""
    fields = CONTROLLED_FIELDS.get(str(manifest.get("kind")), ())
    owners = {
        str(cause.get("field", "")).lstrip("."): _CONTROLLERS.search(str(cause.get("message")))
        for cause in error.causes
    }
    return {name for name, owner in owners.items() if owner and name in fields}


def without_fields(manifest: dict[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    result = copy.deepcopy(manifest)
    for path in fields:
        *parents, last = path.split(".")
        inner = result
        for name in parents:
            inner = inner.get(name) or {}
        inner.pop(last, None)
    return result


def conflict_text(error: KubernetesError) -> str:
    fields: dict[str, list[str]] = {}
    for cause in error.causes:
        owner = str(cause.get("message", "")).removeprefix("conflict with ")
        fields.setdefault(owner, []).append(str(cause.get("field", "")).lstrip("."))
    if not fields:
        return error.message
    owned = "; ".join(
        f"{', '.join(names)} belong{'s' if len(names) == 1 else ''} to {owner}" for owner, names in fields.items()
    )
    return f"{owned}. O(force_conflicts=true) takes them over."


def causes_text(error: KubernetesError) -> str:
    """What is invalid, without the dump of whole objects that the server puts into such messages."""
    texts = []
    for cause in error.causes:
        said = re.sub(r"Invalid value: [{\[].*[}\]]: ", "", str(cause.get("message")), flags=re.DOTALL)
        texts.append(f"{cause.get('field')}: {said}")
    return "; ".join(texts) or error.message.rstrip(".")


def why_still_there(found: dict[str, Any]) -> list[str]:
    finalizers = [*(found["metadata"].get("finalizers") or []), *((found.get("spec") or {}).get("finalizers") or [])]
    said = [
        str(condition.get("message"))
        for condition in (found.get("status") or {}).get("conditions") or []
        if condition.get("status") == "True" and str(condition.get("type", "")).startswith("Namespace")
    ]
    return [*([f"Finalizers that are not done: {', '.join(finalizers)}."] if finalizers else []), *said]
