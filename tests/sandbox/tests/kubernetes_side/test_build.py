"""The build: cached, for one user once, and clear about what it cannot do."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from aks_sandbox import build


def test_a_second_call_finds_the_first_ones_binaries() -> None:
    lines: list[str] = []
    build.binaries(lines.append)
    lines.clear()
    found = build.binaries(lines.append)
    assert lines == []
    for name in (*build.COMPONENTS, "kwok"):
        assert found.path(name).exists()


def test_a_wrong_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AKS_SANDBOX_KUBERNETES_VERSION", "1.36")
    with pytest.raises(build.BuildError, match="is no release such as"):
        build.binaries(print)


def test_another_release_is_another_directory() -> None:
    assert build._fingerprint("1.36.3") != build._fingerprint("1.37.2")


def test_two_builds_do_not_race(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []
    said: list[str] = []

    def build_something() -> None:
        with build._lock(tmp_path / "lock", said.append):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.1)
            inside.pop()

    threads = [threading.Thread(target=build_something) for _unused in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]
    assert "another sandbox is building; waiting for it" in said
