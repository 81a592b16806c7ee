# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two modules: one leaves the evidence of a cluster, the other makes one report of all that is there.

A report is a record of what was seen, like a log, and no state of anything: nothing is reported as changed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._files import locked, write_private
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._ansible._run_log import run_of, steps_of, time_text
from ansible_collections.aks.gpu.plugins.module_utils._azure._ownership import is_created_by_us
from ansible_collections.aks.gpu.plugins.module_utils._evidence._checks import (
    FAULTY,
    UNSEEN,
    Expectations,
    Observations,
)
from ansible_collections.aks.gpu.plugins.module_utils._evidence._document import (
    READABLE,
    Document,
    EvidenceError,
    brief_of,
    cut,
    document,
    evidence_without_record,
    lines_of,
    read_documents,
    summary_of,
    write,
)
from ansible_collections.aks.gpu.plugins.module_utils._evidence._junit import junit_of
from ansible_collections.aks.gpu.plugins.module_utils._evidence._page import PageFiles, page_of

SERIES = {
    "name": {"type": "str", "required": True},
    "unit": {"type": "str", "default": ""},
    "dimensions": {"type": "dict", "default": {}},
    "points": {"type": "list", "elements": "list", "required": True},
}
EVIDENCE_ARGUMENTS = ArgumentSpec(
    options={
        "host": {"type": "str", "required": True},
        "directory": {"type": "path"},
        "subscription_id": {"type": "str"},
        "resource_group": {"type": "str"},
        "cluster_name": {"type": "str"},
        "gpu_stack": {"type": "str", "default": "device_plugin"},
        "node_pool": {"type": "str"},
        "pool": {"type": "dict"},
        "pools": {"type": "list", "elements": "dict"},
        "gpus": {"type": "dict"},
        "probe": {"type": "dict"},
        "job": {"type": "dict"},
        "probe_requested": {"type": "bool", "default": True},
        "shared": {"type": "bool", "default": False},
        "job_name": {"type": "str"},
        "training": {"type": "bool", "default": False},
        "minimum_accuracy": {"type": "float"},
        "failed_step": {"type": "str"},
        "failed_result": {"type": "dict"},
        "predicted": {"type": "bool", "default": False},
        "return_document": {"type": "bool", "default": True},
        "metrics": {"type": "list", "elements": "dict", "options": SERIES},
    }
)
NAMED_POOL = {
    "resource_group": {"type": "str", "required": True},
    "cluster_name": {"type": "str", "required": True},
    "node_pool": {"type": "str"},
}
EVIDENCE_REPORT_ARGUMENTS = ArgumentSpec(
    options={
        "directory": {"type": "path"},
        "sources": {"type": "list", "elements": "path"},
        "hosts": {"type": "list", "elements": "str"},
        "only_if_all_failed": {"type": "list", "elements": "str"},
        "run": {"type": "str"},
        "job": {"type": "str"},
        "return_details": {"type": "bool", "default": True},
        "named_pools": {"type": "list", "elements": "dict", "options": NAMED_POOL},
    }
)


PAGE, JUNIT, SUMMARY, LOCK = "index.html", "junit.xml", "summary.json", ".lock"
PRIVATE_FOLDER = "aks-gpu-evidence"
FAILED = "aks-gpu-failed"
"""Folder in the private directory of the run: an empty file for each inventory host that failed."""
LONGEST_REASON = 200
"""Characters of what is said of a cluster in the lines about all of them: its own task has said all."""

HANDED_ON = "aks_gpu_summary"
"""Variable that a run hands to what comes next in a workflow."""

MOST_NAMED = 50
"""So many clusters are named in the summary that is returned; the file names all of them."""


