# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make first-run`: the whole main job once against a real cluster, with a recording, and nothing of it left.

It says what it creates and roughly what that costs, asks once, and runs `site`, `site` again (0 changes), `verify`,
`cleanup`. What it made is removed also after a failure, Ctrl-C, SIGTERM or SIGHUP. docs/first-run.md describes it.

Exit status: 0 all went well; 1 something did not, and nothing is left; 2 refused before anything was changed;
3 something is left; 128 and the signal's number when it was interrupted, and nothing is left.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from environment import (
    COLLECTIONS,
    ROOT,
    SetUpError,
    check_python,
    link_collection,
    tool_environment,
    virtual_environment,
)
from processes import descendants, kill_tree

OUTPUT = ROOT / "build" / "first-run"
CALLBACKS = ROOT / "tests" / "integration" / "callbacks"
LOOK = ROOT / "tests" / "tools" / "first_run_look.py"

PRICES = "https://prices.azure.com/api/retail/prices"
"""https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices: no sign-in is needed."""

PRICE_PAGE = "https://azure.microsoft.com/pricing/details/virtual-machines/linux/"
PRICE_SECONDS = 15.0
RUN_MINUTES = 30
"""How long the GPU machine is there, roughly: Azure takes some 4 minutes to make it (azure-powershell's recording
TestSpot.json, 2025-10-28) and fewer to remove it; the images are gigabytes."""

NODES = 1
DEFAULT_POOL = "firstrun"
DEFAULT_SIZE = "Standard_NC4as_T4_v3"
OWN_NAME = "aks-gpu-first-run"
"""The namespace of the device plugin and the name of the Job: nothing of a cluster's users is called so."""

POOL_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
INTERRUPT_SECONDS = 20.0
"""How long ansible-playbook may take to end after a signal."""

SETTLE_SECONDS = 20.0
"""How long Azure may take to show a pool whose creation was under way when the run was interrupted: it answers a PUT
after 4 to 10 s (azure-powershell's recording TestSpot.json, 2025-10-28)."""

SELECT_SECONDS = 0.2
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AZURES_VARIABLES = ("AZURE_", "ANSIBLE_AZURE_")


class Refused(Exception):
    """The run does not begin; nothing was changed."""


class StepFailed(Exception):
    """A step of the run did not go as it should."""


class Interrupted(Exception):
    """A signal asked for the end."""


@dataclass(frozen=True)
class Played:
    """How a playbook has ended.

    Attributes:
        status: Its exit status.
        changed: The tasks that changed something.
        failures: The messages of tasks that failed.
        ended: Whether it came to its recap.
    """

    status: int
    changed: list[str]
    failures: list[str]
    ended: bool


@dataclass(frozen=True)
class Price:
    """What a machine costs: `amount` in `currency` an hour, or `reason` why that is not known."""

    amount: float | None
    currency: str = ""
    reason: str = ""


class Screen:
    """Standard output and the log of the run; the terminal may go away, the log stays."""

    def __init__(self, log: IO[str]) -> None:
        self._log = log

    def __call__(self, text: str = "") -> None:
        # Without a terminal (SIGHUP) or room on the disk, clean-up has to go on all the same.
        with contextlib.suppress(OSError):
            self._log.write(text + "\n")
            self._log.flush()
        with contextlib.suppress(OSError):
            print(text, flush=True)


