# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make against`: which tests of now fail on an older product, and whether for the reason that they assert.

against.py [--commit COMMIT] [--kind unit|integration] [--old-only] [--why] [ROW ...]

Rows are those of tests/findings.yml; without one, all of them.

The tests run twice: in this checkout, and in a temporary copy whose plugins/, roles/ and playbooks/ are those of the
commit, and examples/ too where a row says so. A test that uses today's names would say nothing of an older product. So
the copy has the tests of NAMES_OF_THEN, the last commit with the names of those products, for every row that its table
has; row by row, and in a row by position, they are the tests of now. The table says how each test ended there:

assertion     an assertion of the test failed, or nothing raised what the test expects
missing name  the test uses a function, an option or a role that the older product lacks: this shows nothing
an error      the older product raised something else, or the test took too long

A row is shown when a test of it passes now and fails by an assertion there, or by an error that is the finding itself
(`error` of the row). `--why` adds what each error says; the whole output of pytest is in build/against.
Exit status 1: a row is not shown, and its `not_shown` does not say why; or a test does not pass now.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from environment import ROOT, SetUpError, link_collection, say, tool_environment

TABLE = ROOT / "tests" / "findings.yml"
COMMIT = "ce362f8"
"""The last one before the findings were mended."""

NAMES_OF_THEN = "a867571"
"""The last commit whose tests use the names of the older products."""

LOGS = ROOT / "build" / "against"
"""What pytest printed."""

PRODUCT = ("plugins", "roles", "playbooks")
SECONDS = {"unit": 60, "integration": 300}
"""What a test may take."""


Ended = list[dict[str, str]]
"""How a test ended, one for each parameter: its id, its ending, and what the error says."""


@dataclass(frozen=True, order=True)
class Product:
    """An older product: that of a commit, and its examples where `examples` is set.

    Attributes:
        tests: The commit that its tests are taken from; empty for this checkout.
    """

    commit: str
    examples: bool = False
    tests: str = ""

    def __str__(self) -> str:
        return f"{self.commit}-examples" if self.examples else self.commit

    @property
    def folders(self) -> tuple[str, ...]:
        """What it replaces in a copy of this checkout."""
        return (*PRODUCT, "examples") if self.examples else PRODUCT


Results = dict[tuple[Product, str], dict[str, Ended]]
"""By older product and test: how it ended `now`, and with the `old` product."""


@dataclass
class Finding:
    """A row of the table."""

    name: str
    tests: list[str]
    commit: str = COMMIT
    examples: bool = False  # whether those of the commit belong to the older product
    error: str = ""  # the type of an error that is the finding itself
    not_shown: str = ""
    kept: list[str] = field(default_factory=list)  # tests that only show what the row has now
    then: dict[str, str] = field(default_factory=dict)  # what NAMES_OF_THEN calls its tests, where it has the row

    @property
    def product(self) -> Product:
        """The older product that the row is about."""
        return Product(self.commit, self.examples, NAMES_OF_THEN if self.then else "")

    def of(self, kind: str) -> list[str]:
        return [test for test in (*self.tests, *self.kept) if test.startswith(f"tests/{kind}/")]


def findings(names: Iterable[str]) -> list[Finding]:
    """The named rows of the table, or all of them.

    Raises:
        SetUpError: There is no row of such a name.
    """
    rows = {name: Finding(name, **row) for name, row in yaml.safe_load(TABLE.read_text()).items()}
    unknown = sorted(set(names) - rows.keys())
    if unknown:
        raise SetUpError(f"{TABLE.relative_to(ROOT)} has no row {', '.join(unknown)}.")
    asked = [row for name, row in rows.items() if not names or name in names]
    then = yaml.safe_load(git("show", f"{NAMES_OF_THEN}:{TABLE.relative_to(ROOT)}"))
    for row in asked:
        if row.name in then:
            row.then = paired(row, Finding(row.name, **then[row.name]))
    return asked


def paired(now: Finding, then: Finding) -> dict[str, str]:
    """What the tests of a row were called then, by what they are called now.

    Raises:
        SetUpError: The row has other tests now.
    """
    if (len(now.tests), len(now.kept)) != (len(then.tests), len(then.kept)):
        raise SetUpError(f"{now.name} has not as many tests as in {NAMES_OF_THEN}, so they can't be paired.")
    return dict(zip((*now.tests, *now.kept), (*then.tests, *then.kept), strict=True))