def plan_evidence(task: Task) -> Plan:
    """Plans to judge a cluster by what was found, and to leave the evidence.

    Args:
        task: Its options are those of the module ``evidence``.
    """
    params = task.params
    asked = Expectations(
        gpu_stack=params["gpu_stack"],
        probe="asked" if params["probe_requested"] else "nobody asked for it",
        job=params["job_name"] or "",
        training=params["training"],
        minimum_accuracy=params["minimum_accuracy"],
        shared=params["shared"],
        node_pool=params["node_pool"] or "",
    )
    waited = params["job"] or {}
    job = waited.get("job") or {}
    found = Observations(gpus=params["gpus"] or {}, probe=params["probe"] or {}, job=job)
    failure = _failed_step(params["failed_step"], params["failed_result"] or {})
    if params["predicted"] and failure is None and not _is_there(asked, found):
        line = f"{params['cluster_name'] or params['host']}: predicted only, so there is nothing to look at yet"
        nothing: dict[str, Any] = {
            "verdict": "predicted",
            "headline": line,
            "checks": [],
            "lines": [line],
            "brief": [line],
            "evidence": {},
            "path": None,
        }
        return Plan(changed=False, result=nothing)
    evidence = document(
        host=params["host"],
        cluster={
            "subscription_id": params["subscription_id"],
            "resource_group": params["resource_group"],
            "name": params["cluster_name"],
        },
        node_pool=params["node_pool"] or "",
        pool=params["pool"] or {},
        asked=asked,
        found=found,
        failure=failure,
        steps=steps_of(task.run_directory, params["host"]),
        run=run_of(task.run_directory),
        now=time_text(time.time()),
        metrics=params["metrics"] or [],
        own_node_pools=_own_node_pools(params["pools"]),
        job_problems=[] if waited.get("failed") else waited.get("problems") or [],
    )
    directory = _directory(params["directory"], task.run_directory)
    returned = _evidence_result(evidence, params["failed_step"], params["return_document"])

    def leave() -> dict[str, Any]:
        if task.run_directory and evidence["verdict"] in (FAULTY, UNSEEN):
            _probe_mark(task.run_directory, params["host"])
        path = write(directory, evidence)
        return {**returned, "path": path if params["return_document"] else None}

    return Plan(changed=False, result=returned, apply=leave)


def _own_node_pools(pools: Sequence[Mapping[str, Any]] | None) -> list[str] | None:
    """Returns which of a cluster's node pools have the mark of this collection.

    Args:
        pools: What ``node_pool`` returned of them, which says so as ``own``, or ``node_pool_info``, with their tags.
    """
    if pools is None:
        return None
    marked = (pool for pool in pools if pool.get("own", is_created_by_us(pool.get("tags"))))
    return sorted(str(pool["name"]) for pool in marked)


