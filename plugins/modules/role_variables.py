#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: role_variables
short_description: Refuses variables of the roles that are missing or wrong
version_added: 0.1.0
author:
  - The aks.gpu authors (@aks-gpu)
description:
  - Judges the variables of a host that belong to roles of this collection, and fails with all that is wrong.
  - Only what is set is judged, and what must be set. So it costs a fleet little, and it can stand in a play of its own
    before the roles, whose own judgement then need not be repeated (C(rolespec_validate=false)).
  - Warns of a variable that no role takes, and whose name is nearly that of one that a role takes.
  - Null, empty text and whitespace are an unset variable.
  - Refuses a number or a boolean for a variable that is text, because its spelling may be lost.
extends_documentation_fragment:
  - aks.gpu.attributes.reads
options:
  roles:
    description: Roles of this collection, by their names without the collection's.
    type: list
    elements: str
    required: true
  hosts:
    description:
      - The hosts of the play. When two of them name the same node pool, by their variables C(aks_subscription_id),
        C(aks_resource_group), C(aks_cluster_name) and C(node_pool_name), all of them are refused.
    type: list
    elements: str
  hint:
    description: What to say in addition when something is wrong.
    type: str
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: posix
notes:
  - Runs on Ansible's own machine, whatever the connection of the host is.
"""

EXAMPLES = r"""
- name: Refuse variables that are missing or wrong
  aks.gpu.role_variables:
    roles: [node_pool, mnist]
"""

RETURN = r"""
argument_errors:
  description: What is wrong, a sentence each.
  returned: failure
  type: list
  elements: str
  sample: ["missing required arguments: aks_cluster_name"]
"""
