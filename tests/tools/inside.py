# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a script in one of the virtual environments of `make`, with this checkout as the collection aks.gpu.

inside.py NAME SCRIPT [ARGUMENT ...]      NAME as in tests/requirements-NAME.txt
"""

from __future__ import annotations

import os
import sys

from environment import ROOT, SetUpError, check_python, link_collection, tool_environment, virtual_environment


def main() -> None:
    name, *command = sys.argv[1:]
    check_python()
    python = virtual_environment(name)
    link_collection()
    environment = tool_environment(python)
    folders = [ROOT / "tests" / folder for folder in ("sandbox", "tools", "peers", "integration")]
    environment["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    os.execve(python, [str(python), *command], environment)


if __name__ == "__main__":
    try:
        main()
    except SetUpError as error:
        sys.exit(f"make: {error}")
