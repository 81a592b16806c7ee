# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that the jobs of a workflow have found to work."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._evidence._checks import IDLE, WORKS

DOCUMENTATION = r"""
name: known_to_work
short_description: Hosts that the jobs of a workflow have found to work
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Reads what the jobs of a workflow have handed on in C(aks_gpu_summary_<number of the job>), see
    M(aks.gpu.evidence_report). The last job that says something of a host counts.
  - A host of which no job says anything is not known to work. A job that was killed says nothing.
options:
  _input:
    description: The variables of a host.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Fail for each cluster that is not known to work
  ansible.builtin.fail:
    msg: It failed.
  when: inventory_hostname not in (hostvars[inventory_hostname] | aks.gpu.known_to_work)
"""

RETURN = r"""
_value:
  description: The names of the hosts.
  type: list
  elements: str
"""

SUMMARY = re.compile(r"aks_gpu_summary_([0-9]+)")
GOOD = (WORKS, IDLE)
"""Verdicts that are not a fault; an idle pool has no nodes."""


def known_to_work(value: Mapping[str, Any]) -> list[str]:
    """Returns the hosts that the last job that says something of them has found to work.

    Args:
        value: The variables of a host.
    """
    named = ((SUMMARY.fullmatch(str(name)), name) for name in value)
    jobs = sorted((int(found[1]), name) for found, name in named if found)
    verdicts: dict[str, Any] = {}
    for _number, name in jobs:
        summary = value[name]
        hosts = summary.get("hosts") if isinstance(summary, Mapping) else None
        verdicts.update(hosts if isinstance(hosts, Mapping) else {})
    return [str(host) for host, verdict in verdicts.items() if verdict in GOOD]


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"known_to_work": known_to_work}
