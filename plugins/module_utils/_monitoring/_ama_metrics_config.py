# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of the agent of Managed Prometheus: one line of a text is changed, the rest of it stays as it is. Pure.

The ConfigMap ``ama-metrics-settings-configmap`` holds texts of lines ``target = true``. In schema v1 (the default) they
are the text ``default-scrape-settings-enabled``; in v2 a part of the text ``cluster-metrics``, which is YAML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

CONFIG_MAP_NAMESPACE = "kube-system"
CONFIG_MAP_NAME = "ama-metrics-settings-configmap"

V1_KEY = "default-scrape-settings-enabled"
V2_KEY = "cluster-metrics"
V2_SECTION = "default-targets-scrape-enabled"


def is_v2(data: Mapping[str, str]) -> bool:
    """Says which schema the settings are written in."""
    return data.get("schema-version", "").strip().lower() == "v2"


def key_of_targets(data: Mapping[str, str]) -> str:
    """Returns the key of the text that holds the targets."""
    return V2_KEY if is_v2(data) else V1_KEY


def target_value(data: Mapping[str, str], target: str) -> str | None:
    """Returns ``true`` or ``false``, or None when the settings don't name the target.

    Args:
        data: Of the ConfigMap.
        target: Such as ``dcgmexporter``.
    """
    lines = data.get(key_of_targets(data), "").split("\n")
    first, last = _section(lines) if is_v2(data) else (0, len(lines))
    for line in lines[first:last]:
        found = _target_line(target).match(line)
        if found:
            return found["value"].lower()
    return None


def with_target(data: Mapping[str, str], target: str, value: str | None) -> dict[str, str]:
    """Returns settings in which a target has a value, and everything else is as it was, comments as well.

    Args:
        data: Of the ConfigMap; empty when there is none.
        target: Such as ``dcgmexporter``.
        value: ``true``, ``false``, or None to take its line out.
    """
    data = dict(data) or {"schema-version": "v1", "config-version": "ver1"}
    key = key_of_targets(data)
    lines = data.get(key, "").split("\n") if data.get(key) else []
    if is_v2(data):
        lines = _with_section(lines)
    first, last = _section(lines) if is_v2(data) else (0, len(lines))
    matches = [number for number in range(first, last) if _target_line(target).match(lines[number])]
    if value is None:
        lines = [line for number, line in enumerate(lines) if number not in matches]
    elif matches:
        for number in matches:
            lines[number] = _target_line(target).sub(rf"\g<before>{value}\g<after>", lines[number])
    else:
        end = last
        while end > first and not lines[end - 1].strip():
            end -= 1
        body = [line for line in lines[first:end] if line.strip()]
        indent = body[-1][: len(body[-1]) - len(body[-1].lstrip())] if body else "  " if is_v2(data) else ""
        lines.insert(end, f"{indent}{target} = {value}")
    data[key] = "\n".join(lines)
    if not data[key].strip():
        del data[key]
    return data


def _target_line(target: str) -> re.Pattern[str]:
    return re.compile(
        rf"^(?P<before>\s*{re.escape(target)}\s*=\s*)(?P<value>true|false)(?P<after>\s*(?:#.*)?)$", re.IGNORECASE
    )


def _section_header(lines: list[str]) -> int | None:
    return next((number for number, line in enumerate(lines) if re.match(rf"^{V2_SECTION}\s*:", line)), None)


def _section(lines: list[str]) -> tuple[int, int]:
    """Returns the first line of the section of schema v2 that holds the targets, and the line after its last."""
    header = _section_header(lines)
    if header is None:
        return len(lines), len(lines)
    end = header + 1
    while end < len(lines) and (not lines[end].strip() or lines[end][0].isspace()):
        end += 1
    return header + 1, end


def _with_section(lines: list[str]) -> list[str]:
    """Returns lines in which the section is there, as a block of text."""
    header = _section_header(lines)
    block = f"{V2_SECTION}: |-"
    if header is None:
        return [*lines, block]
    if "|" not in lines[header].partition(":")[2]:
        lines = list(lines)
        lines[header] = block
    return lines
