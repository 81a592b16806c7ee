# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make test`: every gate, two at a time, one line each, and the whole output of those that fail.

gates.py [GATE ...]      all of them, or the named ones and what they need; `list` names them
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import browser
from environment import (
    ROOT,
    SetUpError,
    cache_directory,
    check_python,
    link_collection,
    say,
    tool_environment,
    virtual_environment,
)

BUILD = ROOT / "build"
LOGS = BUILD / "gates"
COPY = BUILD / "collections" / "ansible_collections" / "aks" / "gpu"
WORKERS = 2
HEARTBEAT_SECONDS = 60
SHOWN_LINES = 200
MODULE_PYTHONS = ("3.10", "3.11", "3.12", "3.13")  # of tests/config.yml, as far as the pinned ansible-test knows them


class GateFailed(Exception):
    """A gate that could run and did not pass."""


class Run:
    """What a gate is given: it runs commands, and all they print goes to the gate's log."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        self.environment = environment
        self.log = LOGS / f"{name}.log"
        self.log.touch()
        self.notes: list[str] = []
        self.began = time.monotonic()
        self._child: subprocess.Popen[bytes] | None = None

    def __call__(self, *command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
        """Run a command and return what it printed.

        Raises:
            GateFailed: Its exit status is not 0.
        """
        words = [str(word) for word in command]
        with self.log.open("ab") as log:
            log.write(f"$ {' '.join(words)}\n".encode())
            log.flush()
            start = log.tell()
            self._child = subprocess.Popen(
                words,
                cwd=cwd,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            status = self._child.wait()
        if status != 0:
            raise GateFailed(f"{Path(words[0]).name} ended with status {status}")
        return self.log.read_bytes()[start:].decode(errors="replace")

    def pytest(self, *arguments: str) -> None:
        """Run pytest; its counts are added to the summary."""
        self("python", "-m", "pytest", f"--junit-xml={self.log.with_suffix('.xml')}", *arguments)

    def note(self, text: str) -> None:
        """Say something in the summary: what was not checked, and why."""
        self.notes.append(text)

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def interrupt(self) -> None:
        """Ask what runs now to clean up and end, as Ctrl-C does."""
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGINT)


@dataclass(frozen=True)
class Gate:
    """One check: what it is called, what it does, and what must have passed before it."""

    name: str
    what: str
    check: Callable[[Run], None]
    after: tuple[str, ...] = ()
    alone: bool = False  # never two of these at once: they start control planes


@dataclass
class Outcome:
    """How a gate ended."""

    status: str  # passed | failed | not run
    seconds: float = 0.0
    reason: str = ""
    notes: tuple[str, ...] = ()


# What is checked --------------------------------------------------------------------------------------------------


def tracked_files() -> list[Path]:
    """Every file that git knows, or would add: what a fresh clone of this state would hold."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    return [Path(name) for name in sorted(set(listed.split("\0"))) if name and (ROOT / name).is_file()]


def copy_of_the_tree(run: Run) -> None:
    """Copy what is tracked to a path as ansible-test wants it, …/ansible_collections/aks/gpu."""
    shutil.rmtree(COPY, ignore_errors=True)
    for name in tracked_files():
        (COPY / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, COPY / name)
    run("git", "init", "--quiet", cwd=COPY)
    run("git", "add", "--all", cwd=COPY)


def ruff(run: Run) -> None:
    run("ruff", "check", "--output-format", "concise", ".")
    run("ruff", "format", "--check", "--output-format", "concise", ".")


def mypy(run: Run) -> None:
    """Strictly, but that tests need no annotations."""
    run("mypy", "-p", "ansible_collections.aks.gpu.plugins")
    witness_modules = sorted(str(path) for path in (ROOT / "tests" / "witness").glob("*.py"))
    run("mypy", "tests/sandbox/aks_sandbox", "tests/tools", *witness_modules)
    lenient = ["--allow-untyped-defs", "--allow-incomplete-defs", "--allow-any-generics", "--no-check-untyped-defs"]
    lenient += ["--no-warn-return-any", "--no-warn-unreachable", "--no-warn-unused-ignores"]
    lenient += ["--disable-error-code=call-overload"]  # the SDK takes JSON for its models too
    run("mypy", *lenient, "--cache-dir", ".mypy_cache/tests", "tests/unit", "tests/sandbox/tests", "tests/integration",
        "tests/witness/tests")  # fmt: skip


