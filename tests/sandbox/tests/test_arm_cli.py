"""The command line and the daemon: nothing left behind, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aks_sandbox.interfaces import SandboxError
from aks_sandbox.state import StateDirectory
from aks_sandbox.testing import Sandbox

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    for lock in home.glob("*.lock"):
        command(home, "stop", "--name", lock.stem)
    assert not home.exists()


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKS_SANDBOX_", "AZURE_"))}
    return {**kept, "AKS_SANDBOX_HOME": str(home), "PYTHONPATH": str(ROOT)}


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aks_sandbox", *arguments],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def begin(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "aks_sandbox", *arguments],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def gone(pid: int, seconds: float = 10) -> bool:
    """Has the process ended?"""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_run_passes_on_the_exit_code_and_leaves_nothing(home: Path) -> None:
    script = "import os, sys; print(os.environ['AZURE_CLOUD_ENVIRONMENT'], os.environ['AKS_SANDBOX_NAME']); sys.exit(7)"
    done = command(home, "run", "--without-kubernetes", "--name", "once", "--", sys.executable, "-c", script)
    assert done.returncode == 7
    url, name = done.stdout.split()
    assert name == "once"
    assert not home.exists()
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))):
        pass


def test_run_uses_the_sandbox_that_runs(home: Path) -> None:
    assert command(home, "start", "--without-kubernetes").returncode == 0
    done = command(home, "run", "--", "sh", "-c", "echo $AZURE_SUBSCRIPTION_ID")
    assert done.returncode == 0
    assert command(home, "status").returncode == 0
    assert command(home, "run", "--", "no-such-command").returncode == 127
    assert "running already" in command(home, "start", "--without-kubernetes").stderr
    assert command(home, "stop").stdout == "Stopped default.\n"
    assert command(home, "status").returncode == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_run_stops_what_it_started_when_it_is_ended(home: Path, number: signal.Signals) -> None:
    process = begin(home, "run", "--without-kubernetes", "--", "sh", "-c", "echo up; exec sleep 60")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    pid = StateDirectory("default", home).holder()
    assert pid is not None
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    process.send_signal(number)
    try:
        process.wait(20)
        assert gone(pid)
        deadline = time.monotonic() + 10
        while home.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not home.exists()
    finally:
        for child in children.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        process.communicate()


def test_a_crashed_sandbox_is_cleared_away(home: Path) -> None:
    assert command(home, "start", "--without-kubernetes").returncode == 0
    state = StateDirectory("default", home)
    pid = state.holder()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert state.path.exists()
    assert command(home, "status").returncode == 3
    assert command(home, "start", "--without-kubernetes").returncode == 0
    assert command(home, "stop").returncode == 0
    assert not home.exists()


def test_two_sandboxes_side_by_side(home: Path) -> None:
    with (
        Sandbox.started("one", kubernetes=False, home=home) as one,
        Sandbox.started("two", kubernetes=False, home=home, clusters=2) as two,
    ):
        assert one.url != two.url
        assert len(list(one.container_service().managed_clusters.list())) == 1
        assert len(list(two.container_service().managed_clusters.list())) == 2


def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100) / ("y" * 100)
    with Sandbox.started("long", kubernetes=False, home=long) as sandbox:
        assert sandbox.status()["clusters"][0]["name"] == "myAKSCluster"
    assert not long.exists()


def test_a_start_that_fails_says_why(home: Path) -> None:
    done = command(home, "start", "--kubernetes-version", "1.banana")
    assert done.returncode == 1
    assert "1.banana is no release" in done.stderr
    done = command(home, "start", "--without-kubernetes", "--set", "nonsense=1")
    assert done.returncode == 1
    assert "There is no setting nonsense" in done.stderr
    assert "no name for a sandbox" in command(home, "start", "--name", "../x").stderr


def test_files_are_private_and_hold_no_key(home: Path) -> None:
    with Sandbox.started("private", kubernetes=False, home=home) as sandbox:
        assert sandbox.state.path.stat().st_mode & 0o777 == 0o700
        assert home.stat().st_mode & 0o777 == 0o700
        for path in sandbox.state.path.rglob("*"):
            assert path.is_socket() or path.stat().st_mode & 0o077 == 0, path
        assert not list(sandbox.state.path.glob("*key*"))


def test_it_listens_on_loopback_only(home: Path) -> None:
    with Sandbox.started("loopback", kubernetes=False, home=home) as sandbox:
        pid = sandbox.status()["pid"]
        sockets = {os.readlink(each)[8:-1] for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()}
        for table, loopback in (("tcp", "0100007F:"), ("tcp6", "00000000000000000000000001000000:")):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and fields[9] in sockets:
                    assert fields[1].startswith(loopback), line


def test_settings_faults_actions_and_traffic(home: Path) -> None:
    with Sandbox.started("cli", kubernetes=False, home=home) as sandbox:
        name = ("--name", "cli")
        assert command(home, "set", *name, "throttles=yes", 'quotas={"cores": 8}').returncode == 0
        assert sandbox.status()["settings"] == {"throttles": True, "quotas": {"cores": 8}}
        assert "documented throttles" in command(home, "set", *name).stdout
        done = command(home, "fault", *name, "add", "method=GET", "path=/managedClusters", "status=503", "times=2")
        assert json.loads(done.stdout)["id"] == 1
        assert "503" in command(home, "fault", *name, "list").stdout
        assert command(home, "fault", *name, "clear", "1").returncode == 0
        assert command(home, "fault", *name, "list").stdout == ""
        assert command(home, "act", *name, "count", "cluster=myAKSCluster", "pool=nodepool1", "count=2").returncode == 0
        assert "2 of 2 nodes" in command(home, "status", *name).stdout
        assert "There is no action nonsense" in command(home, "act", *name, "nonsense", "cluster=myAKSCluster").stderr
        list(sandbox.container_service().managed_clusters.list())
        assert "200 GET" in command(home, "traffic", *name).stdout
        assert "ready" in command(home, "logs", *name).stdout
        assert "export AZURE_TENANT=" in command(home, "env", *name).stdout
        assert "current-context" in command(home, "kubeconfig", *name, "myAKSCluster").stdout
        with pytest.raises(SandboxError, match=r"There is no cluster other\. Clusters: myAKSCluster"):
            sandbox.kubeconfig("other")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_start_leaves_nothing(home: Path, number: signal.Signals) -> None:
    process = begin(home, "start", "--without-kubernetes", "--clusters", "20000")
    assert process.stdout is not None
    assert "Azure Resource Manager" in process.stdout.readline()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode != 0
    deadline = time.monotonic() + 30
    while home.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not home.exists()
