# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small files that the tasks of one run share, so that a fact is fetched once for a whole fleet."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._files import locked, write_private

RUN_CACHE_LOCK_SECONDS = 600.0
"""How long another task may take to fetch the same fact; longer than a sign-in with all its retries."""


def key_of(*parts: str | None) -> str:
    """Returns a file name that tells nothing of the parts that it stands for."""
    return hashlib.sha256("\0".join(part or "" for part in parts).encode()).hexdigest()[:32]


class RunCache:
    """Facts by key: in memory, and in a private directory when there is one.

    A file is written atomically with mode 0600, and only by the holder of the key's lock; a lock goes with its process.

    Args:
        directory: A directory that only its owner may read, or None.
    """

    def __init__(self, directory: str | None) -> None:
        self._directory = directory
        self._memory: dict[str, Any] = {}

    def get(
        self, key: str, valid: Callable[[Any], bool], fetch: Callable[[], Any], patience: float = RUN_CACHE_LOCK_SECONDS
    ) -> Any:
        """Returns a fact, and fetches it when there is no valid one. Meanwhile other tasks wait for the same key.

        Args:
            key: See ``key_of``.
            valid: Says whether a fact found may still be used.
            fetch: Returns the fact as something that JSON can carry.
            patience: How many seconds to wait for another task that fetches it.

        Raises:
            DeadlineExceeded: Another task fetches it, and has not come to an end.
        """
        found = self._found(key)
        if found is not None and valid(found):
            return found
        with self._locked(key, patience):
            found = self._read(key)
            if found is None or not valid(found):
                found = fetch()
                self._write(key, found)
        self._memory[key] = found
        return found

    def forget(self, key: str, stale: Callable[[Any], bool]) -> None:
        """Drops a fact that turned out to be wrong, unless another task has already replaced it.

        Args:
            key: See ``key_of``.
            stale: Says whether the fact found is the wrong one.
        """
        self._memory.pop(key, None)
        with self._locked(key, RUN_CACHE_LOCK_SECONDS):
            found = self._read(key)
            if self._directory is not None and found is not None and stale(found):
                self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return Path(self._directory or "", f"azure-{key}.json")

    def _found(self, key: str) -> Any:
        return self._memory[key] if key in self._memory else self._read(key)

    def _read(self, key: str) -> Any:
        if self._directory is None:
            return None
        try:
            return json.loads(self._path(key).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def _write(self, key: str, fact: Any) -> None:
        if self._directory is not None:
            write_private(self._path(key), json.dumps(fact))

    def _locked(self, key: str, patience: float) -> contextlib.AbstractContextManager[None]:
        if self._directory is None:
            return contextlib.nullcontext()
        return locked(self._path(key).with_suffix(".lock"), timeout=patience)