def imports(run: Run) -> None:
    """The floors of pyproject.toml. import-linter wants packages all the way down, so it reads a copy that has them."""
    folder = BUILD / "imports"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(COPY / "plugins", folder.joinpath(*COPY.parts[-3:], "plugins"))
    for path in (folder / "ansible_collections", *(each for each in folder.rglob("*") if each.is_dir())):
        (path / "__init__.py").touch()
    printed = run("lint-imports", "--no-logo", "--no-cache", ROOT / "pyproject.toml", PYTHONPATH=str(folder))
    run.note(printed.strip().splitlines()[-1])


def build(run: Run) -> None:
    """Build the tarball, and look into it: all that a user needs, and nothing else."""
    for old in BUILD.glob("aks-gpu-*.tar.gz"):
        old.unlink()
    run("ansible-galaxy", "collection", "build", "--output-path", BUILD, COPY)
    folders = ("docs", "meta", "playbooks", "plugins", "roles")
    needed = {str(path.relative_to(COPY)) for name in folders for path in (COPY / name).rglob("*") if path.is_file()}
    with tarfile.open(tarball()) as archive:
        names = {member.name for member in archive if member.isfile()}
    run.log.open("a").write("".join(f"{name}\n" for name in sorted(names)))
    single = {"README.md", "COPYING", "CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md",
              "requirements.txt", "execution-environment.yml", "MANIFEST.json", "FILES.json"}  # fmt: skip
    if missing := (needed | single) - names:
        raise GateFailed(f"the tarball lacks {', '.join(sorted(missing))}")
    wanted = re.compile(rf"({'|'.join(folders)}|examples|changelogs/changelog\.yaml$|changelogs/config\.yaml$)")
    unwanted = re.compile(r"(^|/)\.|__pycache__|\.pyc$|\.tar\.gz$|^examples/awx/")
    if foreign := sorted(n for n in names - single if not wanted.match(n) or unwanted.search(n)):
        raise GateFailed(f"the tarball holds what no user needs: {', '.join(foreign)}")
    run.note(str(tarball().relative_to(ROOT)))


def tarball() -> Path:
    return next(BUILD.glob("aks-gpu-*.tar.gz"))


def ansible_lint(run: Run) -> None:
    """The production profile over the copy, with every warning an error."""
    run("ansible-lint", "--offline", "--strict", "--profile", "production", "--nocolor", cwd=COPY,
        ANSIBLE_COLLECTIONS_PATH=str(COPY.parents[2]))  # fmt: skip


def docs(run: Run) -> None:
    """Every page of documentation is complete, valid, and refers only to what exists. Its own log goes to its home."""
    run("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self",
        "--disallow-unknown-collection-refs", "--skip-rstcheck", COPY,
        HOME=str(LOGS), ANSIBLE_COLLECTIONS_PATH=str(COPY.parents[2]))  # fmt: skip


def site(run: Run) -> None:
    run.note(run(sys.executable, Path(__file__).with_name("docs.py")).splitlines()[-1])


def changelog(run: Run) -> None:
    run("antsibull-changelog", "lint", cwd=COPY)
    run("antsibull-changelog", "lint-changelog-yaml", "changelogs/changelog.yaml", cwd=COPY)
    made = LOGS / "CHANGELOG.md"
    run("antsibull-changelog", "generate", "--output", made, cwd=COPY)
    if made.read_text() != (COPY / "CHANGELOG.md").read_text():
        raise GateFailed("CHANGELOG.md is not what `antsibull-changelog generate` writes of changelogs/")


def sanity(run: Run) -> None:
    """ansible-test sanity without ignore files, each test in a virtual environment that ansible-test makes itself."""
    if ignored := [
        str(name) for name in tracked_files() if name.match("tests/sanity/ignore-*") and name.stat().st_size
    ]:
        raise GateFailed(f"sanity complaints are mended, not ignored: {', '.join(ignored)}")
    home = ansible_test_home(run)
    with working_pythons() as (path, versions):
        search = [str(Path(run.environment["VIRTUAL_ENV"]) / "bin"), *path]
        printed = run("ansible-test", "sanity", "--color", "no", cwd=COPY, HOME=str(home), PATH=os.pathsep.join(search))
    run.note(f"compile and import on Python {', '.join(versions)}")
    for skipped in re.findall(r"(?:WARNING: )?(Skipping .*)", printed):
        run.note(skipped)
    empty = re.findall(r'Running sanity test "([^"]+)".*\n(?:WARNING.*\n)*No tests applicable', printed)
    if empty:
        run.note(f"no files for: {', '.join(sorted(set(empty)))}")


