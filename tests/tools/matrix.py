# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make matrix`: every version that the collection claims to support, one table.

matrix.py [--without CHECK] [ROW ...]      all rows, or the named ones; `list` names them

Each row is the built tarball, installed as a user installs it, with one version of something exchanged: ansible-core
(with the oldest Python found that it runs on for the older half, the newest for the others), the libraries of
requirements.txt (with the oldest Python, for which they were built), the official Kubernetes client (its oldest release
is among the oldest libraries, its newest in every other row), or the Kubernetes of the sandbox. The main job
counts when it ends without a failure and without a warning, and a second run changes nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from demo import PLAYBOOK
from environment import (
    ROOT,
    Pip,
    SetUpError,
    check_python,
    kept_environment,
    link_collection,
    say,
    tool_environment,
    virtual_environment,
)
from gates import BUILD, LOGS, SHOWN_LINES, GateFailed, Run, build, copy_of_the_tree, sanity, tarball, working_pythons

CORES = {
    "2.16": ("3.10", "3.11", "3.12"),
    "2.17": ("3.10", "3.11", "3.12"),
    "2.18": ("3.11", "3.12", "3.13"),
    "2.19": ("3.11", "3.12", "3.13"),
    "2.20": ("3.12", "3.13", "3.14"),
    "2.21": ("3.12", "3.13", "3.14"),
    "2.22": ("3.13", "3.14", "3.15"),
}
"""Pythons that each ansible-core runs on as the controller (Ansible's support matrix, and what its package says)."""

YET_TO_COME = ("2.22",)
"""Releases of ansible-core of which the registry may have no more than a candidate."""

OLDER = ("2.16", "2.17", "2.18")
CLIENTS = ("36.0.3",)
"""Releases of the package kubernetes: the last one before its new generator."""

KUBERNETES = ("1.34.4", "1.36.3", "1.37.2")
COLUMNS = ("sanity", "unit", "runner", "fleet", "surveys", "main job")
UNIT_TESTS_NEED = ("pytest", "pytest-asyncio", "hypothesis", "jsonschema", "junitparser", "PySocks")
"""Besides the sandbox's own requirements: some tests compare with what the sandbox takes."""


@dataclass
class Row:
    """One version of something, and how each of its checks ended."""

    name: str
    checks: tuple[str, ...]
    core: str = "2.19"
    libraries: str = "newest"  # oldest | newest that requirements.txt allows
    client: str = ""  # another release of the package kubernetes
    kubernetes: str = ""
    versions: str = ""
    results: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


ROWS = (
    *(Row(f"core-{core}", COLUMNS, core=core) for core in CORES),
    Row("libraries-oldest", ("unit", "main job"), libraries="oldest"),
    *(Row(f"client-{release}", ("unit", "main job"), client=release) for release in CLIENTS),
    *(Row(f"kubernetes-{version}", ("main job",), kubernetes=version) for version in KUBERNETES),
)


def interpreter_for(row: Row) -> str | None:
    """A Python that the row's ansible-core runs on: the oldest here for what is older, the newest for the others."""
    with working_pythons() as (path, versions):
        found = [version for version in CORES[row.core] if version in versions]
        if not found:
            return None
        older = row.core in OLDER or row.libraries == "oldest"
        return os.path.realpath(Path(path[0]) / f"python{found[0] if older else found[-1]}")


def requirements(file: str) -> list[str]:
    """The lines of a file of requirements."""
    lines = (ROOT / file).read_text().splitlines()
    return [line.replace(" ", "") for line in lines if line and not line.startswith("#")]


def environment_of(row: Row, interpreter: str) -> Path:
    """The virtual environment of a row: ansible-core, our libraries, and what runs the unit tests."""
    ours = requirements("requirements.txt")
    if row.libraries == "oldest":
        ours = [line.replace(">=", "==") for line in ours]
    if row.client:
        ours = [f"kubernetes=={row.client}" if line.startswith("kubernetes") else line for line in ours]
    candidate = "rc1" if row.core in YET_TO_COME else ""
    wanted = [
        f"ansible-core~={row.core}.0{candidate}",
        *ours,
        *UNIT_TESTS_NEED,
        *requirements("tests/sandbox/requirements.txt"),
    ]

    def install(pip: Pip) -> None:
        pip("install", *wanted)

    return kept_environment(
        f"matrix-{row.core}-{row.client or row.libraries}", wanted, ", ".join(wanted), install, interpreter
    )


