# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks and private files, with real processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible import _files
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded, Failure

FORK = multiprocessing.get_context("fork")


def _count(path: Path, times: int) -> None:
    for _unused in range(times):
        with _files.locked(path.with_suffix(".lock")):
            value = int(path.read_text())
            time.sleep(0.001)
            _files.write_private(path, str(value + 1))


def _hold(path: Path, ready) -> None:
    with _files.locked(path):
        ready.set()
        time.sleep(60)


def test_processes_take_turns_and_leave_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "counter"
    path.write_text("0")
    workers = [FORK.Process(target=_count, args=(path, 15)) for _unused in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert path.read_text() == "60"
    assert [entry.name for entry in tmp_path.iterdir()] == ["counter"]


def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    ready = FORK.Event()
    holder = FORK.Process(target=_hold, args=(lock, ready))
    holder.start()
    assert ready.wait(10)
    with pytest.raises(DeadlineExceeded), _files.locked(lock, timeout=0.1):
        pass
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()
    with _files.locked(lock, timeout=5):
        pass


def test_write_is_private_keeps_links_and_leaves_no_half_file(tmp_path: Path) -> None:
    target = tmp_path / "target"
    link = tmp_path / "link"
    link.symlink_to(target)
    _files.write_private(_files.followed(link), "ünicode")
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "ünicode"
    assert _files.mode_of(target) == 0o600
    with pytest.raises(UnicodeEncodeError):
        _files.write_private(target, "\ud800")
    assert target.read_text(encoding="utf-8") == "ünicode"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link", "target"]


def test_mode_of_nothing(tmp_path: Path) -> None:
    assert _files.mode_of(tmp_path / "none") is None


def test_a_link_is_replaced_unless_it_is_to_be_followed(tmp_path: Path) -> None:
    """CWE-59, https://cwe.mitre.org/data/definitions/59.html: nothing is written where a planted link leads."""
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    link = tmp_path / "evidence.json"
    link.symlink_to(victim)
    _files.write_private(link, "ours")
    assert (victim.read_text(), link.read_text(), link.is_symlink()) == ("theirs", "ours", False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file another user's")
def test_a_link_of_another_user_is_not_followed(tmp_path: Path) -> None:
    """As the kernel's own rule: https://docs.kernel.org/admin-guide/sysctl/fs.html#protected-symlinks."""
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    link = tmp_path / "config"
    link.symlink_to(victim)
    os.lchown(link, 65534, 65534)
    with pytest.raises(Failure, match="symbolic link of another user"):
        _files.followed(link)
    own = tmp_path / "own"
    own.symlink_to(link)
    with pytest.raises(Failure, match="symbolic link of another user"):
        _files.followed(own)


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(Failure, match="leads in a circle"):
        _files.followed(tmp_path / "a")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file another user's")
@pytest.mark.parametrize(
    "source",
    [
        "https://github.com/kubermatic/kubeone/issues/171",
        "https://github.com/redhat-cop/agnosticd/pull/4242",
        "https://github.com/jupyterhub/action-k3s-helm/pull/26",
    ],
)
def test_a_file_keeps_its_owner(tmp_path: Path, source: str) -> None:
    """A kubeconfig that root has rewritten can't be read by its user any more."""
    path = tmp_path / "config"
    path.write_text("old")
    os.chown(path, 65534, 65533)
    _files.write_private(path, "new")
    found = path.stat()
    assert (found.st_uid, found.st_gid, path.read_text()) == (65534, 65533, "new"), source
