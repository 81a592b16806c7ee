# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make lock`: resolve tests/requirements-test.txt anew and write the exact versions into tests/constraints.txt.

Run it with the oldest Python that is supported, so that the versions exist for all newer ones.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

from environment import OLDEST_PYTHON, ROOT, SetUpError, check_python

HEADER = "# Written by `make lock`: the exact versions of everything that tests/requirements-*.txt bring in.\n"


def lock() -> None:
    """Install the newest versions into a virtual environment that is thrown away, and write down what came."""
    check_python()
    if sys.version_info[:2] != OLDEST_PYTHON:
        raise SetUpError(f"Lock with Python {'.'.join(map(str, OLDEST_PYTHON))}: `make lock PYTHON=python3.11`.")
    with tempfile.TemporaryDirectory(prefix="aks-gpu-lock-") as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", "-r", ROOT / "tests" / "requirements-test.txt"], check=True)
        frozen = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
    (ROOT / "tests" / "constraints.txt").write_text(HEADER + frozen)


if __name__ == "__main__":
    try:
        lock()
    except SetUpError as error:
        sys.exit(f"make lock: {error}")