def ansible_test_home(run: Run) -> Path:
    """A home for ansible-test: it keeps its environments below HOME, and hands only HOME and PATH on to pip.

    Its pip bootstrap script would be downloaded from Ansible's own server; here Python's ensurepip does that work.
    """
    home = cache_directory() / "ansible-test"
    settings = dict(re.findall(r"^\S+\.([a-z-]+)='(.*)'$", run("python", "-m", "pip", "config", "list"), re.MULTILINE))
    settings.update({"quiet": "1", "progress-bar": "off"})
    files = {".config/pip/pip.conf": "[global]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())}
    for version in pip_versions(run):
        files[f".ansible/test/cache/get_pip_{version.replace('.', '_')}.py"] = (
            "import ensurepip\n\nensurepip.bootstrap()\n"
        )
    for name, content in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(content)
    return home


def pip_versions(run: Run) -> list[str]:
    """The versions of pip whose bootstrap scripts this ansible-test looks for."""
    source = run("python", "-c", "import ansible_test, pathlib; print(pathlib.Path(ansible_test.__path__[0]))").strip()
    text = (Path(source) / "_internal" / "python_requirements.py").read_text()
    return re.findall(r"\bpip='([\d.]+)'", text)


@contextlib.contextmanager
def working_pythons() -> Iterator[tuple[list[str], list[str]]]:
    """A search path without Pythons that only pretend to be there, as pyenv's shims do, and the versions found."""
    interpreters: dict[str, str] = {}
    broken: set[str] = set()
    for version in MODULE_PYTHONS:
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
            path = Path(folder) / f"python{version}"
            if not path.exists():
                continue
            asked = subprocess.run(
                [path, "-c", "import sys, venv; print(sys.executable)"], capture_output=True, text=True, check=False
            )
            if asked.returncode != 0:
                broken.add(folder)
            else:
                interpreters.setdefault(version, asked.stdout.strip())
    for folder in broken:
        for installed in sorted(Path(folder).parent.glob("versions/*/bin/python3.[0-9]*")):
            version = installed.name.removeprefix("python")
            if version in MODULE_PYTHONS:
                interpreters.setdefault(version, str(installed))
    with tempfile.TemporaryDirectory(prefix="pythons-") as links:
        for version, interpreter in interpreters.items():
            (Path(links) / f"python{version}").symlink_to(interpreter)
        rest = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder not in broken]
        yield [links, *rest], [version for version in MODULE_PYTHONS if version in interpreters]


def galaxy_importer(run: Run) -> None:
    printed = run("python", "-m", "galaxy_importer.main", tarball(), cwd=LOGS, HOME=str(LOGS))
    if complaints := re.findall(r"^(?:WARNING|ERROR).*", printed, re.MULTILINE):
        raise GateFailed(f"{len(complaints)} complaints")


def controlplane(run: Run) -> None:
    """Build the binaries apart from the tests that need them, so that the time it takes is seen."""
    run("python", "-m", "aks_sandbox.build")


def unit(run: Run) -> None:
    run.pytest("--numprocesses=2", "--dist=worksteal", "tests/unit")


def sandbox(run: Run) -> None:
    run.pytest("--numprocesses=2", "--dist=loadfile", "tests/sandbox/tests")


def witness(run: Run) -> None:
    """The command itself, then that it fails for every row that is changed."""
    for line in run("python", "tests/witness/witness.py").splitlines()[-2:]:
        run.note(line)
    run.pytest("tests/witness/tests")


def chromium(run: Run) -> None:
    """See to a browser for the tests of the report's page; where none can be had, they are skipped, and it is said.

    No package of PyPI carries one, so root of a Debian gets it from the system's packages.
    """
    if browser.chromium() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        run("apt-get", "update", "--quiet")
        run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium", "fonts-dejavu-core",
            DEBIAN_FRONTEND="noninteractive")  # fmt: skip
    if browser.chromium() is None:
        run.note("the report's page in a browser: there is no Chromium here, and only root of a Debian can install it")


def integration(run: Run) -> None:
    """Four files at a time, each with a sandbox of its own: they wait for simulated clouds more than they compute."""
    chromium(run)
    run.pytest("--numprocesses=4", "--dist=loadfile", "--durations=25", "tests/integration")


