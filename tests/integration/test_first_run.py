# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make first-run`: the whole run, what is left when it is refused, interrupted or fails, what its recording tells.

Prices come from a stand-in of the Azure Retail Prices API with the fields of Microsoft's documentation
(https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import re
import shlex
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from aks_sandbox.testing import Sandbox
from azure.mgmt.containerservice.models import AgentPool
from environment import ROOT
from harness import Json, pools

SCRIPT = ROOT / "tests" / "tools" / "first_run.py"
SECONDS = 240.0
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
STAND_IN = re.compile(r"0{8}-0000-0000-0000-\d{12}")

OF_SOMEBODY = {
    "linuxProfile": {"adminUsername": "jdoe", "ssh": {"publicKeys": [{"keyData": "ssh-rsa QUJDRA== jdoe@laptop"}]}},
    "somethingNew": {"owner": "Contoso", "reachedFrom": ["203.0.113.7/32"], "contact": "jdoe@contoso.example"},
}
"""Properties of a cluster. The first is in azure-service-operator's recording
Test_AKS_ManagedCluster_20260501_CRUD.yaml (2026-09-18)."""


def price(amount: float, product: str, sku: str, **fields: Any) -> Json:
    """One item of the API's answer."""
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": amount,
        "unitPrice": amount,
        "armRegionName": "westus2",
        "location": "US West 2",
        "meterName": sku,
        "productName": product,
        "skuName": sku,
        "serviceName": "Virtual Machines",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": "Standard_NC4as_T4_v3",
        **fields,
    }


class Prices(BaseHTTPRequestHandler):
    """Answers what the filter asks for."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        (wanted,) = parse_qs(urlsplit(self.path).query)["$filter"]
        self.asked.append(wanted)
        series = "Virtual Machines NCasT4 v3 Series"
        items = [
            price(0.0789, series, "NC4as T4 v3 Spot"),
            price(0.71, f"{series} Windows", "NC4as T4 v3"),
            price(0.526, series, "NC4as T4 v3"),
            price(2764.0, series, "NC4as T4 v3", unitOfMeasure="1 Year", type="Reservation"),
        ]
        body = json.dumps(
            {"BillingCurrency": "USD", "Items": items, "NextPageLink": None, "Count": len(items)}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_args: Any) -> None:
        """Stay quiet."""


@pytest.fixture(scope="module")
def prices() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Prices) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api/retail/prices"
        server.shutdown()
        thread.join()


class FirstRun:
    """The command, as somebody starts it who has nothing but a sign-in in their environment."""

    def __init__(self, sandbox: Sandbox, folder: Path, prices: str) -> None:
        self.sandbox = sandbox
        self.output = folder / "run"
        self._prices = prices
        values = {name: value for name, value in sandbox.variables.items() if not name.startswith("AKS_SANDBOX_")}
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **values}
        if "XDG_CACHE_HOME" in os.environ:
            self.environment["XDG_CACHE_HOME"] = os.environ["XDG_CACHE_HOME"]

    def arguments(self, *more: str) -> list[str]:
        place = ["--resource-group", self.sandbox.resource_group, "--cluster", self.sandbox.cluster]
        own = ["--python", sys.executable, "--prices-url", self._prices, "--settle", "4", "--output", str(self.output)]
        return [*place, *own, *more]

    def run(self, *more: str) -> tuple[int, str]:
        """To its end, without a terminal: the exit status and what it printed."""
        done = subprocess.run(
            [sys.executable, SCRIPT, *self.arguments(*more)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return done.returncode, done.stdout

    def at_a_terminal(self, answer: Callable[[subprocess.Popen[bytes], int], None]) -> tuple[int, str]:
        """At a terminal, on which something answers the question; the exit status and all that the terminal showed."""
        ours, theirs = pty.openpty()
        shown = b""
        with subprocess.Popen(
            [sys.executable, SCRIPT, *self.arguments()],
            env=self.environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        ) as process:
            os.close(theirs)
            answered = False
            with contextlib.suppress(OSError):  # a terminal whose programs have ended
                while data := os.read(ours, 65536):
                    shown += data
                    if b"Type yes:" in shown and not answered:
                        answered = True
                        answer(process, ours)
            status = process.wait(SECONDS)
            os.close(ours)
        return status, shown.decode().replace("\r\n", "\n")

    @property
    def recording(self) -> list[Json]:
        return [json.loads(line) for line in (self.output / "recording.jsonl").read_text().splitlines()]


@pytest.fixture
def first_run(sandbox: Sandbox, tmp_path: Path, prices: str) -> FirstRun:
    return FirstRun(sandbox, tmp_path, prices)


def objects(sandbox: Sandbox) -> str:
    """What the cluster has that somebody may have applied."""
    kinds = "namespaces,daemonsets,jobs,pods,configmaps"
    return sandbox.kubectl("get", kinds, "--all-namespaces", "--output=name")


def telling(sandbox: Sandbox) -> dict[str, str]:
    """What a recording must not tell, by where it is from: the sandbox's environment, the cluster, its kubeconfigs."""
    words = ("AKS_SANDBOX_LOCATION",)  # Azure's own, which stay
    told = {name: value for name, value in sandbox.variables.items() if len(value) > 5 and name not in words}
    told["host"] = urlsplit(sandbox.url).netloc
    cluster = sandbox.container_service("owner").managed_clusters.get(sandbox.resource_group, sandbox.cluster).as_dict()
    told |= {f"id {found}": found for found in GUID.findall(json.dumps(cluster))}
    properties = cluster["properties"]
    told |= {
        name: properties[name] for name in ("dnsPrefix", "fqdn", "azurePortalFQDN", "nodeResourceGroup", "resourceUID")
    }
    told |= {name: properties["networkProfile"][name] for name in ("podCidr", "serviceCidr", "dnsServiceIP")}
    told |= {name: name for name in ("firstrun", "nodepool1", "Contoso", "costCentre", "jdoe", "laptop", "203.0.113")}
    for admin in (False, True):
        kubeconfig = sandbox.kubeconfig(admin=admin)
        user = yaml.safe_load(kubeconfig)["users"][0]["user"]
        told |= {f"kubeconfig's {name}": str(value) for name, value in user.items()}
        told["kubeconfig's server"] = urlsplit(yaml.safe_load(kubeconfig)["clusters"][0]["cluster"]["server"]).netloc
        told["kubeconfig"] = base64.b64encode(kubeconfig.encode()).decode()[120:200]
    return told


