# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a module of another collection is installed, before a task that names it is read."""

from __future__ import annotations

from collections.abc import Callable

from ansible.errors import AnsibleFilterError
from ansible.plugins.loader import module_loader

DOCUMENTATION = r"""
name: installed
short_description: Whether a module is installed where Ansible runs
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Says whether Ansible finds a module by its full name.
  - A task file that names a module of a collection that is missing can't be read. So it is included after this test.
options:
  _input:
    description: The full name of a module.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Ask for the collection
  ansible.builtin.assert:
    that: "'kubernetes.core.helm' is aks.gpu.installed"
    fail_msg: "Install it: ansible-galaxy collection install kubernetes.core"
"""

RETURN = r"""
_value:
  description: Whether the module is there.
  type: bool
"""


def installed(value: str) -> bool:
    """Says whether Ansible finds a module.

    Args:
        value: Its full name, such as ``kubernetes.core.helm``.

    Raises:
        AnsibleFilterError: It is no full name.
    """
    if not isinstance(value, str) or value.count(".") != 2:
        raise AnsibleFilterError(f"aks.gpu.installed takes a full name such as kubernetes.core.helm, not {value!r}.")
    return bool(module_loader.find_plugin_with_context(value).resolved)


class TestModule:
    """What Ansible looks for in this file."""

    def tests(self) -> dict[str, Callable[..., bool]]:
        """Returns the tests by name."""
        return {"installed": installed}
