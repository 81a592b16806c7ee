# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys

from ansible_collections.aks.gpu.plugins.plugin_utils import _in_process


class ActionModule(_in_process.InProcessAction):
    MODULE = _in_process.load("probe", "ansible_collections.test.way.plugins.modules")

    def _reason_for_subprocess(self) -> str | None:
        """As if this were a Mac."""
        platform, sys.platform = sys.platform, "darwin"
        try:
            return super()._reason_for_subprocess()
        finally:
            sys.platform = platform
