# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPU metrics of a fleet: requests and seconds for 500 clusters over 3 workspaces, and one cluster for comparison.

The module runs in this process, on an emulated Azure without Kubernetes. What is counted are the requests that Azure
got; what is timed is the module, which waits for the emulated Log Analytics, an engine in Python: the seconds tell how
the module grows with a fleet, not how fast Azure is.

    python bench/metrics.py [--clusters 500] [--workspaces 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("tests/integration", "tests/sandbox", "tests/tools", ".dev/collections")]

Json = dict[str, Any]

KINDS = {
    "/query": "queries of Log Analytics",
    "/managedclusters": "LIST of clusters",
    "/token": "tokens",
    "/endpoints": "metadata of the cloud",
    "/openid-configuration": "configuration of the sign-in",
}


def kind_of(url: str) -> str:
    path = url.partition("?")[0].lower()
    for end, kind in KINDS.items():
        if path.endswith(end):
            return kind
    if "/workspaces/" in path:
        return "GET of a workspace"
    return "GET of a cluster" if "/managedclusters/" in path else "others"


def measured(run: Any, sandbox: Any, options: Json) -> Json:
    mark = sandbox.mark()
    began = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        found = run("gpu_metrics_info", options)
    seconds = time.perf_counter() - began
    assert not found["failed"], found["msg"]
    requests = Counter(kind_of(each["url"]) for each in sandbox.traffic(mark))
    return {
        "clusters": len(found["clusters"]),
        "series": len(found["metrics"]),
        "points": sum(len(each["points"]) for each in found["metrics"]),
        "rows": sum(each["rows"] for each in found["queries"]),
        "seconds": round(seconds, 2),
        "requests": dict(sorted(requests.items())),
        "capacity": sum(each["capacity"] or 0 for each in found["clusters"]),
        "longest_query_bytes": max(len(each["query"]) for each in found["queries"]),
    }


def import_seconds(statement: str) -> float:
    """Processor time of a fresh interpreter, less that of one that imports nothing; the best of five."""

    def best(code: str) -> float:
        times = []
        for _unused in range(5):
            before = os.times()
            subprocess.run([sys.executable, "-c", code], check=True)
            after = os.times()
            times.append(after.children_user + after.children_system - before.children_user - before.children_system)
        return min(times)

    return best(statement) - best("pass")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, default=500)
    parser.add_argument("--workspaces", type=int, default=3)
    parser.add_argument("--minutes", type=int, default=15, help="of metrics, one sample a minute")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    from aks_sandbox.testing import Sandbox
    from module_runner import run
    from monitoring_harness import POOL, Monitored, monitoring_environment

    settings = {"clock_speed": 1000.0, "metrics_interval_seconds": 86400.0}
    with Sandbox.started("bench-metrics", clusters=options.clusters, kubernetes=False, settings=settings) as sandbox:
        os.environ.update(monitoring_environment(sandbox))
        clusters = [
            Monitored(sandbox, f"{sandbox.cluster}{number if number > 1 else ''}")
            for number in range(1, options.clusters + 1)
        ]
        workspaces = [clusters[0].workspace(f"logs-{number}") for number in range(options.workspaces)]
        rules = [
            clusters[0].put(
                "Microsoft.Insights/dataCollectionRules",
                f"rule-{number}",
                "2022-06-01",
                properties={
                    "destinations": {"logAnalytics": [{"name": "to", "workspaceResourceId": workspace["id"]}]},
                    "dataFlows": [{"streams": ["Microsoft-ContainerInsights-Group-Default"], "destinations": ["to"]}],
                },
            )
            for number, workspace in enumerate(workspaces)
        ]
        for number, cluster in enumerate(clusters):
            place = number % options.workspaces
            cluster.arm.session = clusters[0].arm.session
            cluster.arm.ask("PUT", f"{cluster.path}/agentPools/gpunp", {"properties": POOL})
            path = (
                f"{cluster.path}/providers/Microsoft.Insights/dataCollectionRuleAssociations/ContainerInsightsExtension"
            )
            cluster.arm.ask("PUT", path, {"properties": {"dataCollectionRuleId": rules[place]["id"]}}, "2022-06-01")
            profile = {"enabled": True, "logAnalyticsWorkspaceResourceId": workspaces[place]["id"]}
            sandbox.act(
                "cluster", cluster=cluster.name, properties={"azureMonitorProfile": {"containerInsights": profile}}
            )
            sandbox.act("gpu_pod", cluster=cluster.name, pool="gpunp", name="trainer", gpus=1)
        time.sleep(2.0)
        for cluster in clusters:
            sandbox.act("metrics_history", cluster=cluster.name, minutes=options.minutes)
        asked = {"sources": ["container_insights"], "since": f"{options.minutes + 10}m", "interval": "5m"}
        one = measured(run, sandbox, {**clusters[0].place, **asked})
        fleet = measured(run, sandbox, {"clusters": [each.place for each in clusters], **asked})
    result = {
        "one cluster": one,
        f"{options.clusters} clusters, {options.workspaces} workspaces": fleet,
        "import seconds": {
            "what gpu_metrics_info needs (azure-core, azure-identity)": round(
                import_seconds("import azure.core.rest, azure.identity"), 3
            ),
        },
    }
    with contextlib.suppress(subprocess.CalledProcessError):
        result["import seconds"]["with azure-monitor-query"] = round(
            import_seconds("import azure.core.rest, azure.identity, azure.monitor.query"), 3
        )
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    assert fleet["requests"]["queries of Log Analytics"] == options.workspaces


if __name__ == "__main__":
    main()
