# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import HANDED_DOWN
from ansible_collections.aks.gpu.plugins.plugin_utils import _evidence_page, _in_process


class ActionModule(_in_process.InProcessAction):
    """Hands the files of the page down to the module, which may run where the collection is not."""

    MODULE = _in_process.load("evidence_report")
    SHOWN_RESULT = "shown"

    def _execute_module(self, *args: Any, **kwargs: Any) -> Any:
        page = asdict(_evidence_page.page_files())
        kwargs.setdefault("module_args", {**self._task.args, HANDED_DOWN: {"page": page}})
        return super()._execute_module(*args, **kwargs)
