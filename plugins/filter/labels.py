# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Labels, as a dictionary or as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.aks.gpu.plugins.filter.to_list import to_list

DOCUMENTATION = r"""
name: labels
short_description: Labels as a dictionary
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Turns labels into a dictionary. They are a dictionary already, or comma-separated text such as
    V(team=vision,env=test), as surveys of AWX have it.
options:
  _input:
    description: The labels. Null and empty text are none.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Labels of a survey
  ansible.builtin.debug:
    msg: "{{ 'team=vision,env=test' | aks.gpu.labels }}"  # {"team": "vision", "env": "test"}
"""

RETURN = r"""
_value:
  description: The labels by their keys.
  type: dict
"""


def labels(value: Any) -> dict[str, Any]:
    """Returns labels by their keys.

    Args:
        value: A dictionary, comma-separated text, or None.

    Raises:
        AnsibleFilterError: An item is not ``key=value``.
    """
    if isinstance(value, Mapping):
        return dict(value)
    pairs = [str(item).partition("=") for item in to_list(value)]
    if wrong := [key for key, equals, _text in pairs if not equals]:
        raise AnsibleFilterError(f"{wrong[0]!r} is not a label. Use key=value, such as team=vision.")
    return {key: text for key, _equals, text in pairs}


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"labels": labels}
