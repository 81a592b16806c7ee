# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A path as whoever started Ansible means it."""

from __future__ import annotations

import os.path
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: absolute_path
short_description: A path as whoever started Ansible means it
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Ansible takes a relative path for one of the playbook's folder. For a playbook that lies in an installed collection
    that is nobody's folder. This filter starts at the folder in which Ansible was started.
  - V(~) at the beginning is the user's home. Empty text stays empty.
options:
  _input:
    description: A path.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: The evidence, beside the inventory that was named
  ansible.builtin.debug:
    msg: "{{ 'evidence' | aks.gpu.absolute_path }}"  # /home/me/fleet/evidence
"""

RETURN = r"""
_value:
  description: The absolute path.
  type: str
"""


def absolute_path(value: Any) -> str:
    """Returns a path, from the folder in which Ansible was started.

    Args:
        value: A path as text; empty text for none.

    Raises:
        AnsibleFilterError: It is no text.
    """
    if not isinstance(value, str):
        raise AnsibleFilterError(f"aks.gpu.absolute_path takes a path, not {value!r}.")
    return os.path.abspath(os.path.expanduser(value)) if value else ""


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"absolute_path": absolute_path}