def molecule(run: Run) -> None:
    """Every scenario; the article's in a sandbox that still sells what Azure retired since 2023."""
    scenarios = sorted(path.parent.name for path in (ROOT / "extensions" / "molecule").glob("*/molecule.yml"))
    article = [name for name in scenarios if name.startswith("article_")]
    if not scenarios:
        raise GateFailed("there is no scenario")
    today = [name for name in scenarios if name not in article]
    for names, options in ((today, []), (article, ["--azure-of-2023"])):
        if names:
            sandbox = ("python", "-m", "aks_sandbox", "run", "--name", f"molecule-{os.getpid()}", *options)
            chosen = [word for name in names for word in ("--scenario-name", name)]
            run(*sandbox, "--", "molecule", "test", *chosen, cwd=ROOT)
    run.note(f"scenarios: {', '.join(scenarios)}")


def demo(run: Run) -> None:
    """As a user starts it, from the system's Python."""
    printed = run(sys.executable, Path(__file__).with_name("demo.py"))
    if not re.search(r"failed=0 ", printed):
        raise GateFailed("the playbook's recap does not say failed=0")


GATES = (
    Gate("tree", "a copy of what git knows, as a collection", copy_of_the_tree),
    Gate("ruff", "style and format of Python", ruff),
    Gate("build", "the tarball, and what it holds", build, after=("tree",)),
    Gate("mypy", "types", mypy),
    Gate("imports", "rooms import only from the floors below", imports, after=("tree",)),
    Gate("controlplane", "etcd, Kubernetes and KWOK, built or in the cache", controlplane, alone=True),
    Gate("unit", "unit tests", unit),
    Gate("sandbox", "the sandbox's own tests", sandbox, after=("controlplane",), alone=True),
    Gate("witness", "the sandbox's answers, held against what was recorded of Azure", witness),
    Gate("docs", "antsibull-docs lint", docs, after=("tree",)),
    Gate("site", "the documentation as a site, without a dead link", site),
    Gate("changelog", "antsibull-changelog lint", changelog, after=("tree",)),
    Gate("integration", "modules, roles and playbooks in a sandbox", integration, after=("controlplane",), alone=True),
    Gate("ansible-lint", "the production profile", ansible_lint, after=("tree",)),
    Gate("sanity", "ansible-test sanity", sanity, after=("tree",)),
    Gate("galaxy-importer", "what Galaxy checks on import", galaxy_importer, after=("build",)),
    Gate("molecule", "the scenarios of extensions/molecule", molecule, after=("controlplane",), alone=True),
    Gate("demo", "make demo", demo, after=("controlplane",), alone=True),
)


# Running them -----------------------------------------------------------------------------------------------------