class Checks:
    """The checks of one row; each raises GateFailed."""

    def __init__(self, row: Row, python: Path, sandbox_python: Path) -> None:
        self.row = row
        self.python = python
        self.sandbox_python = sandbox_python
        self.folder = BUILD / "matrix" / row.name
        self.environment = {
            **tool_environment(python),
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            **({"AKS_SANDBOX_KUBERNETES_VERSION": row.kubernetes} if row.kubernetes else {}),
        }

    def run(self, name: str) -> Run:
        return Run(f"matrix-{self.row.name}-{name.replace(' ', '-')}", self.environment)

    def install(self, run: Run) -> None:
        run("ansible-galaxy", "collection", "install", "--offline", "--force", "--collections-path",
            self.folder / "collections", tarball())  # fmt: skip

    def sanity(self, run: Run) -> None:
        sanity(run)

    def unit(self, run: Run) -> None:
        links = self.folder / "checkout"
        link = links / "ansible_collections" / "aks" / "gpu"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(ROOT, target_is_directory=True)
        run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/plugins", PYTHONPATH=str(links))

    def runner(self, run: Run) -> None:
        """The runner's own tests."""
        self._integration(run, "test_in_process.py")

    def fleet(self, run: Run) -> None:
        """What a fleet's workers share, Ansible's keywords and strategies, site.yml on six clusters."""
        self._integration(run, "test_snapshot.py", "test_fleet_plays.py", "test_fleet_site.py")

    def surveys(self, run: Run) -> None:
        """AWX's extra variables: each survey answered with nothing at all, in whole runs."""
        self._integration(run, "test_awx_unanswered.py")

    def _integration(self, run: Run, *files: str) -> None:
        """Integration tests: pytest in the test environment drives this row's ansible-playbook."""
        environment = {**tool_environment(self.sandbox_python), "AKS_GPU_TEST_ANSIBLE": str(self.python.parent)}
        folders = [ROOT / "tests" / folder for folder in ("sandbox", "tools", "integration", "peers")]
        environment["PYTHONPATH"] = os.pathsep.join(map(str, folders))
        Run(run.log.stem, environment)(self.sandbox_python, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                                       *(f"tests/integration/{file}" for file in files))  # fmt: skip

    def main_job(self, run: Run) -> None:
        self.install(run)
        job = shlex.join(["env", "-u", "PYTHONPATH", *PLAYBOOK])
        printed = run(self.sandbox_python, "-m", "aks_sandbox", "run", "--name", f"matrix-{os.getpid()}",
                      "--clusters", "1", "--", "sh", "-c", f"{job} && {job}")  # fmt: skip
        recaps = re.findall(r"changed=(\d+) +unreachable=0 +failed=0", printed)
        if len(recaps) != 2 or recaps[0] == "0" or recaps[1] != "0":
            raise GateFailed(f"changed tasks in the two runs: {', '.join(recaps)}")
        if warned := re.findall(r"^\[(?:WARNING|DEPRECATION WARNING).*", printed, re.MULTILINE):
            raise GateFailed(f"{len(warned)} warnings: {warned[0]}")

    def checks(self) -> dict[str, Callable[[Run], None]]:
        return {
            "sanity": self.sanity,
            "unit": self.unit,
            "runner": self.runner,
            "fleet": self.fleet,
            "surveys": self.surveys,
            "main job": self.main_job,
        }


def fill(row: Row, sandbox_python: Path) -> None:
    """Run all checks of a row."""
    interpreter = interpreter_for(row)
    if interpreter is None:
        row.versions = f"no Python {', '.join(CORES[row.core])} here"
        row.results = dict.fromkeys(row.checks, "skipped")
        return
    python = environment_of(row, interpreter)
    row.versions = versions(python)
    checks = Checks(row, python, sandbox_python)
    for name in row.checks:
        run = checks.run(name)
        run.log.write_text("")
        try:
            checks.checks()[name](run)
            row.results[name] = f"passed {run.seconds():.0f} s"
            notes = [*run.notes, *skips(run.log.read_text(errors="replace"))]
            row.notes += [f"{name}: {note}" for note in dict.fromkeys(notes)]
        except GateFailed as error:
            row.results[name] = "FAILED"
            lines = run.log.read_text(errors="replace").splitlines()
            say(f"---- {run.log.relative_to(ROOT)}: {error}; its last lines:")
            say("\n".join(lines[-SHOWN_LINES // 4 :]))
        say(f"{row.name}: {name}: {row.results[name]}")


def skips(printed: str) -> list[str]:
    """What pytest skipped, and why."""
    return re.findall(r"^SKIPPED .*", printed, re.MULTILINE)


SHOWN = ("ansible-core", "azure-core", "azure-identity", "azure-mgmt-containerservice", "kubernetes")


def versions(python: Path) -> str:
    """What is installed, for the table."""
    script = (
        "import platform, importlib.metadata as m; print(platform.python_version(), *(f'{n} {m.version(n)}' for n in "
    )
    listed = subprocess.run([python, "-c", f"{script}{SHOWN}), sep=', ')"], capture_output=True, text=True, check=True)
    return "Python " + listed.stdout.strip()


def main(arguments: list[str]) -> int:
    known = {row.name: row for row in ROWS}
    parser = argparse.ArgumentParser(prog="make matrix", description="Versions that the collection claims to support.")
    parser.add_argument("rows", nargs="*", metavar="ROW", choices=[*known, "list", []], help=", ".join(known))
    parser.add_argument("--without", action="append", default=[], choices=COLUMNS, help="leave a check out")
    asked = parser.parse_args(arguments)
    if asked.rows == ["list"]:
        for row in ROWS:
            say(f"{row.name:20} {', '.join(row.checks)}")
        return 0
    rows = [known[name] for name in asked.rows or known]
    for row in rows:
        row.checks = tuple(check for check in row.checks if check not in asked.without)
    check_python()
    sandbox_python = virtual_environment("test")
    link_collection()
    LOGS.mkdir(parents=True, exist_ok=True)
    prepare = Run("matrix", tool_environment(sandbox_python))
    copy_of_the_tree(prepare)
    build(prepare)
    for row in rows:
        fill(row, sandbox_python)
    say(f"\n{'row':20} " + " ".join(f"{column:14}" for column in COLUMNS) + " with")
    for row in rows:
        cells = " ".join(f"{row.results.get(column, '-'):14}" for column in COLUMNS)
        say(f"{row.name:20} {cells} {row.versions}")
        for note in row.notes:
            say(f"{'':22}- {note}")
    failed = sum(result == "FAILED" for row in rows for result in row.results.values())
    passed = sum(result.startswith("passed") for row in rows for result in row.results.values())
    skipped = sum(result == "skipped" for row in rows for result in row.results.values())
    say(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetUpError as error:
        sys.exit(f"make matrix: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
