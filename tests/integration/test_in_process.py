# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module has the same result inside Ansible's process and in its own, and leaves nothing behind in either.

The modules are those of ``way/``, which do on purpose what goes wrong. Set AKS_GPU_TEST_ANSIBLE to the ``bin`` of a
virtual environment to test with its ansible-core.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness import Ansible, PlaybookRun

from playbooks import python_under_test

WAY = Path(__file__).parent / "way"
SECRET = "hunter2secret"
WAYS = ("always", "never")
BINARIES = python_under_test().parent


class Playbooks:
    """Runs playbooks with the collection test.way, with no sandbox."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        plugins = folder / "ansible_collections" / "test" / "way" / "plugins"
        for kind in ("modules", "action"):
            shutil.copytree(WAY / kind, plugins / kind)
        shutil.copytree(WAY / "meta", plugins.parent / "meta")
        for copy in ("mac", "newer", "secretive"):
            shutil.copy(plugins / "modules" / "probe.py", plugins / "modules" / f"{copy}.py")
        self.temporary = folder / "tmp"
        self._ansible = Ansible(SimpleNamespace(variables={}), folder)  # type: ignore[arg-type]

    def environment(self, way: str | None = None) -> dict[str, str]:
        collections = Path(__file__).parents[2] / ".dev" / "collections"
        return {
            "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": "",
            # Core writes below $HOME and reads below the user's home in the password database.
            "ANSIBLE_ASYNC_DIR": str(self.folder / "async"),
            "ANSIBLE_COLLECTIONS_PATH": f"{collections}{os.pathsep}{self.folder}",
            "ANSIBLE_LOCAL_TEMP": str(self.temporary),
            "ANSIBLE_LOG_PATH": str(self.folder / "ansible.log"),
            "ANSIBLE_NOCOLOR": "true",
            "AKS_GPU_IN_PROCESS": way or "auto",
        }

    def run(
        self, tasks: list[dict[str, Any]], way: str | None = None, *, play: dict[str, Any] | None = None, **options: Any
    ) -> PlaybookRun:
        book = {"hosts": "localhost", "gather_facts": False, **(play or {}), "tasks": tasks}
        environment = {**self.environment(way), **options.pop("environment", {})}
        arguments = ("-vvv", *options.pop("arguments", ()))
        return self._ansible.playbook([book], environment=environment, arguments=arguments, **options)


@pytest.fixture
def playbooks(tmp_path: Path) -> Playbooks:
    return Playbooks(tmp_path)


def task(title: str, module: str = "test.way.probe", /, **options: Any) -> dict[str, Any]:
    """A task; options that begin with ``task_`` are keywords of the task, the others are the module's."""
    keywords = {key.removeprefix("task_"): value for key, value in options.items() if key.startswith("task_")}
    arguments = {key: value for key, value in options.items() if not key.startswith("task_")}
    return {"name": title, module: arguments, "ignore_errors": True, **keywords}


VALUES = {
    "text": "ünï 漢 😀",
    "number": 12345678901234567890,
    "float": 1.5,
    "yes": True,
    "nothing": None,
    "nested": {"list": [1, {"a": "{{ probe_text }}"}], "empty": {}},
    "vaulted": "{{ probe_list | map('upper') | list }}",
    "time": "{{ '2026-11-22' }}",
}

