"""Where a sandbox keeps its files, who holds it, and how its control socket is reached.

`$AKS_SANDBOX_HOME/<name>`, by default in `$XDG_RUNTIME_DIR`, `$TMPDIR` or /tmp, 0700. A lock beside it is held by the
daemon as
long as it lives; a directory whose lock nobody holds is left over from a crash.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import re
import shutil
import socket
import stat
import threading
from pathlib import Path
from typing import Any

from .interfaces import SandboxError

Json = dict[str, Any]

DEFAULT_NAME = "default"
SOCKET = "control.sock"
_SOCKET_PATH_LIMIT = 100
_working_directory = threading.Lock()


def home() -> Path:
    """The directory of this user's sandboxes."""
    if configured := os.environ.get("AKS_SANDBOX_HOME"):
        return Path(configured).absolute()
    base = os.environ.get("XDG_RUNTIME_DIR") or os.environ.get("TMPDIR") or "/tmp"
    return Path(base).absolute() / f"aks-sandbox-{os.getuid()}"


class StateDirectory:
    """One sandbox's directory."""

    def __init__(self, name: str, root: Path | None = None) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}", name):
            raise SandboxError(f"{name!r} is no name for a sandbox: letters, digits, dots, dashes, 41 at most.")
        self.name = name
        self.home = root or home()
        self.path = self.home / name
        self._lock_path = self.home / f"{name}.lock"
        self._lock: int | None = None

    @property
    def log(self) -> Path:
        """The daemon's log."""
        return self.path / "daemon.log"

    @property
    def traffic(self) -> Path:
        """The record of Resource Manager's traffic."""
        return self.path / "traffic.jsonl"

    @property
    def ca(self) -> Path:
        """The certificate of the sandbox's authority."""
        return self.path / "ca.pem"

    def environment(self) -> dict[str, str]:
        """The variables a client of the sandbox needs.

        Raises:
            SandboxError: no sandbox of this name is ready.
        """
        try:
            return dict(json.loads((self.path / "environment.json").read_text()))
        except FileNotFoundError as error:
            raise SandboxError(f"No sandbox {self.name} is running.") from error

    def claim(self) -> None:
        """Take the directory for this process: lock it, clear what a crash left, create it.

        Raises:
            SandboxError: a sandbox of this name runs, or somebody else owns the directory.
        """
        _private_directory(self.home)
        while True:
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(descriptor)
                raise SandboxError(f"A sandbox {self.name} is running already.") from error
            try:
                same = os.path.samestat(os.fstat(descriptor), os.stat(self._lock_path))
            except FileNotFoundError:
                same = False
            if same:
                break
            os.close(descriptor)
        self._lock = descriptor
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        if self.path.exists():
            shutil.rmtree(self.path)
        _private_directory(self.path)

    def release(self) -> None:
        """Remove everything and let go of the lock."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock_path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None
        try:
            self.home.rmdir()
        except OSError:
            return

    def running(self) -> bool:
        """Does a daemon hold this directory?"""
        try:
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def holder(self) -> int | None:
        """Process id of the daemon that holds the directory."""
        try:
            return int(self._lock_path.read_text()) if self.running() else None
        except (FileNotFoundError, ValueError):
            return None

    # control

    def listen(self) -> socket.socket:
        """The control socket, listening."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._at_socket(listener.bind)
        listener.listen(64)
        listener.setblocking(False)
        return listener

    def request(self, method: str, path: str, body: Any = None, *, timeout: float = 60.0) -> Any:
        """Ask the daemon over its control socket. Returns its JSON answer.

        Raises:
            SandboxError: it does not run, or it refuses.
        """
        connection = _UnixConnection(self, timeout)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode()
        except (FileNotFoundError, ConnectionError, http.client.HTTPException) as error:
            raise SandboxError(f"No sandbox {self.name} is running.") from error
        finally:
            connection.close()
        answer = json.loads(text) if text else None
        if response.status >= 400:
            raise SandboxError(answer["error"] if isinstance(answer, dict) and "error" in answer else text)
        return answer

    def _at_socket(self, use: Any) -> None:
        """Call `use` with an address of the control socket that is short enough (sun_path holds 107 bytes)."""
        path = self.path / SOCKET
        if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
            use(str(path))
            return
        directory = os.open(self.path, os.O_RDONLY)
        try:
            if os.path.isdir("/proc/self/fd"):
                use(f"/proc/self/fd/{directory}/{SOCKET}")
                return
            with _working_directory:
                before = os.open(".", os.O_RDONLY)
                os.fchdir(directory)
                try:
                    use(SOCKET)
                finally:
                    os.fchdir(before)
                    os.close(before)
        finally:
            os.close(directory)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over the control socket."""

    def __init__(self, state: StateDirectory, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._state = state

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self._state._at_socket(self.sock.connect)


def _private_directory(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise SandboxError(f"{path} belongs to somebody else.")
    path.chmod(0o700)
