# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A list, from a list or from the comma-separated text of a survey."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import items

DOCUMENTATION = r"""
name: to_list
short_description: A list, from a list or from comma-separated text
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Surveys of AWX know no lists. This filter takes a list as it is, and splits text at its commas.
  - Spaces around an item are removed, empty items are dropped.
options:
  _input:
    description: A list, comma-separated text, or nothing.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Two zones
  ansible.builtin.debug:
    msg: "{{ '1, 2' | aks.gpu.to_list }}"  # ['1', '2']
"""

RETURN = r"""
_value:
  description: The items.
  type: list
  elements: raw
"""


def to_list(value: Any) -> list[Any]:
    """Returns the items of a list, or of comma-separated text.

    Args:
        value: A list or tuple, text, or None.

    Raises:
        AnsibleFilterError: It is something else.
    """
    if value is None:
        return []
    if not isinstance(value, (str, list, tuple)):
        raise AnsibleFilterError(f"aks.gpu.to_list takes a list or comma-separated text, not {value!r}.")
    return items(value)


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"to_list": to_list}