TASKS = [
    task("values", value=VALUES, text="{{ probe_text }}"),
    task("omitted", text="{{ omit }}"),
    task(
        "secret option",
        secret="{{ probe_secret }}",
        text="has {{ probe_secret }} in it",
        value={"list": ["{{ probe_secret }}"]},
    ),
    task("secret task", text="{{ probe_secret }}", task_no_log=True),
    task("secret result", "test.way.secretive", value="the content"),
    task("secret items", "test.way.secretive", value="{{ item }}", task_loop=["content one", None]),
    task("check", text="x", task_check_mode=True),
    task("diff", text="x", task_diff=True),
    task("warnings", do="warn", text="{{ item }}", task_loop=["a", "b"]),
    task("no warnings", do="echo"),
    task(
        "environment",
        do="spoil",
        task_loop=[1, 2],
        task_environment=[{"PROBE_A": "{{ probe_text }}", "PROBE_B": 5}, {"PROBE_B": True}],
    ),
    task("environment is gone", do="spoil"),
    task("undefined", text="{{ not_there }}"),
    task("unknown option", nonsense=1),
    task("wrong type", seconds="many"),
    task("fail", do="fail", secret="{{ probe_secret }}"),
    task("fail with exception", do="fail with exception", secret="{{ probe_secret }}"),
    task("raise", do="raise", secret="{{ probe_secret }}"),
    task("cancel", do="cancel", secret="{{ probe_secret }}"),
    task("base exception", do="base exception", secret="{{ probe_secret }}"),
    task("exit with text", do="exit with text", secret="{{ probe_secret }}"),
    task("exit silently", do="exit silently"),
    task("no exit", do="nothing of the kind"),
    task("print json", do="print json"),
    task("after the exceptions", text="alive"),
    task("log", do="log", secret="{{ probe_secret }}"),
    task("timeout", do="sleep", seconds=30, task_timeout=1),
    task("after the timeout", text="alive"),
    task("missing library", "test.way.broken"),
    task("exit on import", "test.way.exits"),
    task("print on import", "test.way.prints"),
    task("big", do="big"),
    task("changed when", text="x", task_changed_when=False),
    task("retries", do="fail", task_register="tried", task_until="tried is succeeded", task_retries=1, task_delay=0),
    task("kernel", "test.way.waits", secret="{{ probe_secret }}", name="x", task_diff=True),
    task("kernel in check mode", "test.way.waits", secret="{{ probe_secret }}", name="x", task_check_mode=True),
    task("kernel defect", "test.way.waits", do="defect", secret="{{ probe_secret }}"),
    task("kernel failure", "test.way.waits", do="failure", secret="{{ probe_secret }}"),
    task("where", do="where"),
    task("run directory", do="run directory"),
]
VARIABLES = {"probe_secret": SECRET, "probe_text": "ansible {{ 1 + 1 }}", "probe_list": ["a", "b"]}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[PlaybookRun, Playbooks]]:
    """The same tasks in both ways."""
    runs = {}
    for way in WAYS:
        playbooks = Playbooks(tmp_path_factory.mktemp(way))
        runs[way] = playbooks.run(TASKS, way, play={"vars": VARIABLES}), playbooks
    return runs


def comparable(result: Any) -> Any:
    """A result without what differs between any two runs of the same module."""
    if isinstance(result, dict):
        passing = {
            "duration",
            "start",
            "end",
            "module_stderr",
            "module_stdout",
            "rc",
            "directory",
            "tmp",
            "deprecations",
        }
        return {key: comparable(value) for key, value in result.items() if key not in passing}
    if isinstance(result, list):
        return [comparable(value) for value in result]
    if isinstance(result, str):
        # The ordinary way of ansible-core does not mask the text of an exception; the in-process way does.
        result = re.sub(
            r"0x[0-9a-f]+|/\S+/(tmp|ansible_collections|run-1)\S*|line \d+", "…", result.replace(SECRET, "********")
        )
        if "Traceback" in result:
            return "a traceback that ends with " + result.strip().splitlines()[-1]
    return result


SAME = [one["name"] for one in TASKS if one["name"] not in ("where", "timeout", "base exception", "cancel", "no exit")]


def status_of(run: PlaybookRun, name: str) -> str:
    return next(each.status for each in run.results if each.task == name)


@pytest.mark.parametrize("name", SAME)
def test_same_result_both_ways(both: dict[str, tuple[PlaybookRun, Playbooks]], name: str) -> None:
    inside, ordinary = (comparable(both[way][0][name]) for way in WAYS)
    assert inside == ordinary