class Schedule:
    """Which gates have to run, which run now, and how the others ended."""

    def __init__(self, gates: list[Gate], environment: dict[str, str]) -> None:
        self.gates = gates
        self.outcomes: dict[str, Outcome] = {}
        self._environment = environment
        self._running: dict[str, Run] = {}
        self._stopping = False
        self._began = time.monotonic()
        self._changed = threading.Condition()

    def work(self) -> None:
        """Take gates that may run, until none is left."""
        while (gate := self._next()) is not None:
            run = self._running[gate.name]
            outcome = _outcome(gate, run)
            with self._changed:
                del self._running[gate.name]
                self.outcomes[gate.name] = outcome
                self._say_end(gate, run, outcome)
                self._changed.notify_all()

    def _next(self) -> Gate | None:
        with self._changed:
            while not self._stopping:
                waiting = [g for g in self.gates if g.name not in self.outcomes and g.name not in self._running]
                if not waiting:
                    return None
                ready = next(filter(self._ready, waiting), None)
                if ready is None:
                    self._changed.wait()
                elif failed := [name for name in ready.after if self.outcomes[name].status != "passed"]:
                    self.outcomes[ready.name] = Outcome("not run", reason=f"needs {failed[0]}")
                    self._changed.notify_all()
                else:
                    self._running[ready.name] = Run(ready.name, self._environment)
                    return ready
            return None

    def _ready(self, gate: Gate) -> bool:
        lonely = {g.name for g in self.gates if g.alone}
        return all(name in self.outcomes for name in gate.after) and not (gate.alone and lonely & set(self._running))

    def stop(self) -> None:
        """Start no further gate, and interrupt those that run."""
        with self._changed:
            self._stopping = True
            for run in self._running.values():
                run.interrupt()
            self._changed.notify_all()

    def _say_end(self, gate: Gate, run: Run, outcome: Outcome) -> None:
        say(f"[{self.elapsed()}] {outcome.status:7} {gate.name} ({outcome.seconds:.0f} s) {outcome.reason}".rstrip())
        if outcome.status == "failed":
            lines = run.log.read_text(errors="replace").splitlines()
            say(f"---- {run.log.relative_to(ROOT)}, {len(lines)} lines, the last {min(len(lines), SHOWN_LINES)}:")
            say("\n".join(lines[-SHOWN_LINES:]))
            say("----")

    def elapsed(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        return f"{minutes:2}:{seconds:02}"

    def heartbeat(self, stop: threading.Event) -> None:
        """Say now and then what is running, so that a long gate does not look like a hang."""
        while not stop.wait(HEARTBEAT_SECONDS):
            with self._changed:
                for name, run in self._running.items():
                    last = [line for line in run.log.read_text(errors="replace").splitlines() if line.strip()][-1:]
                    say(f"[{self.elapsed()}] …       {name} ({run.seconds():.0f} s) {''.join(last)[:100]}")

    def table(self) -> None:
        """One line for each gate, with what it did not check and why."""
        say(f"\n{'gate':16} {'result':8} {'seconds':>7}  what")
        for gate in self.gates:
            outcome = self.outcomes.get(gate.name, Outcome("not run", reason="interrupted"))
            detail = f"{gate.what}: {outcome.reason}" if outcome.reason else gate.what
            say(f"{gate.name:16} {outcome.status:8} {outcome.seconds:7.0f}  {detail}")
            for note in outcome.notes:
                say(f"{'':34}- {note}")


def _outcome(gate: Gate, run: Run) -> Outcome:
    try:
        gate.check(run)
    except (GateFailed, subprocess.CalledProcessError, OSError) as error:
        return Outcome("failed", run.seconds(), str(error), tuple(run.notes))
    return Outcome("passed", run.seconds(), "", tuple(run.notes))


def counted(gates: list[Gate]) -> dict[str, int]:
    """What pytest counted in all gates: passed, failed, skipped."""
    total = {"passed": 0, "failed": 0, "skipped": 0}
    for gate in gates:
        report = LOGS / f"{gate.name}.xml"
        if not report.exists():
            continue
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
            failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            for key, number in (("passed", tests - skipped - failed), ("failed", failed), ("skipped", skipped)):
                total[key] += number
    return total


def chosen(names: list[str]) -> list[Gate]:
    """The named gates and what they need, in the order in which they are listed; all of them without a name.

    Raises:
        SetUpError: There is no such gate.
    """
    by_name = {gate.name: gate for gate in GATES}
    if unknown := [name for name in names if name not in by_name]:
        raise SetUpError(f"There is no gate {', '.join(unknown)}. Gates: {', '.join(by_name)}")
    wanted: set[str] = set()
    open_names = list(names or by_name)
    while open_names:
        name = open_names.pop()
        wanted.add(name)
        open_names += [needed for needed in by_name[name].after if needed not in wanted]
    return [gate for gate in GATES if gate.name in wanted]


def main(arguments: list[str]) -> int:
    """Set up, run the gates, show the table; 0 when every gate passed."""
    if arguments == ["list"]:
        for gate in GATES:
            say(f"{gate.name:16} {gate.what}")
        return 0
    gates = chosen(arguments)
    check_python()
    python = virtual_environment("test")
    link_collection()
    LOGS.mkdir(parents=True, exist_ok=True)
    for old in [path for gate in gates for path in LOGS.glob(f"{gate.name}.*")]:
        old.unlink()
    schedule = Schedule(gates, tool_environment(python))
    stop = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(WORKERS + 1) as pool:
        pool.submit(schedule.heartbeat, stop)
        workers = [pool.submit(schedule.work) for _worker in range(WORKERS)]
        try:
            for worker in workers:
                worker.result()
        except KeyboardInterrupt:
            say("\nInterrupted: waiting for what runs to clean up")
            schedule.stop()
        finally:
            stop.set()
    schedule.table()
    count = counted(gates)
    passed = [name for name, outcome in schedule.outcomes.items() if outcome.status == "passed"]
    say(f"\n{len(passed)} of {len(gates)} gates passed in {schedule.elapsed().strip()} min.")
    say(f"tests: {count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return 0 if len(passed) == len(gates) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetUpError as error:
        sys.exit(f"make test: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
