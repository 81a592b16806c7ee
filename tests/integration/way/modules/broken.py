# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module whose import does what it should not."""

from __future__ import annotations

import a_library_that_nobody_has  # type: ignore[import-not-found] # noqa: F401 # pylint: disable=unused-import
from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Runs the module."""
    AnsibleModule({}).exit_json(changed=False)


if __name__ == "__main__":
    main()
