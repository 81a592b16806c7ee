# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The library that renders the report's page. ansible-core brings it along."""

from __future__ import annotations

import sys
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import MissingLibrary

try:
    import jinja2
except ImportError as error:
    jinja2 = None
    REASON = str(error)
else:
    REASON = ""


def environment() -> Any:
    """Returns a Jinja environment that escapes whatever is not said to be safe, and knows no undefined names.

    Raises:
        MissingLibrary: Jinja2 can't be imported here.
    """
    if jinja2 is None:
        raise MissingLibrary("Jinja2", python=sys.executable, reason=REASON)
    return jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