def test_the_whole_run(sandbox: Sandbox, first_run: FirstRun) -> None:
    before = objects(sandbox)
    sandbox.act("cluster", cluster=sandbox.cluster, properties=OF_SOMEBODY, tags={"costCentre": "Contoso-Research"})
    told = telling(sandbox)

    def yes(_process: subprocess.Popen[bytes], terminal: int) -> None:
        assert sandbox.writes(mark) == [], "asked after something was changed"
        os.write(terminal, b"yes\n")

    mark = sandbox.mark()
    status, shown = first_run.at_a_terminal(yes)
    assert status == 0, shown
    assert shown.count("Type yes:") == 1
    asking = shown.partition("Type yes:")[0]
    assert "the node pool firstrun: 1 machine of the size Standard_NC4as_T4_v3" in asking
    assert "A Standard_NC4as_T4_v3 costs 0.53 USD an hour in westus2" in asking
    assert "roughly 0.26 USD" in asking
    assert Prices.asked[-1] == (
        "serviceName eq 'Virtual Machines' and armRegionName eq 'westus2' and armSkuName eq 'Standard_NC4as_T4_v3'"
        " and priceType eq 'Consumption'"
    )
    rows = re.findall(r"^  (site|site again|verify|cleanup) +(\w+), \d+ s, (\d+) changed", shown, re.MULTILINE)
    assert [(name, how) for name, how, _changed in rows] == [
        ("site", "ok"), ("site again", "ok"), ("verify", "ok"), ("cleanup", "ok")
    ]  # fmt: skip
    assert int(rows[0][2]) > 0
    assert rows[1][2] == "0"
    assert "Nothing that this run made is left." in shown
    assert set(pools(sandbox)) == {"nodepool1"}
    assert objects(sandbox) == before
    assert (first_run.output / "evidence" / "index.html").exists()

    file = first_run.output / "recording.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not file.with_name("recording.jsonl.names").exists()
    recorded = first_run.recording
    seen = [(each["method"], each["status"]) for each in recorded]
    assert {("GET", 200), ("GET", 404), ("PUT", 201), ("POST", 200), ("DELETE", 202)} <= set(seen)
    ours = [each for each in sandbox.traffic(mark) if "/subscriptions/" in each["url"]]
    assert len(ours) >= len(recorded) > 20
    sent = [each["request_body"] for each in recorded if each["method"] == "PUT"]
    assert [each["properties"]["vmSize"] for each in sent] == ["Standard_NC4as_T4_v3"]
    assert sent[0]["properties"]["nodeTaints"] == ["sku=gpu:NoSchedule"]
    text, unredacted = file.read_text(), json.dumps(ours)
    assert sum(value in unredacted for value in told.values()) > 20, "what is looked for was never in the traffic"
    assert {name: value for name, value in told.items() if value.casefold() in text.casefold()} == {}
    assert [found for found in GUID.findall(text) if not STAND_IN.fullmatch(found)] == []
    assert not re.search(r"eyJ[\w-]{8,}|BEGIN [A-Z ]+-----", text)
    sandbox.act("cluster", cluster=sandbox.cluster, properties=dict.fromkeys(OF_SOMEBODY), tags={})