@pytest.mark.parametrize("name", [one["name"] for one in TASKS])
def test_same_status_both_ways(both: dict[str, tuple[PlaybookRun, Playbooks]], name: str) -> None:
    assert status_of(both["always"][0], name) == status_of(both["never"][0], name)


def test_it_is_the_way_that_was_asked_for(both: dict[str, tuple[PlaybookRun, Playbooks]]) -> None:
    inside, ordinary = (both[way][0] for way in WAYS)
    assert "test.way.probe runs inside Ansible's own process" in inside.output
    assert "in a process of its own, because" in ordinary.output
    assert "own process" not in ordinary.output
    assert "test.way.broken runs in a process of its own, because the module can't be imported" in inside.output


def test_values_come_through(both: dict[str, tuple[PlaybookRun, Playbooks]]) -> None:
    result = both["always"][0]["values"]
    assert result["value"] == {
        **VALUES,
        "nested": {"list": [1, {"a": "ansible 2"}], "empty": {}},
        "vaulted": ["A", "B"],
        "time": "2026-11-22",
    }
    assert result["stdout_lines"] == ["one", "two"]
    assert both["always"][0]["omitted"]["text"] is None


def test_each_item_finds_a_process_as_new(both: dict[str, tuple[PlaybookRun, Playbooks]]) -> None:
    for way in WAYS:
        first, second = (item["found"] for item in both[way][0]["environment"]["results"])
        assert first == second
        assert first["variables"]["PROBE_A"] == "ansible 2"
        assert first["variables"]["PROBE_B"] == "True"
        assert first["variables"]["PROBE_LEAK"] is None
        assert first["umask"] == 0o022 or first["umask"] == os.umask(os.umask(0o022))
        assert first["handlers"] == []
        assert first["probe_logger"] == [0, 0]
        assert first["new_logger"] == [True, 0]
        assert first["path"] is False
    assert both["always"][0]["environment is gone"]["found"]["variables"]["PROBE_A"] is None


def test_no_secret_is_shown(both: dict[str, tuple[PlaybookRun, Playbooks]]) -> None:
    """Not at -vvv, not in ansible.log; in the ordinary way core itself shows the text of uncaught exceptions."""
    for way in WAYS:
        run, playbooks = both[way]
        assert "the content" not in run.output
        assert "content one" not in run.output
        log = (playbooks.folder / "ansible.log").read_text(encoding="utf-8")
        assert "management.azure.com" not in run.output
        assert "management.azure.com" not in log
        for text in (run.output, log):
            lines = [line for line in text.splitlines() if SECRET in line]
            if way == "never":
                uncaught = ("inner", "outer", "no more", "CancelledError", "_Cancelled", "NO_LOG", "reason")
                lines = [line for line in lines if not any(word in line for word in uncaught)]
            assert lines == []


def test_warnings_belong_to_their_task(both: dict[str, tuple[PlaybookRun, Playbooks]]) -> None:
    for way in WAYS:
        run = both[way][0]
        for text in ("careful with a", "careful with b"):
            assert f"[WARNING]: {text}" in run.output
        assert not run["no warnings"].get("warnings")
        assert "old" in json.dumps(run["warnings"])


def test_bad_endings_fail_the_task_and_name_the_reason(both: dict[str, tuple[PlaybookRun, Playbooks]]) -> None:
    run = both["always"][0]
    for name, reason in {
        "raise": "outer ********",
        "cancel": "CancelledError",
        "base exception": "_Cancelled",
        "no exit": "without a result",
    }.items():
        assert status_of(run, name) == "ignored"
        assert reason in json.dumps(run[name])
    assert run["after the exceptions"]["text"] == "alive"
    assert status_of(run, "print on import") == "ok"
    assert "printed while it is imported" not in run.output


def test_timeout_is_ansibles(both: dict[str, tuple[PlaybookRun, Playbooks]]) -> None:
    for way in WAYS:
        assert status_of(both[way][0], "timeout") == "ignored"
        assert re.search(r"1 second|expected time frame \(1\)", json.dumps(both[way][0]["timeout"]))
        assert both[way][0]["after the timeout"]["text"] == "alive"


