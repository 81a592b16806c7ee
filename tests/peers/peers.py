# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make peers`: the same cases through azure.azcollection's module and through ours, and a table of what came of it.

Ours has to get every case right, else the exit status is 1. Theirs is observed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from cases import CASES, Case, shortcomings
from emulated import Emulated, emulated
from environment import SetUpError, link_collection, say
from peer_environments import peer_collections, peer_python
from run_cases import Contestant, observe

from playbooks import Ansible, without_foreign_settings


def contestants(azure: Emulated, ours: Path, peer: Path | None) -> list[Contestant]:
    """The peer's collection where it is installed, and ours; each with the environment that its users set."""
    environment = {**without_foreign_settings(), **azure.environment}
    found = []
    if peer is not None:
        theirs = {**environment, **peer_settings(azure)}
        found.append(Contestant("azure.azcollection", Ansible(peer, peer_collections(peer), theirs), ours=False))
    found.append(Contestant("aks.gpu", Ansible(ours, link_collection(), environment, by_server=True), ours=True))
    return found


def peer_settings(azure: Emulated) -> dict[str, str]:
    """What makes azure.azcollection use another cloud than Microsoft's own.

    Its `cloud_environment` takes only URLs of clouds that its az CLI knows, and that one is told by other variables.
    """
    return {
        "AZURE_DISABLE_INSTANCE_DISCOVERY": "true",
        "ARM_CLOUD_METADATA_URL": f"{azure.url}/metadata/endpoints?api-version=2019-05-01",
        "AZURE_CONFIG_DIR": str(azure.state.path / "azure"),
        "SSL_CERT_FILE": str(azure.state.ca),
    }


def run(cases: list[Case], only_ours: bool) -> int:
    """Run the cases, print the table, and return the exit status."""
    peer = None if only_ours else peer_python()
    began = time.monotonic()
    right = {}
    verdicts: dict[str, list[str]] = {case.name: [] for case in cases}
    with emulated("--clusters", str(len(cases))) as azure:
        both = contestants(azure, Path(sys.executable), peer)
        for contestant in both:
            say(f"  {contestant.name} {contestant.version()}: {len(cases)} cases")
            batches = [[case for case in cases if not case.alone], *([case] for case in cases if case.alone)]
            right[contestant.name] = 0
            for batch in filter(None, batches):
                for case, seen in zip(batch, observe(batch, contestant, azure), strict=True):
                    wrong = shortcomings(case, seen)
                    verdicts[case.name].append("; ".join(wrong) or "right")
                    right[contestant.name] += not wrong
    table = [(case.line, *verdicts[case.name]) for case in cases]
    names = [contestant.name for contestant in both]
    say("")
    print_table(("case", *names), table)
    counts = ", ".join(f"{name}: {right[name]} of {len(cases)} right" for name in names)
    say(f"\n{counts} ({time.monotonic() - began:.0f} s)")
    return 0 if right["aks.gpu"] == len(cases) else 1


def print_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table as Markdown, columns aligned."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [head, tuple("-" * width for width in widths), *rows]
    for line in lines:
        say("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")


def main() -> int:
    parser = argparse.ArgumentParser(prog="peers.py", description=__doc__)
    parser.add_argument("cases", nargs="*", help="only these; default: all")
    parser.add_argument("--ours", action="store_true", help="only our modules: nothing of the peer's is installed")
    options = parser.parse_args()
    known = {case.name: case for case in CASES}
    if unknown := set(options.cases) - set(known):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return run([known[name] for name in options.cases] or list(CASES), options.ours)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetUpError as error:
        sys.exit(f"make peers: {error}")