class FirstRun:
    """One run, from the look at the cluster to its end."""

    def __init__(self, options: argparse.Namespace, folder: Path, python: Path, say: Screen) -> None:
        self.options = options
        self.folder = folder
        self.python = python
        self.say = say
        self.recording = folder / "recording.jsonl"
        self.evidence = folder / "evidence"
        self.signals: list[int] = []
        self._answered = 0
        self._cleaning = False
        self._telling: list[str] = []
        self._rows: list[tuple[str, str]] = []

    # the way through

    def run(self) -> int:
        """Do it all; the exit status."""
        for number in SIGNALS:
            signal.signal(number, self._on_signal)
        try:
            seen = self._look()
            if self.options.clean_up:
                return self._clean_up_only()
            self._refuse_what_is_there(seen)
            self._say_what_comes(seen)
            self._ask()
        except Refused as reason:
            self.say(f"\nNot begun, nothing was changed: {reason}")
            return 2
        except Interrupted:
            self.say("\nInterrupted before anything was changed.")
            return 128 + self.signals[0]
        problems: list[str] = []
        left: str | None = None
        try:
            self._steps()
        except (StepFailed, OSError) as failed:
            problems.append(str(failed))
        except Interrupted:
            pass
        finally:
            left = self._clean_up()
        return self._end(problems, left)

    def _look(self) -> dict[str, Any]:
        """What the cluster is and has now.

        Raises:
            Refused: It can't be read.
        """
        words = [self.options.resource_group, self.options.cluster, self.options.subscription or ""]
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            status = self._wait(
                subprocess.Popen(
                    [self.python, LOOK, *words],
                    env=self._environment(PYTHONPATH=str(COLLECTIONS)),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    start_new_session=True,
                )
            )
            output.seek(0)
            errors.seek(0)
            if not self._cleaning:
                self._end_when_interrupted()
            if status != 0:
                raise Refused(errors.read().strip()[-2000:] or f"{LOOK.name} ended with status {status}")
            seen: dict[str, Any] = json.loads(output.read())
        self._telling = seen["telling"]
        return seen

    def _refuse_what_is_there(self, seen: Mapping[str, Any]) -> None:
        """Make sure that everything that is going to be removed was made by this run.

        Raises:
            Refused: Something of these names is there already, or the cluster does not run.
        """
        pool = self.options.pool
        if seen["power_state"] != "Running":
            raise Refused(f"cluster {self.options.cluster} is {seen['power_state']}.")
        if pool in seen["pools"]:
            raise Refused(
                f"node pool {pool} exists already. Name one that does not: --pool NAME. If an earlier first run left"
                " it, --clean-up removes it."
            )
        self.say("Looking for what an earlier run may have left in the cluster …")
        found = self._playbook("cleanup", check=True, quiet=True)
        self._end_when_interrupted()
        if found.status != 0 or not found.ended:
            raise Refused("the cluster can't be looked at: " + ("; ".join(found.failures) or "see the log."))
        if found.changed:
            raise Refused(
                f"the cluster has something of this run's names already ({', '.join(found.changed)}). If an earlier"
                " first run left it, --clean-up removes it."
            )

    def _say_what_comes(self, seen: Mapping[str, Any]) -> None:
        options = self.options
        price = price_of(seen["location"], options.vm_size, options.prices_url)
        self.say(
            f"""
Cluster {options.cluster} in {options.resource_group} ({seen["location"]}, Kubernetes {seen["kubernetes_version"]}, \
subscription {seen["subscription"]})

This run creates, and removes at its end:
  in Azure       the node pool {options.pool}: {NODES} machine of the size {options.vm_size}, taint sku=gpu:NoSchedule,
                 autoscaler from {NODES} to {NODES}
  in the cluster the namespace {OWN_NAME} with NVIDIA's device plugin, a DaemonSet;
                 in the namespace default a Job for each probe of a GPU, and the Job {OWN_NAME} ({options.workload})
It changes nothing else. Pools, workloads and settings that are there stay as they are.

{cost_text(price, options.vm_size, seen["location"])}

It writes to {self.folder}:
  recording.jsonl the traffic with Azure Resource Manager, without names, ids and secrets: to attach to an issue
  evidence/, log  for you: they hold names"""
        )

    def _ask(self) -> None:
        """Ask once.

        Raises:
            Refused: The answer was not yes.
            Interrupted: A signal came.
        """
        if self.options.yes:
            return
        answer = ""
        if not sys.stdin.isatty():
            raise Refused("there is no terminal to ask at; --yes goes on without asking.")
        print("\nCreate this and run? Type yes: ", end="", flush=True)
        # Not input(): a signal between its prompt and its reading would not be seen before the next line.
        while not select.select([sys.stdin], [], [], SELECT_SECONDS)[0]:
            self._end_when_interrupted()
        with contextlib.suppress(OSError):  # the terminal went away
            answer = sys.stdin.readline()
        self._end_when_interrupted()
        if answer.strip().lower() != "yes":
            raise Refused("you did not answer yes.")

    def _steps(self) -> None:
        """The main job.

        Raises:
            StepFailed: A step failed, or the second `site` changed something.
            Interrupted: A signal came.
        """
        self._step("site", "site")
        again = self._step("site again", "site")
        if again.changed:
            self._rows[-1] = ("site again", f"{self._rows[-1][1]}: NOT 0 CHANGES")
            raise StepFailed(f"the second site changed something: {', '.join(again.changed)}")
        self._step("verify", "verify", gpu_verify_evidence_directory=str(self.evidence))

    def _step(self, title: str, playbook: str, **variables: Any) -> Played:
        self._end_when_interrupted()
        played = self._timed(title, playbook, **variables)
        self._end_when_interrupted()
        if played.status != 0 or not played.ended:
            raise StepFailed(
                f"{title} failed: " + ("; ".join(played.failures) or f"status {played.status}, see the log")
            )
        return played

    def _timed(self, title: str, playbook: str, **variables: Any) -> Played:
        self.say(f"\n== {title}: aks.gpu.{playbook}")
        began = time.monotonic()
        played = self._playbook(playbook, **variables)
        how = "ok" if played.status == 0 and played.ended else "FAILED"
        if self.signals and not self._cleaning:
            how = "interrupted"
        self._rows.append((title, f"{how}, {time.monotonic() - began:.0f} s, {len(played.changed)} changed"))
        return played

    # clean-up

    def _clean_up(self) -> str | None:
        """Remove what this run made; signals wait meanwhile. Returns what is left, None when nothing is."""
        interrupted = bool(self.signals)
        settled = time.monotonic() + self.options.settle
        self._cleaning = True
        left = self._cleaned("cleanup")
        if interrupted or left:
            if (seconds := settled - time.monotonic()) > 0:
                self.say(f"\nLooking again in {seconds:.0f} s, for Azure may still be working on a request …")
                time.sleep(seconds)
            left = self._cleaned("cleanup again")
        return left

    def _cleaned(self, title: str) -> str | None:
        try:
            played = self._timed(title, "cleanup")
            seen = self._look()
        except (Refused, OSError) as unread:
            return f"it is not known what is left, for the cluster can't be looked at: {unread}"
        pool = self.options.pool
        if pool in seen["pools"]:
            return f"node pool {pool} is there ({seen['pools'][pool]}), AND COSTS MONEY"
        if played.status != 0 or not played.ended:
            reason = "; ".join(played.failures) or f"status {played.status}"
            return f"the node pool is gone, but cleanup failed: {reason}"
        return None

    def _clean_up_only(self) -> int:
        """Remove what an earlier run left, of which only objects of aks.gpu's own making."""
        return self._end([], self._clean_up())

    def _end(self, problems: list[str], left: str | None) -> int:
        """Say how it went; the exit status."""
        self.say("\n== Summary")
        for title, how in self._rows:
            self.say(f"  {title:15} {how}")
        for problem in problems:
            self.say(f"  {problem}")
        if left:
            where = f"--resource-group {shlex.quote(self.options.resource_group)} --name {self.options.pool}"
            cluster = shlex.quote(self.options.cluster)
            self.say(f"  LEFT: {left}")
            self.say(f"  Remove it: make first-run ARGS={shlex.quote(self._words() + ' --clean-up')}")
            self.say(f"         or: az aks nodepool delete {where} --cluster-name {cluster}")
        else:
            self.say("  Nothing that this run made is left.")
        self._end_recording()
        if (self.evidence / "index.html").exists():
            self.say(f"  Evidence:  {self.evidence / 'index.html'}")
        self.say(f"  Log:       {self.folder / 'log'}")
        if left:
            return 3
        if self.signals:
            return 128 + self.signals[0]
        return 1 if problems else 0

    def _words(self) -> str:
        options = self.options
        words = ["--resource-group", options.resource_group, "--cluster", options.cluster, "--pool", options.pool]
        words += ["--subscription", options.subscription] if options.subscription else []
        return shlex.join(words)

    def _end_recording(self) -> None:
        """Remove what would let somebody try guesses, and look whether a name got through."""
        self.recording.with_name(f"{self.recording.name}.names").unlink(missing_ok=True)
        if not self.recording.exists():
            return
        text = self.recording.read_text()
        self.say(f"  Recording: {self.recording} ({text.count(chr(10))} requests)")
        if found := telling_values(text, self._secrets()):
            self.say(f"             READ IT BEFORE YOU HAND IT ON. It has these words in it: {', '.join(found)}.")

    def _secrets(self) -> list[str]:
        options = self.options
        own = [options.resource_group, options.cluster, options.pool, options.subscription or "", *self._telling]
        return own + [value for name, value in os.environ.items() if name.startswith("AZURE_") and len(value) > 5]

    # Ansible

    def _playbook(self, name: str, *, check: bool = False, quiet: bool = False, **variables: Any) -> Played:
        """Run one of the collection's playbooks to its end."""
        options = self.options
        own = {
            "aks_resource_group": options.resource_group,
            "aks_cluster_name": options.cluster,
            "aks_subscription_id": options.subscription or "",
            "node_pool_name": options.pool,
            "node_pool_vm_size": options.vm_size,
            "node_pool_min_count": NODES,
            "node_pool_max_count": NODES,
            "device_plugin_namespace": OWN_NAME,
            "mnist_name": OWN_NAME,
            "mnist_workload": options.workload,
            **variables,
        }
        command = [str(self.python.with_name("ansible-playbook")), f"aks.gpu.{name}"]
        for more in options.extra_vars:
            command += ["-e", more]
        command += ["-e", json.dumps(own)]
        if check:
            command.append("--check")
        with tempfile.TemporaryDirectory(prefix="aks-gpu-first-run-") as private:
            record = Path(private, "record.jsonl")
            record.touch(mode=0o600)
            with subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment(AKS_GPU_RECORD=str(record)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C comes to this process alone, which says what is to be done
                text=True,
                errors="replace",
            ) as process:
                reader = threading.Thread(target=self._show, args=(process.stdout, quiet), daemon=True)
                reader.start()
                status = self._wait(process)
                reader.join(INTERRUPT_SECONDS)
            return played(status, record.read_text().splitlines())

    def _show(self, lines: IO[str], quiet: bool) -> None:
        with contextlib.suppress(ValueError):  # closed while it was read
            for line in lines:
                if not quiet:
                    self.say(line.rstrip("\n"))

    def _environment(self, **more: str) -> dict[str, str]:
        """The environment of `make`'s tools, with what the user signs in to Azure by, and the recording."""
        environment = tool_environment(self.python)
        environment.update({k: v for k, v in os.environ.items() if k.startswith(AZURES_VARIABLES)})
        environment.update(
            ANSIBLE_LOCALHOST_WARNING="false",
            ANSIBLE_INVENTORY_UNPARSED_WARNING="false",
            ANSIBLE_DISPLAY_SKIPPED_HOSTS="false",
            ANSIBLE_CALLBACK_PLUGINS=str(CALLBACKS),
            ANSIBLE_CALLBACKS_ENABLED="record",
            AKS_GPU_RECORDING=str(self.recording),
            **more,
        )
        return environment

    # signals

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.signals.append(number)  # no more: printing may have been interrupted

    def _answer_signals(self) -> None:
        if len(self.signals) > self._answered:
            self._answered = len(self.signals)
            if self._cleaning:
                self.say("\nCleaning up: wait for its end, for a GPU machine that is left costs money.")
            else:
                self.say("\nInterrupted: ending what runs")

    def _end_when_interrupted(self) -> None:
        self._answer_signals()
        if self.signals:
            raise Interrupted

    def _wait(self, process: subprocess.Popen[Any]) -> int:
        """Wait for the end of a child. A signal interrupts it, unless it cleans up; what does not end is killed."""
        deadline: float | None = None
        started: list[int] = []
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(0.2)
                break
            self._answer_signals()
            if self.signals and not self._cleaning:
                if deadline is None:
                    deadline = time.monotonic() + INTERRUPT_SECONDS
                    started = descendants(process.pid)
                    process.send_signal(signal.SIGINT)
                elif time.monotonic() > deadline:
                    started += descendants(process.pid)
                    process.kill()
        for each in started:  # a worker goes on by itself when ansible-playbook was killed
            kill_tree(each)
        return status


