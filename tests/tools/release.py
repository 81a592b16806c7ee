# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make release VERSION=X.Y.Z`: version, changelog from the fragments, tarball, and a look into it.

It works on a clean checkout, and neither commits nor uploads anything.
"""

from __future__ import annotations

import re
import subprocess
import sys

from environment import ROOT, SetUpError, check_python, link_collection, say, tool_environment, virtual_environment
from gates import LOGS, GateFailed, Run, build, changelog, copy_of_the_tree, galaxy_importer, tarball

VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?")


def current_version() -> str:
    """The version in galaxy.yml."""
    found = re.search(r"^version: (\S+)$", (ROOT / "galaxy.yml").read_text(), re.MULTILINE)
    if found is None:
        raise SetUpError("galaxy.yml has no line `version: …`.")
    return found[1]


def refuse(version: str) -> None:
    """Say everything that keeps this release from being made.

    Raises:
        SetUpError: There is something.
    """
    problems = []
    if not VERSION.fullmatch(version):
        problems.append(f"'{version}' is no semantic version such as 1.2.3: `make release VERSION=1.2.3`.")
    if subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, check=True, capture_output=True).stdout:
        problems.append("The checkout has changes that are not committed.")
    if problems:
        raise SetUpError(" ".join(problems))


def main(arguments: list[str]) -> int:
    version = arguments[0] if arguments else ""
    refuse(version)
    check_python()
    python = virtual_environment("test")
    link_collection()
    LOGS.mkdir(parents=True, exist_ok=True)
    settings = ROOT / "galaxy.yml"
    settings.write_text(settings.read_text().replace(f"version: {current_version()}\n", f"version: {version}\n"))
    run = Run("release", tool_environment(python))
    run("antsibull-changelog", "release", "--version", version)
    copy_of_the_tree(run)
    changelog(run)
    build(run)
    galaxy_importer(run)
    say(f"{tarball().relative_to(ROOT)}: checked. Left to do: look at `git diff`, commit, tag {version}, upload.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (SetUpError, GateFailed) as error:
        sys.exit(f"make release: {error}")