def git(*words: str) -> bytes:
    """What git prints about this checkout."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        raise SetUpError(f"git {' '.join(words)}: {done.stderr.decode().strip()}")
    return done.stdout


def lay_out(folder: Path, product: Product) -> None:
    """Copy this checkout, or that of the tests, with an older product."""
    if product.tests:
        unpack(folder, product.tests)
        for name in product.folders:
            shutil.rmtree(folder / name)
    else:
        copy_checkout(folder, product)
    unpack(folder, product.commit, *product.folders)
    # Its own copy of environment.py links the collection.
    subprocess.run(
        [sys.executable, "-c", "import environment; environment.link_collection()"],
        cwd=folder / "tests" / "tools", env={**os.environ, "PYTHONPATH": str(folder / "tests" / "tools")}, check=True,
    )  # fmt: skip


def unpack(folder: Path, commit: str, *names: str) -> None:
    """Write what a commit has, or the named parts of it, into a folder."""
    with tarfile.open(fileobj=io.BytesIO(git("archive", "--format=tar", commit, "--", *names))) as archive:
        archive.extractall(folder, filter="data")


def copy_checkout(folder: Path, product: Product) -> None:
    """Copy this checkout without what belongs to the product."""
    for name in git("ls-files", "-z", "--cached", "--others", "--exclude-standard").decode().split("\0"):
        source = ROOT / name
        if name and name.split("/")[0] not in product.folders and (source.is_file() or source.is_symlink()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(source.read_bytes())
            (folder / name).chmod(source.stat().st_mode)


def endings(root: Path, kind: str, tests: list[str], report: Path, log: Path) -> dict[str, Ended]:
    """Run tests of a checkout, and return how each ended, by what was asked for; a test has an ending a parameter."""
    environment = tool_environment(Path(sys.executable))
    folders = [root / "tests" / folder for folder in ("sandbox", "tools", "peers", "integration")]
    environment.update(
        PYTHONPATH=os.pathsep.join(map(str, folders)),
        AGAINST_REPORT=str(report),
        AGAINST_SECONDS=str(SECONDS[kind]),
        AGAINST_TESTS=" ".join(tests),
    )
    for name in ("ANSIBLE_CONFIG", "ANSIBLE_HOME", "ANSIBLE_REMOTE_TEMP", "ANSIBLE_COLLECTIONS_PATH", "KUBECACHEDIR",
                 "ANSIBLE_SSH_CONTROL_PATH_DIR"):  # fmt: skip
        environment[name] = environment[name].replace(str(ROOT), str(root), 1)
    Path(environment["ANSIBLE_CONFIG"]).parent.mkdir(exist_ok=True)
    Path(environment["ANSIBLE_CONFIG"]).touch()
    words = ["-m", "pytest", "-p", "against_plugin", "-p", "no:cacheprovider", "-q", "--continue-on-collection-errors"]
    # By their files: where one of them can't be collected, pytest runs nothing that is named by its id.
    files = sorted({test.split("::", maxsplit=1)[0] for test in tests})
    report.touch()
    with log.open("a") as output:
        done = subprocess.run([sys.executable, *words, *files], cwd=root, env=environment, stdin=subprocess.DEVNULL,
                              stdout=output, stderr=subprocess.STDOUT, check=False)  # fmt: skip
    if done.returncode not in (0, 1):
        say(f"  pytest ended with {done.returncode}: {log.relative_to(ROOT)}")
    ended = lines_of(report)
    return {test: [each for each in ended if is_of(each["id"], test)] for test in tests}


def lines_of(report: Path) -> Ended:
    """What the plugin has recorded."""
    return [json.loads(line) for line in report.read_text().splitlines()]


def is_of(found: str, test: str) -> bool:
    """Whether a pytest id is the test's: itself, one of its parameters, or its file, which could not be collected."""
    return found == test or found.startswith(f"{test}[") or found == test.split("::", maxsplit=1)[0]


def counted(ended: Ended) -> dict[str, int]:
    """How often each ending is there. A test that fails has the ending of the first phase that fails."""
    first: dict[str, str] = {}
    for each in ended:
        if first.get(each["id"], "passed") == "passed":
            first[each["id"]] = each["ending"]
    return dict(collections.Counter(first.values()))


