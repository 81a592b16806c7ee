# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make witness`: the sandbox's answers, or a recording's, held against what was recorded of real Azure.

witness.py [--recording FILE] [--tables FOLDER] [--keep FILE]

Prints one table. The exit status is 1 when a row differs; without a recording also when a row is not exercised though
it doesn't say why, or when a sequence could not be carried to its end.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aks_sandbox.testing import Sandbox
from client import signed_in
from comparison import AGREES, DIFFERS, UNEXERCISED, Result, Unwitnessed, compare, unwitnessed
from exchanges import observations, read
from sequences import World, drive
from tables import FOLDER, TableError, Witness, read_rows, read_witnesses

Json = dict[str, Any]
CLOCK_SPEED = 10.0


def of_the_sandbox() -> tuple[list[Json], dict[str, str]]:
    """Start a sandbox, drive it through the sequences, stop it. Its exchanges, and the sequences that broke off."""
    with Sandbox.started("witness", kubernetes=False, settings={"clock_speed": CLOCK_SPEED}) as sandbox:
        variables = sandbox.variables
        client = signed_in(
            sandbox.url,
            variables["AZURE_TENANT"],
            variables["AKS_SANDBOX_OWNER_CLIENT_ID"],
            variables["AKS_SANDBOX_OWNER_SECRET"],
            str(sandbox.state.ca),
        )
        broken = drive(World(sandbox, client))
        return client.exchanges, broken


def exit_status(results: Sequence[Result], broken: Mapping[str, str], recording: bool) -> int:
    """0 when everything is as it was recorded."""
    unexplained = [each for each in results if each.verdict == UNEXERCISED and not reason(each)]
    stale = [each for each in results if each.verdict == AGREES and each.row.unexercised]
    differs = any(each.verdict == DIFFERS for each in results)
    return int(differs or (not recording and bool(unexplained or broken or stale)))


def table(results: Sequence[Result], unknown: Sequence[Unwitnessed], witnesses: Mapping[str, Witness]) -> list[str]:
    """The table's lines: what agrees, what was not exercised, what has no witness, and last what differs."""
    lines = [f"{'result':13} {'row':44} {'answers':>7}  recorded fact"]
    for verdict in (AGREES, UNEXERCISED):
        for each in results:
            if each.verdict == verdict:
                lines.append(_line(each))
    lines += [f"{'no witness':13} {each.kind:44} {'':7}  {each.what}, e.g. {each.example}" for each in unknown]
    for each in results:
        if each.verdict == DIFFERS:
            cited = "; ".join(f"{witnesses[key].what}, {witnesses[key].recorded}" for key in each.row.witness)
            lines += [_line(each), f"{'':15}answered: {each.reason}", f"{'':15}witness: {cited}"]
            lines += [f"{'':15}note: {each.row.note}"] if each.row.note else []
    return lines


def reason(each: Result) -> str:
    """Why the sandbox doesn't show a row; empty when nothing is said."""
    return each.row.unexercised or each.row.real_only


def _line(each: Result) -> str:
    why = f": {reason(each)}" if each.verdict == UNEXERCISED and reason(each) else ""
    cited = f" ({', '.join(each.row.witness)})"
    return f"{each.verdict:13} {each.row.id:44} {each.answers or '':>7}  {each.row.says}{cited}{why}"


def summary(results: Sequence[Result], unknown: Sequence[Unwitnessed]) -> str:
    """The counts, in one line."""
    count = {verdict: sum(each.verdict == verdict for each in results) for verdict in (AGREES, DIFFERS, UNEXERCISED)}
    unexplained = sum(each.verdict == UNEXERCISED and not reason(each) for each in results)
    return (
        f"{count[AGREES]} facts agree, {count[DIFFERS]} differ, {count[UNEXERCISED]} rows not exercised "
        f"({unexplained} of them without a reason), {len(unknown)} fields without witness"
    )


def main(arguments: Sequence[str]) -> int:
    """Compare, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make witness", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--recording", type=Path, help="exchanges, one JSON object a line, instead of the sandbox's")
    parser.add_argument("--tables", type=Path, default=FOLDER, help="the folder of witnesses.yml and tables/")
    parser.add_argument("--keep", type=Path, help="write the sandbox's exchanges there")
    options = parser.parse_args(arguments)
    try:
        rows, witnesses = read_rows(options.tables), read_witnesses(options.tables)
        exchanges, broken = (read(options.recording), {}) if options.recording else of_the_sandbox()
    except (TableError, OSError, ValueError) as error:
        print(f"make witness: {error}", file=sys.stderr)
        return 2
    if options.keep:
        options.keep.write_text("".join(f"{json.dumps(each)}\n" for each in exchanges))
    seen = observations(exchanges)
    results = compare(rows, seen, real=bool(options.recording))
    unknown = unwitnessed(rows, seen)
    print("\n".join(table(results, unknown, witnesses)))
    for name, reason in broken.items():
        print(f"broken off    {name}: {reason}")
    if not options.recording:
        for each in results:
            if each.verdict == AGREES and each.row.unexercised:
                print(f"stale         {each.row.id} says that nothing exercises it: {each.row.unexercised}")
    print(f"\nNot exercised: {', '.join(each.row.id for each in results if each.verdict == UNEXERCISED) or 'none'}")
    print(f"{len(exchanges)} exchanges. {summary(results, unknown)}.")
    return exit_status(results, broken, bool(options.recording))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
