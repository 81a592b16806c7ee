# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The extra variables of a job, as AWX writes them into `env/extravars`, which ansible-runner passes by `-e @file`.

Source: `safe_dump` of awx/main/utils/safe_yaml.py (ansible/awx, commit 16e470da), which `build_extra_vars_file` of
awx/main/tasks/jobs.py (commit 01096141) calls with the variables of the job template as those that need no mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


class _Marked(yaml.SafeDumper):
    """Writes each text with the tag `!unsafe`: keys as well, and the texts inside lists and dictionaries."""

    def represent_data(self, data: Any) -> yaml.Node:
        if isinstance(data, str):
            return self.represent_scalar("!unsafe", data)
        node: yaml.Node = super().represent_data(data)
        return node


def extra_variables(variables: Mapping[str, Any], of_template: Mapping[str, Any] | None = None) -> str:
    """The text of the file.

    Args:
        variables: Of the job: those of the template, of the survey, and of the nodes before it in a workflow.
        of_template: Those in the field Variables of the job template. One with the same value in the job is not marked.
    """
    trusted = of_template or {}
    return "".join(
        yaml.dump(
            {name: value},
            Dumper=yaml.SafeDumper if name in trusted and trusted[name] == value else _Marked,
            default_flow_style=False,
        )
        for name, value in variables.items()
    )
