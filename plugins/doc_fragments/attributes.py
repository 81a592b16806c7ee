# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attributes that all modules of the collection have."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation that modules compose."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: posix
notes:
  - On Ansible's own machine (a local connection, also by C(delegate_to)), without C(become), C(async) or another
    Python, the module runs inside Ansible's own process, which is many times faster and shows the progress of
    waits. The result is the same in both ways. The variable C(aks_gpu_in_process), or the environment variable
    E(AKS_GPU_IN_PROCESS), is V(auto) by default; V(never) always gives the module a process of its own; V(always)
    uses Ansible's process also on macOS and on releases of ansible-core that this collection has not been tested
    with. C(-vv) says which way a task went, and why.
"""

    # For modules that write: they show a difference.
    WRITES = r"""
options: {}
attributes:
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff
      mode.
    support: full
"""

    # For modules that only read or only wait: there is nothing to show a difference of.
    READS = r"""
options: {}
attributes:
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff
      mode.
    support: N/A
"""
