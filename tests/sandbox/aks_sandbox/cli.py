"""The command line: `python -m aks_sandbox`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from .interfaces import SandboxError, Settings
from .state import DEFAULT_NAME, StateDirectory

_PACKAGE_ROOT = Path(__file__).resolve().parent.parent
_STOP_SECONDS = 60.0


def start(
    state: StateDirectory,
    options: Sequence[str],
    *,
    progress: TextIO | None,
    lifeline: int | None = None,
) -> subprocess.Popen[str]:
    """Start a daemon and wait until it is ready.

    Args:
        options: of the daemon.
        progress: where its progress is shown.
        lifeline: end of a pipe; the daemon stops when the other end is closed.

    Raises:
        SandboxError: it could not start; the message has its last lines.
    """
    command = [sys.executable, "-m", "aks_sandbox.daemon", "--name", state.name, *options]
    if lifeline is not None:
        command += ["--lifeline", str(lifeline)]
    environment = {
        **os.environ,
        "AKS_SANDBOX_HOME": str(state.home),
        "PYTHONPATH": os.pathsep.join([str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        pass_fds=() if lifeline is None else (lifeline,),
    )
    assert process.stdout is not None
    said: list[str] = []
    try:
        for line in process.stdout:
            if line == "ready\n":
                return process
            said.append(line)
            if progress is not None:
                print(line, end="", file=progress, flush=True)
    except BaseException:
        process.terminate()
        process.wait(_STOP_SECONDS)
        raise
    finally:
        process.stdout.close()
    code = process.wait(_STOP_SECONDS)
    text = "".join(said[-30:]).strip() or "it said nothing"
    raise SandboxError(f"The sandbox did not start (exit code {code}): {text}")


def stop(state: StateDirectory) -> bool:
    """Stop a sandbox and wait until it is gone; clear away what a crashed one left. Returns False when there was none.

    Raises:
        SandboxError: it does not end.
    """
    if not state.running():
        if state.path.exists():
            state.claim()
            state.release()
        return False
    with contextlib.suppress(SandboxError, TimeoutError):
        state.request("POST", "/stop", timeout=10)
    begun = time.monotonic()
    number = signal.SIGTERM
    while state.running():
        waited = time.monotonic() - begun
        if waited > _STOP_SECONDS:
            raise SandboxError(f"The sandbox {state.name} (process {state.holder()}) does not end.")
        holder = state.holder()
        if holder is not None and waited > _STOP_SECONDS / (3 if number == signal.SIGTERM else 1.5):
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder, number)
            number = signal.SIGKILL
        time.sleep(0.05)
    if state.path.exists():
        state.claim()
        state.release()
    return True


def _daemon_options(options: argparse.Namespace) -> list[str]:
    settings: dict[str, Any] = {}
    for each in options.set or []:
        settings.update(Settings.parse(each))
    arguments = ["--clusters", str(options.clusters), "--profile", options.profile, "--location", options.location]
    if options.without_kubernetes:
        arguments.append("--without-kubernetes")
    if options.azure_of_2023:
        arguments.append("--azure-of-2023")
    if options.kubernetes_version:
        arguments += ["--kubernetes-version", options.kubernetes_version]
    if settings:
        arguments += ["--settings", json.dumps(settings)]
    return arguments


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _start(options: argparse.Namespace, state: StateDirectory) -> int:
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    process = start(state, _daemon_options(options), progress=sys.stdout)
    process.returncode = 0
    print(f'Use it: eval "$({Path(sys.executable).name} -m aks_sandbox env --name {state.name})"')
    return 0


def _stop(options: argparse.Namespace, state: StateDirectory) -> int:
    print(f"Stopped {state.name}." if stop(state) else f"No sandbox {state.name} is running.")
    return 0


def _status(options: argparse.Namespace, state: StateDirectory) -> int:
    if not state.running():
        print(f"No sandbox {state.name} is running.")
        return 3
    status = state.request("GET", "/status")
    if options.json:
        print(json.dumps(status, indent=1))
        return 0
    print(f"{status['name']}: process {status['pid']}, {status['seconds']:.0f} s, {status.get('url', 'starting')}")
    for cluster in status.get("clusters", [])[:50]:
        print(f"  {cluster['name']}: {cluster['state']}, {cluster['power']}")
        for pool in cluster["pools"]:
            print(f"    {pool['name']}: {pool['size']}, {pool['nodes']} of {pool['count']} nodes, {pool['state']}")
    for name, value in status["settings"].items():
        print(f"  {name}={json.dumps(value)}")
    return 0


def _env(options: argparse.Namespace, state: StateDirectory) -> int:
    for name, value in state.environment().items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _kubeconfig(options: argparse.Namespace, state: StateDirectory) -> int:
    admin = "?admin=true" if options.admin else ""
    print(state.request("GET", f"/kubeconfig/{options.cluster}{admin}")["kubeconfig"], end="")
    return 0


def _set(options: argparse.Namespace, state: StateDirectory) -> int:
    if not options.setting:
        answer = state.request("GET", "/settings")
        for name, value in answer["settings"].items():
            print(f"{name}={json.dumps(value)}\n    {answer['documentation'][name]}")
        return 0
    values: dict[str, Any] = {}
    for each in options.setting:
        values.update(Settings.parse(each))
    for name in state.request("PATCH", "/settings", values)["changed"]:
        print(f"{name}={json.dumps(values[name])}")
    return 0


def _fault(options: argparse.Namespace, state: StateDirectory) -> int:
    if options.what == "add":
        rule = {}
        for each in options.values:
            name, _unused, value = each.partition("=")
            try:
                rule[name] = json.loads(value)
            except json.JSONDecodeError:
                rule[name] = value
        print(json.dumps(state.request("POST", "/faults", rule)))
    elif options.what == "clear":
        for each in options.values or [""]:
            state.request("DELETE", f"/faults?id={each}" if each else "/faults")
    else:
        for each in state.request("GET", "/faults"):
            print(json.dumps({name: value for name, value in each.items() if value not in (None, {}, False)}))
    return 0


def _act(options: argparse.Namespace, state: StateDirectory) -> int:
    values = {}
    for each in options.values:
        name, _unused, value = each.partition("=")
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    answer = state.request("POST", f"/actions/{options.action}", values)
    if answer:
        print(json.dumps(answer))
    return 0


def _show(path: Path, follow: bool) -> int:
    with path.open() as file:
        while True:
            for line in file:
                print(line, end="", flush=True)
            if not follow or not path.exists():
                return 0
            time.sleep(0.3)


def _traffic(options: argparse.Namespace, state: StateDirectory) -> int:
    state.environment()
    if options.full or options.follow:
        return _show(state.traffic, options.follow)
    with state.traffic.open() as file:
        for line in file:
            entry = json.loads(line)
            print(entry["status"], entry["method"], entry["url"].partition("?")[0])
    return 0


def _logs(options: argparse.Namespace, state: StateDirectory) -> int:
    if not state.log.exists():
        raise SandboxError(f"No sandbox {state.name} is running.")
    return _show(state.log, options.follow)


def _run(options: argparse.Namespace, state: StateDirectory) -> int:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise SandboxError("run needs a command: run [options] -- COMMAND …")
    received: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def forward(number: int, frame: Any) -> None:
        received.append(number)
        if child is None:
            raise KeyboardInterrupt
        if number != signal.SIGINT or not sys.stdin.isatty():
            child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    daemon: subprocess.Popen[str] | None = None
    read, write = os.pipe()
    try:
        if not state.running():
            daemon = start(state, _daemon_options(options), progress=sys.stderr, lifeline=read)
        try:
            child = subprocess.Popen(command, env={**os.environ, **state.environment()})
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr)
            return 127 if isinstance(error, FileNotFoundError) else 126
        code = child.wait()
        if received and code == 0:
            code = -received[0]
        return 128 - code if code < 0 else code
    except KeyboardInterrupt:
        return 128 + (received[0] if received else signal.SIGINT)
    finally:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        os.close(write)
        os.close(read)
        if daemon is not None:
            stop(state)
            daemon.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument(
        "--name", default=os.environ.get("AKS_SANDBOX_NAME", DEFAULT_NAME), help="which sandbox (default: %(default)s)"
    )
    starting = argparse.ArgumentParser(add_help=False)
    starting.add_argument("--clusters", type=int, default=1, help="how many clusters (default: 1)")
    starting.add_argument(
        "--profile", choices=("quick", "realistic"), default="quick", help="operations take seconds, or minutes"
    )
    starting.add_argument("--location", default="westus2", help="region of the clusters, or several with commas")
    starting.add_argument("--without-kubernetes", action="store_true", help="clusters without control planes")
    starting.add_argument("--azure-of-2023", action="store_true", help="retired sizes and the GPU image can be had")
    starting.add_argument("--kubernetes-version", metavar="V", help="release of the control planes")
    starting.add_argument("--set", action="append", metavar="NAME=VALUE", help="a setting; see `set`")

    parser = argparse.ArgumentParser(
        prog="aks_sandbox", description="An emulated Azure with AKS clusters, on loopback."
    )
    commands = parser.add_subparsers(dest="subcommand", required=True)

    def command(name: str, handler: Any, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        each = commands.add_parser(name, parents=[named, *parents], help=text, description=text)
        each.set_defaults(handler=handler)
        return each

    command("start", _start, "Start a sandbox and wait until it is ready.", starting)
    command("stop", _stop, "Stop a sandbox and remove all of it.")
    command("status", _status, "Clusters, pools, changed settings.").add_argument("--json", action="store_true")
    run = command("run", _run, "Run a command inside a sandbox; start one when none runs, and stop it after.", starting)
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND …")
    command("env", _env, "Print the environment as shell exports.")
    kubeconfig = command("kubeconfig", _kubeconfig, "Print a cluster's kubeconfig.")
    kubeconfig.add_argument("cluster")
    kubeconfig.add_argument("--admin", action="store_true")
    settings = command("set", _set, "Change settings, or list them all.")
    settings.add_argument("setting", nargs="*", metavar="NAME=VALUE")
    fault = command("fault", _fault, "Plant, list or clear faults.")
    fault.add_argument("what", choices=("add", "list", "clear"))
    fault.add_argument("values", nargs="*", metavar="FIELD=VALUE|ID")
    action = command("act", _act, "Let something happen in Azure: count, background, touch, pool, …")
    action.add_argument("action")
    action.add_argument("values", nargs="*", metavar="FIELD=VALUE")
    traffic = command("traffic", _traffic, "Show the recorded requests.")
    traffic.add_argument("--full", action="store_true", help="as JSON lines")
    traffic.add_argument("--follow", action="store_true")
    command("logs", _logs, "Show the daemon's log.").add_argument("--follow", action="store_true")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.handler(options, StateDirectory(options.name)))
    except SandboxError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