def told(ended: Ended) -> str:
    """Such as `3 assertion, 1 missing name`."""
    return ", ".join(f"{count} {how}" for how, count in counted(ended).items()) or "did not run"


def run(kind: str, rows: list[Finding], product: Product, old_only: bool, folder: Path) -> Results:
    """Run the tests of a kind, now and with the older product; the answer has `now` and `old` of each test."""
    tests = sorted({test for row in rows for test in row.of(kind)})
    if not tests:
        return {}
    then = {test: old for row in rows for test, old in row.then.items()}
    places = {"old": folder / "tree"} if old_only else {"now": ROOT, "old": folder / "tree"}
    found: Results = {(product, test): {} for test in tests}
    for name, root in places.items():
        say(f"  {kind} tests, {'this checkout' if name == 'now' else f'the product of {product}'}: {len(tests)}")
        log = LOGS / f"{kind}-{'now' if name == 'now' else product}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        called = {test: test if name == "now" else then.get(test, test) for test in tests}
        by_name = endings(root, kind, sorted(set(called.values())), folder / f"{kind}-{name}.jsonl", log)
        for test in tests:
            found[product, test][name] = by_name[called[test]]
    return found


def is_shown(row: Finding, results: Results) -> bool:
    """Whether a test of the row passes now, and fails for its reason with the older product."""
    fits = {"assertion", row.error} - {""}
    tests = [results[row.product, test] for test in row.tests if (row.product, test) in results]
    return any(fits & counted(each["old"]).keys() for each in tests if set(counted(each.get("now", []))) <= {"passed"})


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the tests of tests/findings.yml against an older product.")
    parser.add_argument("--commit", help=f"another one than {COMMIT} or that of a row")
    parser.add_argument("--kind", choices=["unit", "integration"], help="of the tests; both by default")
    parser.add_argument("--old-only", action="store_true", help="do not run them in this checkout as well")
    parser.add_argument("--why", action="store_true", help="show what the errors of the older product say")
    parser.add_argument("rows", nargs="*", metavar="ROW")
    asked = parser.parse_args()
    kinds = [asked.kind] if asked.kind else ["unit", "integration"]
    named = findings(asked.rows)
    rows = [row for row in named if any(test.startswith(f"tests/{kind}/") for test in row.tests for kind in kinds)]
    if len(rows) < len(named):
        say(f"  without a test of this kind: {', '.join(row.name for row in named if row not in rows)}")
    link_collection()
    results: Results = {}
    for row in rows:
        row.commit = asked.commit or row.commit
    with tempfile.TemporaryDirectory(prefix="against-") as name:
        for product in sorted({row.product for row in rows}):
            folder = Path(name) / str(product)
            folder.mkdir()
            lay_out(folder / "tree", product)
            for kind in kinds:
                of_product = [row for row in rows if row.product == product]
                results.update(run(kind, of_product, product, asked.old_only, folder))
    return table(rows, results, asked.old_only, asked.why)


def table(rows: list[Finding], results: Results, old_only: bool, why: bool) -> int:
    """Print the table; the answer is the exit status."""
    say("row  test | now | product of the commit")
    shown: list[str] = []
    explained: list[str] = []
    unshown: list[str] = []
    for row in rows:
        tests = [test for test in (*row.tests, *row.kept) if (row.product, test) in results]
        for test in tests:
            ended = results[row.product, test]
            now = "-" if old_only else told(ended["now"])
            say(f"{row.name:4} {test.removeprefix('tests/')} | {now} | {row.product}: {told(ended['old'])}")
            for each in ended["old"] if why else []:
                if each["ending"] != "passed":
                    say(f"        {each['ending']}: {' '.join(each['detail'].split())[:300]}")
        (shown if is_shown(row, results) else explained if row.not_shown else unshown).append(row.name)
        if row.not_shown:
            say(f"{row.name:4} not shown: {row.not_shown}")
    failing = 0
    for (_product, test), ended in results.items():
        for each in ended.get("now", []):
            if each["ending"] != "passed":
                failing += 1
                say(f"does not pass now: {each['id'] or test}: {each['ending']}: {each['detail'][:500]}")
    say(f"{len(rows)} rows: {len(shown)} shown, {len(explained)} with a reason why not, {len(unshown)} not shown")
    if unshown:
        say(f"not shown: {', '.join(unshown)}")
    return 1 if unshown or failing else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetUpError as error:
        sys.exit(f"make against: {error}")
