# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make` sets up before it runs anything: a virtual environment and the collection on Ansible's path.

Only the standard library is used here, for it runs before anything is installed. Virtual environments live in the
user's cache, named after what they hold, so that every clone shares them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / ".dev" / "collections"
OLDEST_PYTHON = (3, 11)


class SetUpError(Exception):
    """Something that the user has to mend before `make` can go on; the text says what."""


def say(text: str) -> None:
    """Print one line at once, also into a pipe."""
    print(text, flush=True)


def cache_directory() -> Path:
    """The user's cache for this project, where everything that takes long to make is kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "aks-gpu"


def check_python() -> None:
    """Refuse a Python that the pinned ansible-core does not run on.

    Raises:
        SetUpError: This interpreter is too old, or cannot make virtual environments.
    """
    if sys.version_info < OLDEST_PYTHON:
        newer = [name for name in (f"python3.{minor}" for minor in range(20, 10, -1)) if _runs(name)]
        advice = f"say `make … PYTHON={newer[0]}`" if newer else "install a newer one and say `make … PYTHON=path`"
        raise SetUpError(f"{sys.executable} is Python {platform.python_version()}; 3.11 or newer is needed: {advice}.")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as missing:
        raise SetUpError(
            f"{sys.executable} cannot make virtual environments: it lacks {missing.name}. Debian and Ubuntu"
            f" have it in the package python3-venv."
        ) from missing


def _runs(name: str) -> bool:
    found = shutil.which(name)
    return found is not None and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"  waiting for another make that is setting up {path.stem}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def virtual_environment(name: str) -> Path:
    """Make the virtual environment of `tests/requirements-NAME.txt`, unless it is there, and return its Python.

    Raises:
        SetUpError: pip failed; its own output has been printed.
    """
    requirements = ROOT / "tests" / f"requirements-{name}.txt"
    constraints = ROOT / "tests" / "constraints.txt"
    others = ("requirements.txt", "tests/requirements-demo.txt", "tests/sandbox/requirements.txt")
    files = [requirements, constraints, *(ROOT / name for name in others)]

    def install(pip: Pip) -> None:
        pip("install", "--requirement", requirements, "--constraint", constraints)

    what = f"{requirements.relative_to(ROOT)} (once, about a minute)"
    return kept_environment(name, [f.read_text() for f in files], what, install)


class Pip:
    """The pip of a virtual environment that is being made.

    Attributes:
        home: The virtual environment.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, subcommand: str, *arguments: str | Path) -> None:
        """Run a subcommand of pip, quietly and asking nothing.

        Raises:
            SetUpError: pip failed; its own output has been printed.
        """
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
        self.run(self.home / "bin" / "python", "-m", "pip", subcommand, *quiet, *arguments)

    def run(self, *command: str | Path) -> None:
        """Run a command of the making.

        Raises:
            SetUpError: It failed; its own output has been printed.
        """
        done = subprocess.run(command, env=_without_python_settings(), stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise SetUpError(f"Could not set up {self.home}: see the output above. Is the package registry reachable?")


def kept_environment(
    name: str,
    ingredients: Iterable[str],
    what: str,
    install: Callable[[Pip], None],
    interpreter: str = sys.executable,
) -> Path:
    """Make a virtual environment in the user's cache, unless it is there, and return its Python.

    It is made where it stays (a virtual environment cannot be moved) under a lock, and counts only when its marker
    file is there, so that an interrupted one is made again.

    Args:
        name: What it is for.
        ingredients: All that decides what is installed; other ingredients make another environment.
        what: What is installed, for a person.
        install: Called with the new environment's pip.
        interpreter: Path of the Python that makes it, and that runs in it.

    Raises:
        SetUpError: A step failed; its own output has been printed.
    """
    version = sys.version if interpreter == sys.executable else ""
    parts = [version, os.path.realpath(interpreter), platform.machine(), *ingredients]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
    home = cache_directory() / f"venv-{name}-{key}"
    python = home / "bin" / "python"
    marker = home / "complete"
    if marker.exists() and python.exists():
        say(f"  Python environment: {home}")
        return python
    with _lock(home.with_suffix(".lock")):
        if marker.exists() and python.exists():
            return python
        say(f"  Python environment: installing {what} into {home}")
        began = time.monotonic()
        shutil.rmtree(home, ignore_errors=True)
        pip = Pip(home)
        pip.run(interpreter, "-m", "venv", home)
        install(pip)
        marker.touch()
        say(f"  Python environment: ready after {time.monotonic() - began:.0f} s")
    return python


def _without_python_settings() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}


def link_collection() -> Path:
    """Put this checkout on Ansible's path as aks.gpu, by a symbolic link, and return the folder for the path."""
    link = COLLECTIONS / "ansible_collections" / "aks" / "gpu"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not (link.is_symlink() and link.resolve() == ROOT):
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT, target_is_directory=True)
    return COLLECTIONS


def sweep(temporary: Path) -> None:
    """Remove what runs of Ansible that were killed left in its folder for temporary files: kubeconfigs, client keys.

    Ansible names each run's folder ansible-local-PID and eight random characters.
    """
    for folder in temporary.glob("ansible-local-*"):
        pid = folder.name.removeprefix("ansible-local-")[:-8]
        if pid.isdigit() and not _is_running(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def tool_environment(python: Path) -> dict[str, str]:
    """The environment for programs of the virtual environment: nothing of the user's Ansible, Azure or Kubernetes."""
    foreign = ("ANSIBLE_", "AZURE_", "ARM_", "KUBE", "K8S_", "AKS_SANDBOX_", "MOLECULE_", "PYTEST_", "MYPY")
    environment = {k: v for k, v in _without_python_settings().items() if not k.startswith(foreign)}
    no_settings = ROOT / ".dev" / "ansible.cfg"
    no_settings.parent.mkdir(exist_ok=True)
    no_settings.touch()
    environment.update(
        VIRTUAL_ENV=str(python.parents[1]),
        PATH=f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        PYTHONPATH=str(ROOT / "tests" / "sandbox"),
        ANSIBLE_CONFIG=str(no_settings),
        ANSIBLE_HOME=str(ROOT / ".dev" / "ansible"),
        # These two are in the user's home, wherever Ansible's own is.
        ANSIBLE_REMOTE_TEMP=str(ROOT / ".dev" / "ansible" / "tmp"),
        ANSIBLE_SSH_CONTROL_PATH_DIR=str(ROOT / ".dev" / "ansible" / "cp"),
        ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS),
        KUBECACHEDIR=str(ROOT / ".dev" / "kube-cache"),
    )
    return environment
