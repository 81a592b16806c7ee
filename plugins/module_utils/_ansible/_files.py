# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that several processes share and that hold secrets: locked, private, replaced as a whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded, Failure

PRIVATE = 0o600
LOCK_INTERVAL = 0.05
LONGEST_CHAIN = 40


@contextlib.contextmanager
def locked(path: Path, *, timeout: float = 60.0) -> Iterator[None]:
    """Holds an exclusive lock until the end of the block; it goes with the process that holds it, however that ends.

    Args:
        path: The lock's own file, not the one that it protects. It is made, and removed when nobody needs it.
        timeout: How long to wait for another process, in seconds.

    Raises:
        DeadlineExceeded: Another process held the lock all the time.
        OSError: The file can't be made.
    """
    end = time.monotonic() + timeout
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        try:
            _lock(descriptor, path, end)
            if _is(descriptor, path):
                break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # whoever held it before has removed it: what is locked is no longer what others find
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(descriptor: int, path: Path, end: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise DeadlineExceeded(f"Another process has held the lock {path} for too long.") from None
            time.sleep(LOCK_INTERVAL)


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def write_private(path: Path, text: str, *, mode: int = PRIVATE) -> None:
    """Writes a file so that others see either the old or the new content, never a part, and a crash leaves the old one.

    Args:
        path: The file, which keeps its owner. A symbolic link is replaced, not followed; see ``followed``.
        text: The content.
        mode: The file's permissions.

    Raises:
        OSError: The file can't be written, or would become another user's.
    """
    target = path.absolute()
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            _keep_owner(file.fileno(), target)
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def followed(path: Path) -> Path:
    """Returns the file that a path leads to, by symbolic links of this user only.

    People keep ``~/.kube/config`` as a link into a repository. A link that another user has put there could lead
    anywhere that only this user may write.

    Raises:
        Failure: A link on the way is another user's.
    """
    target = path.absolute()
    for _unused in range(LONGEST_CHAIN):
        if not target.is_symlink():
            return target
        if target.lstat().st_uid != os.geteuid():
            raise Failure(
                f"{target} is a symbolic link of another user, so it is not followed. Nothing was changed.",
                hint="Name the file itself.",
            )
        target = (target.parent / target.readlink()).absolute()
    raise Failure(f"{path} is a symbolic link that leads in a circle.")


def _keep_owner(descriptor: int, target: Path) -> None:
    try:
        old = target.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(old.st_mode):
        return
    new = os.fstat(descriptor)
    if old.st_uid != new.st_uid:
        os.fchown(descriptor, old.st_uid, old.st_gid)
    elif old.st_gid != new.st_gid:
        with contextlib.suppress(PermissionError):  # of a group that this user is not in
            os.fchown(descriptor, -1, old.st_gid)


def mode_of(path: Path) -> int | None:
    """Returns a file's permissions, None when there is no file."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None