def test_missing_library_fails_its_task_alone(both: dict[str, tuple[PlaybookRun, Playbooks]]) -> None:
    for way in WAYS:
        assert "a_library_that_nobody_has" in json.dumps(both[way][0]["missing library"])
        assert both[way][0]["big"]["value"] == "x" * 2_000_000


def test_run_directory_is_private_shared_and_removed(both: dict[str, tuple[PlaybookRun, Playbooks]]) -> None:
    for way in WAYS:
        run, playbooks = both[way]
        result = run["run directory"]
        assert result["mode"] == "0700"
        assert run["kernel"]["directory"] == result["directory"]
        assert Path(result["directory"]).parent == playbooks.temporary
        assert list(playbooks.temporary.iterdir()) == []


def test_kernel_masks_in_both_ways(both: dict[str, tuple[PlaybookRun, Playbooks]]) -> None:
    for way in WAYS:
        run = both[way][0]
        assert run["kernel defect"]["msg"].endswith("Unexpected TypeError: defect with ********")
        assert "failure with ******** Do better." in run["kernel failure"]["msg"]
        assert run["kernel failure"]["code"] == "Bad"
        assert run["kernel"]["diff"] == {"before": {"count": 1}, "after": {"count": 2}}
        assert "warned of ********" in run.output


def test_in_process_is_in_the_worker(both: dict[str, tuple[PlaybookRun, Playbooks]]) -> None:
    inside, ordinary = (both[way][0]["where"] for way in WAYS)
    assert inside["python"] == ordinary["python"]
    assert inside["process"] != inside["parent"]


# --- what needs runs of its own ------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_what_a_module_leaves_for_the_end_is_done(playbooks: Playbooks, way: str) -> None:
    marks = playbooks.folder / "marks"
    playbooks.run([task("spoil", do="spoil", path=str(marks), task_loop=[1, 2])], way)
    lines = marks.read_text().splitlines()
    half = len(lines) // 2
    for item in (lines[:half], lines[half:]):
        ends = [line for line in item if not line.startswith(("temporary", "module", "mode"))]
        assert sorted(ends) == ["finalizer", "first exit handler", "second exit handler"]
        assert ends.index("first exit handler") < ends.index("second exit handler")
        assert way == "never" or "mode 0700" in item
    if way == "always":
        for line in lines:
            if line.startswith(("temporary", "module")):
                assert not Path(line.split(maxsplit=1)[1]).exists()
                assert line.split(maxsplit=1)[1].startswith(str(playbooks.temporary))
    else:
        for line in lines:
            if line.startswith("temporary"):
                Path(line.split(maxsplit=1)[1]).unlink(missing_ok=True)


def test_progress_is_shown_with_host_and_item_but_not_under_no_log(playbooks: Playbooks) -> None:
    run = playbooks.run(
        [
            task("shown", "test.way.waits", secret=SECRET, name="{{ item }}", task_loop=["gpu1", "gpu2"]),
            task(
                "labelled",
                "test.way.waits",
                secret=SECRET,
                task_loop=[{"name": "a", "token": "tok"}],
                task_loop_control={"label": "label {{ item.name }}"},
            ),
            task("hidden", "test.way.waits", secret="quiet", task_no_log=True),
        ],
        "always",
    )
    for label in ("gpu1", "gpu2", "label a"):
        assert f"[localhost] ({label}) gpunp: ******** Creating (0 s)" in run.output
    assert len(re.findall(r"^\[localhost\].*Creating", run.output, re.MULTILINE)) == 3
    assert "quiet" not in run.output


def many(count: int) -> dict[str, Any]:
    return {"all": {"hosts": {f"c{n}": {"ansible_connection": "local"} for n in range(count)}}}