def _failed_step(step: str | None, result: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns a step that failed, with the problems that it told, also those of probes.

    What is wrong with the wish for a node pool is text, and stands in the message too.
    """
    if step is None:
        return None
    problems = [dict(problem) for problem in result.get("problems") or [] if isinstance(problem, Mapping)]
    for probe in result.get("probes") or []:
        if probe.get("problem"):
            subject, log = f"Node {probe['node']}", probe.get("log_tail") or []
            problems.append({"subject": subject, "cause": "Probe", "message": probe["problem"], "log_tail": log})
    return {"step": step, "message": result.get("msg"), "problems": problems}


def _is_there(asked: Expectations, found: Observations) -> bool:
    return bool(found.gpus.get("gpus_ready")) and (not asked.job or bool(found.job.get("complete")))


def _evidence_result(evidence: Document, failed_step: str | None, with_document: bool) -> dict[str, Any]:
    brief = brief_of(evidence, failed_step)
    told = {"verdict": evidence["verdict"], "headline": evidence["headline"], "brief": brief, "path": None}
    if not with_document:
        shown = brief[:1] if evidence["verdict"] in (FAULTY, UNSEEN) else brief
        return {**told, "brief": shown, "checks": [], "lines": [], "evidence": {}}
    return {**told, "checks": evidence["checks"], "lines": lines_of(evidence), "evidence": evidence}


def _directory(asked: str | None, run_directory: str | None) -> str:
    if asked:
        return asked
    if run_directory is None:
        raise EvidenceError(
            "There is no directory for the evidence: this task does not run where Ansible does.",
            hint="Set the option directory.",
        )
    return str(Path(run_directory) / PRIVATE_FOLDER)


def _probe_mark(run_directory: str, host: str) -> None:
    marker = _marker(run_directory, host)
    marker.parent.mkdir(mode=0o700, exist_ok=True)
    marker.touch()


def _marker(run_directory: str, host: str) -> Path:
    return Path(run_directory) / FAILED / hashlib.sha256(host.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def plan_evidence_report(task: Task) -> Plan:
    """Plans one report of all evidence of some directories.

    Args:
        task: Its options are those of the module ``evidence_report``.
    """
    params, run_directory = task.params, task.run_directory
    hosts = params["hosts"] or []
    directory = _directory(params["directory"], run_directory)
    going = params["only_if_all_failed"] or []
    if _are_going(run_directory, going) or (going and not _is_first(run_directory, going)):
        return Plan(changed=False, result=_reported([], "", None, params))
    run = run_of(run_directory)
    there = params["sources"] or ([directory] if Path(directory).is_dir() else [])
    evidence = read_documents(there)
    missing = _missing_hosts(hosts, evidence, run, run_directory)
    replaced = {each["id"] for each in missing}
    evidence = [*(each for each in evidence if each["id"] not in replaced), *missing]
    files = _Files(Path(directory), _page_files(task)) if params["directory"] else None
    left = _left_behind([each for each in evidence if each["run"]["id"] == run["id"]], params["named_pools"])

    def make() -> dict[str, Any]:
        for each in missing:
            write(directory, each)
        if files:
            files.write(evidence, run["id"], left)
        return _reported(evidence, run["id"], files, params, left)

    return Plan(changed=False, result=_reported(evidence, run["id"], files, params, left), apply=make)


def _are_going(run_directory: str | None, hosts: Iterable[str]) -> bool:
    """Returns whether one of these hosts has not failed; where nobody keeps account of that, none is going."""
    return run_directory is not None and not all(_marker(run_directory, host).exists() for host in hosts)


def _is_first(run_directory: str | None, hosts: Iterable[str]) -> bool:
    """Says whether no other host that failed at the same task makes the report of these hosts already."""
    if run_directory is None:
        return True
    word = hashlib.sha256("\0".join(sorted(hosts)).encode("utf-8", "surrogatepass")).hexdigest()[:24]
    try:
        (Path(run_directory) / FAILED / f"{word}.reported").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _missing_hosts(
    hosts: Iterable[str], evidence: Sequence[Document], run: Mapping[str, str], run_directory: str | None
) -> list[Document]:
    left = {each["host"] for each in evidence if each["run"]["id"] == run["id"]}
    known = {each["host"]: each for each in evidence}
    now = time_text(time.time())
    return [
        evidence_without_record(host, known.get(host), steps_of(run_directory, host), run, now)
        for host in hosts
        if host not in left
    ]


def _page_files(task: Task) -> PageFiles:
    if "page" not in task.handed_down:
        raise EvidenceError("The module evidence_report runs without its action plugin, which hands the page down.")
    return PageFiles(**task.handed_down["page"])


class _Files:
    """The report's files."""

    def __init__(self, directory: Path, page_files: PageFiles) -> None:
        self.page = directory / PAGE
        self.junit = directory / JUNIT
        self.summary = directory / SUMMARY
        self._directory = directory
        self._page_files = page_files

    def write(self, evidence: Sequence[Document], run: str, left: Sequence[Mapping[str, str]]) -> None:
        """Writes them.

        Raises:
            EvidenceError: One of them can't be written.
        """
        head = {"format": "aks.gpu/evidence-summary", "format_version": 1}
        summary = {**head, **summary_of(evidence), "left_behind": [*left]}
        texts = {
            self.page: page_of(evidence, run, self._page_files),
            self.junit: junit_of(evidence),
            self.summary: json.dumps(summary, indent=1) + "\n",
        }
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with locked(self._directory / LOCK):
                for path, text in texts.items():
                    write_private(path, text, mode=READABLE)
        except OSError as error:
            reason = error.strerror or error
            raise EvidenceError(f"The report can't be written to {self._directory}: {reason}.") from error


def _left_behind(evidence: Sequence[Document], named_pools: Sequence[Mapping[str, Any]] | None) -> list[dict[str, str]]:
    """Returns the node pools that this collection created and that no host names any more.

    Of a cluster one of whose hosts has no name of a pool that can be read, nothing is said.

    Args:
        evidence: What this run left. The hosts of it count with the pools that they looked at.
        named_pools: The pools that the hosts of the inventory name; None where that is not known.
    """
    if named_pools is None:
        return []
    named: dict[tuple[str, str], set[str | None]] = {}
    for each in named_pools:
        place = _evidence_path(each["resource_group"], each["cluster_name"])
        named.setdefault(place, set()).add(each["node_pool"].lower() if each["node_pool"] else None)
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for each in evidence:
        named.setdefault(_evidence_path(**_cluster_of(each)), set()).add(str(each["node_pool"]["name"]).lower())
    for each in evidence:
        place = _evidence_path(**_cluster_of(each))
        pools = named[place]
        for pool in each.get("own_node_pools") or () if None not in pools else ():
            if pool.lower() not in pools:
                group, name = str(each["cluster"]["resource_group"] or ""), str(each["cluster"]["name"])
                found[(*place, pool)] = {"resource_group": group, "cluster": name, "node_pool": pool}
    return list(found.values())


def _cluster_of(evidence: Document) -> dict[str, str | None]:
    return {key: evidence["cluster"][key] for key in ("resource_group", "name")}


def _evidence_path(resource_group: str | None, name: str | None) -> tuple[str, str]:
    return str(resource_group or "").lower(), str(name or "").lower()


def _note(left: Mapping[str, str]) -> str:
    pool, cluster = left["node_pool"], left["cluster"]
    return (
        f"note: node pool {pool} of cluster {cluster} was created by aks.gpu, and no host of this inventory names it. "
        f"If nothing needs it, aks.gpu.cleanup with node_pool_name: {pool} removes it."
    )


def _reported(
    evidence: Sequence[Document],
    run: str,
    files: _Files | None,
    params: Mapping[str, Any],
    left: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    summary = summary_of(evidence)
    documents = [each for each in evidence if each["run"]["id"] == run]
    of_run = summary_of(documents)
    run_summary = {**of_run, "failed": of_run["failed"][:MOST_NAMED]}
    notes = [_note(each) for each in left[:MOST_NAMED]]
    # What ansible.builtin.set_stats returns, by which Ansible keeps it for the end of the run.
    data = handed_on(run_summary, documents, params["run"], params["job"])
    stats = {"data": data, "per_host": False, "aggregate": True}
    return {
        **({"ansible_stats": stats} if evidence else {}),
        "made": bool(evidence),
        **_details(summary, run_summary, _lines(of_run), notes, params["return_details"]),
        "left_behind": [dict(each) for each in left],
        "shown": _shown_lines(of_run, notes, files),
        "page": str(files.page) if files else None,
        "junit": str(files.junit) if files else None,
        "summary_file": str(files.summary) if files else None,
    }


def _details(
    summary: Mapping[str, Any], of_run: Mapping[str, Any], lines: list[str], notes: list[str], wanted: bool
) -> dict[str, Any]:
    """Returns what is shown, or handed on, in another form; empty where no details are wanted."""
    if not wanted:
        return {"summary": {}, "run_summary": {}, "lines": [], "notes": []}
    named = {**summary, "failed": summary["failed"][:MOST_NAMED]}
    return {"summary": named, "run_summary": of_run, "lines": lines, "notes": notes}


def handed_on(
    summary: Mapping[str, Any], evidence: Sequence[Document], run: str | None, job: str | None
) -> dict[str, Any]:
    """Returns the variables that a run hands to what comes next in a workflow.

    A workflow of AWX keeps one value for each variable: of jobs that set the same one, such as slices, the last wins.
    So a job of AWX says what became of its hosts in a variable of its own as well, with the verdicts and no reasons.
    Source: get_effective_artifacts of https://github.com/ansible/awx/blob/24.6.1/awx/main/models/workflow.py

    Args:
        summary: The summary of the run.
        evidence: What the run has found.
        run: The name of the run, or None.
        job: The number of the job, or None outside of AWX.
    """
    verdicts = {each["host"]: each["verdict"] for each in evidence}
    counts = {name: value for name, value in summary.items() if name != "failed"}
    return {
        HANDED_ON: dict(summary),
        **({f"{HANDED_ON}_{job}": {**counts, "hosts": verdicts}} if job and job.isdecimal() else {}),
        **({"aks_gpu_run": run} if run else {}),
    }


def _shown_lines(summary: Mapping[str, Any], notes: Sequence[str], files: _Files | None) -> list[str]:
    """Returns what a person has not seen yet: of a single cluster, its own verdict has said all."""
    lines = [*(_lines(summary) if summary["clusters"] > 1 else []), *notes]
    return [*lines, f"The report: {files.page}", f"JUnit XML: {files.junit}"] if files else lines


def _lines(summary: Mapping[str, Any]) -> list[str]:
    """Returns what there is to say about a run, for a terminal."""
    if not summary["clusters"]:
        return []
    good = summary["clusters"] - summary[FAULTY] - summary[UNSEEN]
    lines = [cut(each["headline"], LONGEST_REASON) for each in summary["failed"][:MOST_NAMED]]
    if len(summary["failed"]) > MOST_NAMED:
        lines.append(f"and {len(summary['failed']) - MOST_NAMED} more")
    end = f"{good} of {summary['clusters']} clusters work, {summary['gpus']} GPU(s) on {summary['nodes']} node(s)"
    return [*lines, end]
