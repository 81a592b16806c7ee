# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._values import is_unset

DOCUMENTATION = r"""
name: or_else
short_description: A value, or another one where it is unset
version_added: 0.1.0
author: the aks.gpu authors
description:
  - A question of AWX without an answer arrives as empty text with ansible-core 2.18 and older, and as null since 2.19.
  - This filter takes null, empty text and whitespace for unset. V(false), V(0), an empty list and an empty dictionary
    are values.
positional: other
options:
  _input:
    description: The value, or nothing.
    type: raw
    required: true
  other:
    description: What to return where the value is unset.
    type: raw
    default: ""
"""

EXAMPLES = r"""
- name: The pool that was asked for, else the usual one
  ansible.builtin.debug:
    msg: "{{ asked_pool | default('') | aks.gpu.or_else('gpunp') }}"
"""

RETURN = r"""
_value:
  description: The value, or the other one.
  type: raw
"""


def or_else(value: Any, other: Any = "") -> Any:
    """Returns a value, or another one where it is unset: None, empty text, whitespace."""
    return other if is_unset(value) else value


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"or_else": or_else}