def test_progress_of_many_hosts_is_summed_up(playbooks: Playbooks) -> None:
    run = playbooks.run(
        [task("wait", "test.way.waits", secret=SECRET)], "always", play={"hosts": "all"}, inventory=many(12)
    )
    lines = [line for line in run.output.splitlines() if "gpunp" in line and line.startswith("[")]
    # As many hosts as have said something by then; a second line only where the twelve take longer than 10 s.
    assert 1 <= len(lines) <= 2, lines
    for line in lines:
        assert re.fullmatch(r"\[12 hosts\] gpunp: \*{8} Creating: \d+", line), line


def test_progress_leaves_json_on_standard_output_whole(playbooks: Playbooks) -> None:
    book = playbooks.folder / "json.yml"
    tasks = [task("wait", "test.way.waits", secret=SECRET, name="{{ item }}", task_loop=["gpu1", "gpu2"])]
    book.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    callback = {"ANSIBLE_CALLBACK_PLUGINS": str(WAY / "callback"), "ANSIBLE_STDOUT_CALLBACK": "as_json"}
    done = subprocess.run(
        [str(BINARIES / "ansible-playbook"), str(book)],
        env={**os.environ, **playbooks.environment("always"), **callback},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["hosts"] == ["localhost"]
    assert "(gpu1) gpunp: ******** Creating" in done.stderr


OBSTACLES: dict[str, tuple[dict[str, Any], str]] = {
    "asynchronous": ({"task_async": 60, "task_poll": 5}, "it is asynchronous"),
    "becoming": (
        {"task_become": True, "task_vars": {"ansible_become_exe": "{{ playbook_dir }}/become.sh"}},
        "it becomes another user",
    ),
    "other Python": ({"task_vars": {"ansible_python_interpreter": "{{ playbook_dir }}/python"}}, "its Python is"),
    "variable": ({"task_vars": {"aks_gpu_in_process": "{{ 'ne' ~ 'ver' }}"}}, "aks_gpu_in_process is never"),
}


def test_obstacles_take_the_ordinary_way(playbooks: Playbooks) -> None:
    become = playbooks.folder / "become.sh"
    become.write_text('#!/bin/sh\nwhile [ "$1" != /bin/sh ]; do shift; done\nexec "$@"\n')
    become.chmod(0o755)
    python = playbooks.folder / "python"
    python.write_text(f'#!/bin/sh\nexec {BINARIES / "python"} "$@"\n')
    python.chmod(0o755)
    run = playbooks.run([task(name, do="where", **options) for name, (options, _why) in OBSTACLES.items()])
    for name, (_options, why) in OBSTACLES.items():
        assert status_of(run, name) == "ok", json.dumps(run[name])
        assert f"runs in a process of its own, because {why}" in run.output


def test_remote_hosts_and_delegation(playbooks: Playbooks) -> None:
    inventory = {
        "all": {"hosts": {"cluster": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}}}
    }
    run = playbooks.run(
        [
            task("delegated", do="where", task_delegate_to="localhost"),
            task("remote", do="where", task_ignore_unreachable=True),
        ],
        play={"hosts": "cluster"},
        inventory=inventory,
        fails=False,
    )
    assert "<cluster> test.way.probe runs inside Ansible's own process" in run.output
    assert "because its connection is ssh" in run.output
    assert run["delegated"]["python"]


def test_newer_core_takes_the_ordinary_way_unless_told_otherwise(playbooks: Playbooks) -> None:
    newer = task("newer", "test.way.newer", text="x")
    forced = task("forced", "test.way.newer", text="x", task_vars={"aks_gpu_in_process": "always"})
    wrong = task("wrong", text="x", task_vars={"aks_gpu_in_process": "sometimes"})
    run = playbooks.run([newer, forced, wrong])
    assert "is not among the tested ones" in run.output
    assert "test.way.newer runs inside Ansible's own process" in run.output
    assert "must be auto, always or never" in run["wrong"]["msg"]