def played(status: int, lines: Sequence[str]) -> Played:
    """What a run of ansible-playbook has recorded by the callback `record`."""
    records = [json.loads(line) for line in lines if line.endswith("}")]
    tasks = [each for each in records if "task" in each]
    changed = [each["task"] for each in tasks if each["status"] == "ok" and each["result"].get("changed")]
    failed = [str(each["result"].get("msg", "")) for each in tasks if each["status"] in ("failed", "unreachable")]
    stats = [each["stats"] for each in records if "stats" in each]
    return Played(status, changed, list(dict.fromkeys(filter(None, failed))), bool(stats and stats[-1]))


def price_of(region: str, size: str, address: str = PRICES) -> Price:
    """What a Linux machine of a size costs in a region, by the Azure Retail Prices API."""
    wanted = {
        "serviceName": "Virtual Machines",
        "armRegionName": region,
        "armSkuName": size,
        "priceType": "Consumption",
    }
    query = " and ".join(f"{name} eq '{value}'" for name, value in wanted.items())
    where = f"{address}?{urllib.parse.urlencode({'$filter': query}, quote_via=urllib.parse.quote, safe='$')}"
    try:
        with urllib.request.urlopen(where, timeout=PRICE_SECONDS) as answer:
            items = json.load(answer)["Items"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Price(None, reason=f"{address} did not say it: {error}")
    found = [each for each in items if is_linux_by_the_hour(each)]
    if not found:
        return Price(None, reason=f"{address} has no price of {size} in {region}")
    dearest = max(found, key=lambda each: float(each["retailPrice"]))
    return Price(float(dearest["retailPrice"]), str(dearest["currencyCode"]))


def is_linux_by_the_hour(item: Mapping[str, Any]) -> bool:
    """Says whether it is what a regular Linux machine costs an hour: no Windows, Spot, low priority."""
    names = f"{item.get('productName')} {item.get('skuName')} {item.get('meterName')}"
    other = re.search(r"windows|spot|low priority", names, re.IGNORECASE)
    return item.get("unitOfMeasure") == "1 Hour" and item.get("type") == "Consumption" and other is None


def cost_text(price: Price, size: str, region: str) -> str:
    """What the run costs, for a person."""
    if price.amount is None:
        return (
            f"What it costs is not known: {price.reason}.\nLook at {PRICE_PAGE} for {size} in {region};"
            f" the machine is there for about {RUN_MINUTES} minutes."
        )
    run = price.amount * NODES * RUN_MINUTES / 60
    return (
        f"A {size} costs {price.amount:.2f} {price.currency} an hour in {region} (list price, pay as you go).\n"
        f"The machine is there for about {RUN_MINUTES} minutes: roughly {run:.2f} {price.currency}, and little for its"
        " disk and traffic."
    )


def telling_values(text: str, values: Sequence[str]) -> list[str]:
    """Which of some values stand in a text as words of their own; letter case is ignored."""
    return sorted(
        {
            value
            for value in values
            if value and re.search(rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])", text, re.IGNORECASE)
        }
    )


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="make first-run ARGS=…",
        description="Run aks.gpu's main job once against a real cluster, record the traffic, remove what was made.",
    )
    parser.add_argument("--resource-group", required=True, help="the cluster's resource group")
    parser.add_argument("--cluster", required=True, help="the cluster's name")
    parser.add_argument("--subscription", help="the subscription's id; by default the one that you are signed in to")
    parser.add_argument("--pool", default=DEFAULT_POOL, help="the node pool that is created (default: %(default)s)")
    parser.add_argument("--vm-size", default=DEFAULT_SIZE, help="its size (default: %(default)s)")
    parser.add_argument(
        "--workload",
        default="digits",
        choices=["digits", "article", "vector_add"],
        help="the Job; the article's image is of 2019 and may not run on today's GPUs (default: %(default)s)",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--clean-up", action="store_true", help="only remove what an earlier first run left")
    parser.add_argument("--output", type=Path, help=f"a new directory (default: one in {OUTPUT.relative_to(ROOT)})")
    parser.add_argument(
        "-e", "--extra-vars", action="append", default=[], help="more variables of the roles, as ansible-playbook takes"
    )
    parser.add_argument(
        "--settle",
        type=float,
        metavar="SECONDS",
        default=SETTLE_SECONDS,
        help="after an interruption, when to look a second time for what is left (default: %(default)s)",
    )
    parser.add_argument("--prices-url", default=PRICES, help="where the list of prices is (default: %(default)s)")
    parser.add_argument(
        "--python",
        type=Path,
        help="a Python with ansible-core and requirements.txt (default: one is made in the cache)",
    )
    options = parser.parse_args(words)
    if not POOL_NAME.fullmatch(options.pool):
        parser.error(
            f"--pool: {options.pool} is not a valid name: at most 12 lower-case letters and digits, a letter first"
        )
    return options


@contextlib.contextmanager
def screen(folder: Path) -> Iterator[Screen]:
    """What is said goes to the log of the run as well."""
    descriptor = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as log:
        yield Screen(log)


def main(words: Sequence[str]) -> int:
    """Set up and run; the exit status."""
    options = parsed(words)
    folder = (options.output or OUTPUT / time.strftime("%Y%m%d-%H%M%S")).absolute()
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise SetUpError(f"{folder} can't be made: {error.strerror}.") from error
    check_python()
    python = options.python.absolute() if options.python else virtual_environment("user")
    link_collection()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    with screen(folder) as say:
        return FirstRun(options, folder, python, say).run()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetUpError as error:
        sys.exit(f"make first-run: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
