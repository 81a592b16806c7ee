# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what a requirements file brought into this Python's environment, with everything it depends on, as JSON.

installed.py REQUIREMENTS        `packages`: how many; `bytes`: of their files, compiled ones included
"""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement  # in every environment


def needed(requirements: Path) -> dict[str, metadata.Distribution]:
    """The installed distributions that the file asks for, and theirs in turn, by name."""
    lines = (line.split("#")[0].strip() for line in requirements.read_text().splitlines())
    pending = [Requirement(line) for line in lines if line]
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    while pending:
        requirement = pending.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        distribution = metadata.distribution(requirement.name)
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        found[name] = distribution
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in distribution.requires or []:
                inner = Requirement(text)
                if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                    inner.marker = None
                    pending.append(inner)
    return found


def size(distribution: metadata.Distribution) -> int:
    """Bytes of a distribution's files as they lie on disk."""
    paths = (Path(str(distribution.locate_file(file))) for file in distribution.files or [])
    return sum(path.stat().st_size for path in paths if path.is_file())


if __name__ == "__main__":
    distributions = needed(Path(sys.argv[1]))
    print(json.dumps({"packages": len(distributions), "bytes": sum(map(size, distributions.values()))}))