def test_what_is_there_is_not_touched(sandbox: Sandbox, first_run: FirstRun) -> None:
    theirs = {"vmSize": "Standard_NC4as_T4_v3", "count": 1, "mode": "User", "tags": {"owner": "somebody-else"}}
    sandbox.container_service("owner").agent_pools.begin_create_or_update(
        sandbox.resource_group, sandbox.cluster, "firstrun", AgentPool({"properties": theirs})
    ).result()
    mark = sandbox.mark()
    status, shown = first_run.run("--yes")
    assert status == 2, shown
    assert "node pool firstrun exists already" in shown
    assert sandbox.writes(mark) == []
    assert pools(sandbox)["firstrun"]["properties"]["tags"] == {"owner": "somebody-else"}


def test_without_a_yes_nothing_is_changed(sandbox: Sandbox, first_run: FirstRun) -> None:
    mark = sandbox.mark()

    def hang_up(process: subprocess.Popen[bytes], _terminal: int) -> None:
        process.send_signal(signal.SIGHUP)

    status, shown = first_run.at_a_terminal(hang_up)
    assert (status, "before anything was changed" in shown) == (128 + signal.SIGHUP, True), shown
    assert sandbox.writes(mark) == []


def test_ctrl_c_twice_leaves_nothing(sandbox: Sandbox, first_run: FirstRun, tmp_path: Path) -> None:
    """As a terminal does it: make and all below it get the signal."""
    before = objects(sandbox)
    mark = sandbox.mark()
    with (
        (tmp_path / "shown").open("wb") as output,
        subprocess.Popen(
            ["make", "first-run", f"PYTHON={sys.executable}", f"ARGS={shlex.join(first_run.arguments('--yes'))}"],
            cwd=ROOT,
            env=first_run.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as make,
    ):
        deadline = time.monotonic() + SECONDS
        while not [each for each in sandbox.writes(mark) if each["method"] == "PUT" and "/agentPools/" in each["url"]]:
            assert make.poll() is None, (tmp_path / "shown").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(make.pid, signal.SIGINT)
        time.sleep(1.0)
        os.killpg(make.pid, signal.SIGINT)
        make.wait(SECONDS)
    shown = (tmp_path / "shown").read_text()
    assert "Nothing that this run made is left." in shown, shown
    assert re.search(r"^  site +interrupted", shown, re.MULTILINE)
    assert "Error 130" in shown
    assert set(pools(sandbox)) == {"nodepool1"}
    assert objects(sandbox) == before
    assert (first_run.output / "recording.jsonl").exists()


def test_what_cannot_be_removed_is_said_and_removed_later(sandbox: Sandbox, first_run: FirstRun) -> None:
    before = objects(sandbox)
    sandbox.fault("PUT", "agentPools/firstrun", operation={"code": "AllocationFailed", "message": "No capacity."})
    locked = {"error": {"code": "ScopeLocked", "message": f"{sandbox.resource_group} is locked."}}
    sandbox.fault("DELETE", "agentPools/firstrun", times=0, status=409, body=locked)
    status, shown = first_run.run("--yes")
    assert status == 3, shown
    assert re.search(r"LEFT: node pool firstrun is there \(\w+\), AND COSTS MONEY", shown)
    assert "AllocationFailed" in shown
    (words,) = re.findall(r"Remove it: make first-run ARGS='(.*)'", shown)
    assert "--clean-up" in shlex.split(words)
    failed = [each["response_body"] for each in first_run.recording if each["method"] == "DELETE"]
    assert failed[0]["error"] == {"code": "ScopeLocked", "message": "group-1 is locked."}

    sandbox.clear_faults()
    first_run.output = first_run.output.with_name("later")
    status, shown = first_run.run("--clean-up")
    assert status == 0, shown
    assert set(pools(sandbox)) == {"nodepool1"}
    assert objects(sandbox) == before
