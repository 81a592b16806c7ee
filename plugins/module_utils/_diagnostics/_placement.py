# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a Pod may run: selectors, affinities, taints and tolerations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import (
    LEAVING_TAINTS,
    MANAGED_LABEL,
    PASSING_TAINTS,
    SPOT_LABEL,
    labels_of,
    name_of,
    taint_text,
    taints_of,
)


def placement_obstacle(
    template: dict[str, Any], node: dict[str, Any], *, open_labels: bool = False
) -> tuple[str, str] | None:
    """Returns why a DaemonSet makes no Pod for a node, as a cause and in words; None when it does.

    Args:
        template: The Pod template of the DaemonSet.
        node: The node.
        open_labels: The node may get more labels than it has, so that one that it lacks is no obstacle.
    """
    spec = template.get("spec") or {}
    labels = labels_of(node)
    for key, value in (spec.get("nodeSelector") or {}).items():
        if labels.get(key) != value and not (open_labels and _may_come(key, labels)):
            return "NotSelected", f"its nodeSelector wants the label {key}={value}, which the node does not have"
    if not _affine(spec, node, open_labels):
        return "NotSelected", "its node affinity does not match the labels of the node"
    taints = untolerated(spec, node)
    if taints:
        word = "taint" if len(taints) == 1 else "taints"
        return "NotTolerated", f"it does not tolerate the {word} {', '.join(taints)} of the node"
    return None


def untolerated(spec: dict[str, Any], node: dict[str, Any]) -> list[str]:
    """Returns the taints of a node that keep a Pod away for good; not those of a node that boots, fills up or leaves.

    Args:
        spec: The spec of the Pod.
        node: The node.
    """
    return [
        taint_text(taint)
        for taint in taints_of(node)
        if taint.get("effect") != "PreferNoSchedule"
        and taint.get("key") not in PASSING_TAINTS | LEAVING_TAINTS
        and not any(tolerates(toleration, taint) for toleration in spec.get("tolerations") or [])
    ]


def tolerates(toleration: dict[str, Any], taint: dict[str, Any]) -> bool:
    """True when a toleration covers a taint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("operator") == "Exists":
        return not toleration.get("key") or toleration["key"] == taint.get("key")
    return toleration.get("key") == taint.get("key") and (toleration.get("value") or "") == (taint.get("value") or "")


def _may_come(key: str, labels: dict[str, str]) -> bool:
    """True for a label that is not there and that something may still add; those that AKS adds by itself are known."""
    return key not in labels and key not in (SPOT_LABEL, MANAGED_LABEL)


def _affine(spec: dict[str, Any], node: dict[str, Any], open_labels: bool) -> bool:
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not required:
        return True
    fields = {"metadata.name": name_of(node)}
    return any(
        (term.get("matchExpressions") or term.get("matchFields"))
        and _all_match(term.get("matchExpressions") or [], labels_of(node), open_labels)
        and _all_match(term.get("matchFields") or [], fields, False)
        for term in required.get("nodeSelectorTerms") or []
    )


def _all_match(expressions: Iterable[dict[str, Any]], values: dict[str, str], open_labels: bool) -> bool:
    return all(_expression_matches(expression, values, open_labels) for expression in expressions)


def _expression_matches(expression: dict[str, Any], values: dict[str, str], open_labels: bool) -> bool:
    value = values.get(expression["key"])
    operator, wanted = expression["operator"], expression.get("values") or []
    if open_labels and operator in ("Exists", "In", "Gt", "Lt") and _may_come(expression["key"], values):
        return True
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if operator == "In":
        return value in wanted
    if operator == "NotIn":
        return value not in wanted
    try:
        return int(value or "") > int(wanted[0]) if operator == "Gt" else int(value or "") < int(wanted[0])
    except ValueError:
        return False
