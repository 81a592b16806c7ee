# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make fuzz`: the generated cases of the planner, by the thousand, and a table of how many each property survived.

fuzz.py [PYTEST ARGUMENT ...]
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = "tests/unit/plugins/module_utils/_node_pool"
CASES = (f"{FOLDER}/test_plan.py", f"{FOLDER}/test_recorded.py")
FEWEST = 20_000
"""Fewer cases than this, all properties together, are a failure of their own."""

PROPERTY = re.compile(r"^\S+::(test_\w+):\s*$")
PASSING = re.compile(r"(\d+) passing, (\d+) failing")


def counted(output: str) -> dict[str, tuple[int, int]]:
    """Returns the passing and failing cases of each property, from what Hypothesis says of them.

    Args:
        output: What pytest printed with ``--hypothesis-show-statistics``.
    """
    counts: dict[str, tuple[int, int]] = {}
    name = ""
    for line in output.splitlines():
        if found := PROPERTY.match(line):
            name = found[1]
        elif (found := PASSING.search(line)) and name:
            passing, failing = counts.get(name, (0, 0))
            counts[name] = (passing + int(found[1]), failing + int(found[2]))
    return counts


def main() -> int:
    """Runs the properties and prints the table; returns the exit status."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-show-statistics", *CASES]
    print("The planner's properties, with pools that were made up and pools that were recorded ...", flush=True)
    done = subprocess.run(
        [*command, *sys.argv[1:]],
        cwd=ROOT,
        env={**os.environ, "HYPOTHESIS_PROFILE": "fuzz"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    counts = counted(done.stdout)
    if done.returncode:
        print(done.stdout)
    width = max((len(name) for name in counts), default=8)
    print(f"{'property':<{width}}  {'passing':>8}  {'failing':>8}")
    for name, (passing, failing) in counts.items():
        print(f"{name:<{width}}  {passing:>8}  {failing:>8}")
    total = sum(passing for passing, _failing in counts.values())
    print(f"{'together':<{width}}  {total:>8}  {sum(failing for _passing, failing in counts.values()):>8}")
    if total < FEWEST:
        print(f"fewer than {FEWEST} cases")
        return 1
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
