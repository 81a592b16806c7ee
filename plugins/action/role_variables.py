# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.aks.gpu.plugins.filter.duplicate_node_pools import duplicate_node_pools
from ansible_collections.aks.gpu.plugins.module_utils._ansible._files import locked, write_private
from ansible_collections.aks.gpu.plugins.plugin_utils import _in_process, _role_variables

_in_process.load_templating()
_role_variables.read_all_roles()


class ActionModule(ActionBase):
    """Says what is wrong with the variables of a host, all of it at once."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Runs the task."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = {
            "roles": {"type": "list", "elements": "str", "required": True},
            "hosts": {"type": "list", "elements": "str"},
            "hint": {"type": "str"},
        }
        _validated, asked = self.validate_argument_spec(options)  # type: ignore[no-untyped-call]
        names = (name for name in task_vars or {} if isinstance(name, str))
        for sentence in _role_variables.misspelt_variables(asked["roles"], names):
            Display().warning(sentence)
        wrong = _role_variables.wrong_variables(asked["roles"], task_vars or {}, self._templar.template)
        twice = self._duplicate_node_pools(asked["hosts"] or [], task_vars or {}) if not wrong else []
        if twice:
            hint = "Nothing was changed. Give each host its own node_pool_name, or name the pool once."
            result.update(failed=True, msg=" ".join([*twice, hint]), argument_errors=twice)
        if wrong:
            said = [f"{'. '.join(wrong)}.", asked["hint"]]
            result.update(failed=True, msg=" ".join(text for text in said if text), argument_errors=wrong)
        return {**result, "changed": False}

    def _duplicate_node_pools(self, hosts: list[str], task_vars: dict[str, Any]) -> list[str]:
        """Returns a sentence for each node pool that several hosts name; one host of the play looks at all of them."""
        if len(hosts) < 2:
            return []
        path = Path(_in_process.RUN_DIRECTORY, f"duplicate-node-pools-{self._task._uuid}.json")
        with locked(path.with_suffix(".lock")):
            if not path.exists():
                write_private(path, json.dumps(duplicate_node_pools(hosts, task_vars["hostvars"])))
        found: list[str] = json.loads(path.read_text(encoding="utf-8"))
        return found