def test_macos_takes_the_ordinary_way_unless_told_otherwise(playbooks: Playbooks) -> None:
    there = task("there", "test.way.mac", text="x")
    forced = task("forced", "test.way.mac", text="x", task_vars={"aks_gpu_in_process": "always"})
    run = playbooks.run([there, forced])
    assert run.output.count("because forked processes can't use the network on macOS") == 1
    assert run.output.count("test.way.mac runs inside Ansible's own process") == 1
    assert run["there"]["text"] == run["forced"]["text"] == "x"


@pytest.mark.parametrize("strategy", ["linear", "free", "host_pinned"])
def test_imports_once_a_run_with_every_strategy(playbooks: Playbooks, strategy: str) -> None:
    imports = playbooks.folder / "imports"
    hosts = {"all": {"hosts": {f"c{n}": {"ansible_connection": "local"} for n in range(4)}}}
    run = playbooks.run(
        [task("one", text="{{ inventory_hostname }}"), task("two", text="b", task_loop=[1, 2])],
        play={"hosts": "all", "strategy": f"ansible.builtin.{strategy}"},
        inventory=hosts,
        environment={"PROBE_IMPORTS": str(imports)},
    )
    assert run.output.count("inside Ansible's own process") == 12
    assert len(imports.read_text().splitlines()) == 1


@pytest.mark.parametrize("way", WAYS)
def test_module_defaults_and_groups(playbooks: Playbooks, way: str) -> None:
    run = playbooks.run(
        [task("defaults", value=1)],
        way,
        play={"module_defaults": {"group/test.way.probes": {"text": "from the group", "secret": SECRET}}},
    )
    assert run["defaults"]["text"] == "from the group"
    assert SECRET not in run.output


def test_vaulted_arguments(playbooks: Playbooks) -> None:
    password = playbooks.folder / "password"
    password.write_text("password")
    vault = [
        str(BINARIES / "ansible-vault"),
        "encrypt_string",
        "--vault-password-file",
        str(password),
        "--name",
        "probe_text",
    ]
    encrypted = subprocess.run(
        [*vault, "plain"], env={**os.environ, **playbooks.environment()}, capture_output=True, text=True, check=True
    ).stdout
    variables = playbooks.folder / "vault.yml"
    variables.write_text(encrypted)
    for way in WAYS:
        run = playbooks.run(
            [task("vaulted", text="{{ probe_text }}", value={"a": "{{ probe_text }}"})],
            way,
            play={"vars_files": [str(variables)]},
            arguments=("--vault-password-file", str(password)),
        )
        assert run["vaulted"]["text"] == "plain"
        assert run["vaulted"]["value"] == {"a": "plain"}


def until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def sleeping(playbooks: Playbooks) -> Iterator[subprocess.Popen[str]]:
    """A playbook whose module sleeps, in a process group of its own, as a terminal would start it."""
    book = playbooks.folder / "sleep.yml"
    tasks = [task("sleep", do="sleep", seconds=60)]
    book.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    environment = {**os.environ, **playbooks.environment("always")}
    with subprocess.Popen(
        [str(BINARIES / "ansible-playbook"), str(book)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - a shell's background ignores it
    ) as process:
        assert until(lambda: bool(list(playbooks.temporary.glob("*/aks-gpu-call-*"))), 30)
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_an_interrupt_ends_the_run_and_leaves_nothing(sleeping: subprocess.Popen[str], playbooks: Playbooks) -> None:
    start = time.monotonic()
    os.killpg(sleeping.pid, signal.SIGINT)
    sleeping.communicate(timeout=20)
    assert time.monotonic() - start < 15
    assert sleeping.returncode != 0
    assert until(lambda: list(playbooks.temporary.iterdir()) == [], 5)


def test_ad_hoc(playbooks: Playbooks) -> None:
    done = subprocess.run(
        [str(BINARIES / "ansible"), "localhost", "-vv", "-m", "test.way.probe", "-a", "text=hello"],
        env={**os.environ, **playbooks.environment()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "inside Ansible's own process" in done.stdout
    assert '"text": "hello"' in done.stdout
