# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The evidence of one cluster: a document of plain values, as ``docs/evidence.schema.json`` describes it.

Pure functions, but for those that read and write files.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._files import write_private
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import is_telling
from ansible_collections.aks.gpu.plugins.module_utils._evidence._checks import (
    FAULTY,
    UNSEEN,
    VERDICTS,
    Check,
    Expectations,
    Fields,
    Observations,
    checks_of,
    headline_of,
    verdict_of,
)

FORMAT, VERSION = "aks.gpu/evidence", 1
FOLDER = "clusters"
READABLE = 0o644
LOG_LINES = 20

BRIEF = 900
"""Bytes of the lines that are shown of a cluster, as Ansible prints them. Of an event, AWX's list shows 1,024 bytes
(its setting EVENT_STDOUT_MAX_BYTES_DISPLAY), and some of them are around the lines."""

BRIEF_LINE = 240
"""Characters of each of them."""

BRIEF_FRAME = 24
"""Bytes by which Ansible indents, colours and ends each of them."""

CONDITION = dict.fromkeys(("type", "status", "reason", "message"))
"""What a document has of a condition; null is what ``wait_for_gpus`` leaves out where it returns no details."""

Document = dict[str, Any]


class EvidenceError(Failure):
    """A file of evidence can't be read or written."""


def document(
    *,
    host: str,
    cluster: Mapping[str, str | None],
    node_pool: str,
    pool: Fields,
    asked: Expectations,
    found: Observations,
    failure: Fields | None,
    steps: Sequence[Fields],
    run: Mapping[str, str],
    now: str,
    metrics: Sequence[Fields] = (),
    own_node_pools: Sequence[str] | None = None,
    job_problems: Sequence[Fields] = (),
) -> Document:
    """Returns the evidence of one cluster.

    Args:
        host: The inventory host.
        cluster: ``subscription_id``, ``resource_group``, ``name``.
        node_pool: The name of the pool.
        pool: The pool as ``node_pool_info`` returns it; empty where it was not read.
        asked: What is asked for.
        found: What was found.
        failure: The step that failed, with ``step`` and ``message``, and ``problems`` where it told some.
        steps: What the run did so far.
        run: ``id`` and ``started``.
        now: The time of the record.
        metrics: Series to show besides, such as those of ``gpu_metrics_info``.
        own_node_pools: The node pools of the cluster that aks.gpu created; None where they were not read.
        job_problems: What ``wait_for_job`` told of a Job that is complete.
    """
    checks = checks_of(asked, found)
    if failure is not None and _is_judged(failure, checks):
        failure = None
    verdict = verdict_of(asked, found, checks, failure is not None)
    wrong = [check.line for check in checks if check.holds is False]
    told = None if failure is None else _failure_text(failure)
    name = cluster.get("name") or host
    problems = [*(found.gpus.get("problems") or []), *job_problems, *(told["problems"] if told else [])]
    return {
        "format": FORMAT,
        "format_version": VERSION,
        "run": dict(run),
        "recorded_at": now,
        "id": identity_of(host, cluster),
        "host": host,
        "cluster": {
            "subscription_id": cluster.get("subscription_id") or _subscription(pool),
            "resource_group": cluster.get("resource_group") or None,
            "name": name,
        },
        "gpu_stack": asked.gpu_stack,
        "asked": {
            "probe": asked.probe == "asked",
            "shared": asked.shared,
            "job": asked.job or None,
            "training": asked.training,
            "minimum_accuracy": asked.minimum_accuracy,
        },
        "node_pool": {
            "name": node_pool,
            **{key: pool.get(key) for key in ("vm_size", "count", "provisioning_state", "orchestrator_version")},
        },
        "own_node_pools": None if own_node_pools is None else list(own_node_pools),
        "verdict": verdict,
        "headline": headline_of(name, verdict, asked, found, told, wrong),
        "checks": [check.as_result() for check in checks],
        "failure": told,
        "problems": _distinct_values(_problem(problem) for problem in problems),
        "not_looked_at": list(found.gpus.get("not_looked_at") or []),
        "nodes": _nodes(found),
        "job": _job_document(found.job) if found.job.get("exists") else None,
        "steps": [dict(step) for step in steps],
        "metrics": [dict(series) for series in metrics],
    }


def identity_of(host: str, cluster: Mapping[str, str | None]) -> str:
    """Returns a word that is the same for the same cluster in each run, by what the run was told of it.

    Args:
        host: The inventory host.
        cluster: As the options name it, not as Azure does: a run that fails early does not get so far.
    """
    parts = [host, *(str(cluster.get(key) or "").lower() for key in ("subscription_id", "resource_group", "name"))]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def evidence_without_record(
    host: str, known: Document | None, steps: Sequence[Fields], run: Mapping[str, str], now: str
) -> Document:
    """Returns the evidence of a host that was to be looked at, and of which the run left none.

    Args:
        host: The inventory host.
        known: What an earlier run wrote of it, which says which cluster it is; None where none did.
        steps: What the run did so far.
        run: ``id`` and ``started``.
        now: The time of the record.
    """
    failed = [step for step in steps if step["outcome"] == "failed"]
    message = (failed[-1]["message"] if failed else "") or (
        "It left no evidence: the run ended, or failed, before this cluster could be looked at."
    )
    step = failed[-1]["name"] if failed else (steps[-1]["name"] if steps else "Start")
    evidence = document(
        host=host,
        cluster=known["cluster"] if known else {"name": host},
        node_pool="",
        pool={},
        asked=Expectations(gpu_stack=""),
        found=Observations(),
        failure={"step": step, "message": message},
        steps=steps,
        run=run,
        now=now,
    )
    return {**evidence, "id": known["id"]} if known else evidence


def _subscription(pool: Fields) -> str | None:
    match = re.match(r"/subscriptions/([^/]+)/", str(pool.get("id") or ""), re.IGNORECASE)
    return match.group(1) if match else None


def _is_judged(failure: Fields, checks: Iterable[Check]) -> bool:
    """Says whether a step failed only for what an assertion states: that the accuracy is too low."""
    causes = {problem.get("cause") for problem in failure.get("problems") or [] if problem.get("permanent")}
    refuted = any(check.name == "accuracy" and check.holds is False for check in checks)
    return refuted and bool(causes) and causes <= {"AccuracyTooLow", "AccuracyNotTold"}


def _failure_text(failure: Fields) -> dict[str, Any]:
    return {
        "step": str(failure.get("step") or "a step without a name"),
        "message": str(failure.get("message") or "it says no more"),
        "problems": [_problem(problem) for problem in failure.get("problems") or []],
    }


def _problem(problem: Fields) -> dict[str, Any]:
    texts = {key: str(problem.get(key) or "") for key in ("subject", "cause", "message", "advice")}
    return {**texts, "log_tail": [str(line) for line in problem.get("log_tail") or []]}


def _distinct_values(problems: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({(problem["subject"], problem["cause"], problem["message"]): problem for problem in problems}.values())


def _nodes(found: Observations) -> list[dict[str, Any]]:
    probes = {probe["node"]: probe for probe in found.probes}
    counts = ("name", "vm_size", "ready", "capacity", "allocatable", "in_use")
    kept = (*counts, "node_pool", "device_plugin", "gpus_from", "node_image_version", "kubelet_version")
    return [
        {
            **{key: node.get(key) for key in kept},
            "conditions": [{**CONDITION, **each} for each in node.get("conditions") or [] if is_telling(each)],
            "driver_version": (probes.get(node["name"]) or {}).get("driver_version"),
            "cuda_version": (probes.get(node["name"]) or {}).get("cuda_version"),
            "probe": _probe(probes.get(node["name"])),
        }
        for node in found.nodes
    ]


def _probe(probe: Fields | None) -> dict[str, Any] | None:
    if probe is None:
        return None
    return {key: probe.get(key) for key in ("asked", "held", "seen", "passed", "works", "devices", "problem")}


def _job_document(job: Fields) -> dict[str, Any]:
    state = ("name", "namespace", "complete", "completions", "succeeded", "failed", "start_time", "completion_time")
    log = ("node_pool", "log_state", "log_problem")
    kept = (*state, "duration_seconds", "accuracy_first", "accuracy_last", "accuracy_best", *log)
    of_pod = ("name", "node", "phase", "node_pool", "vm_size", "node_is_there")
    return {
        **{key: job.get(key) for key in kept},
        "pods": [{key: pod.get(key) for key in of_pod} for pod in job.get("pods") or []],
        "devices": [dict(device) for device in job.get("devices") or []],
        "accuracy": [_informational(point) for point in job.get("accuracy") or []],
        "log_tail": [str(line) for line in job.get("log_tail") or []][-LOG_LINES:],
    }


def _informational(point: Fields | Sequence[Any]) -> dict[str, Any]:
    """Returns what was told at a step, of which ``wait_for_job`` makes a pair where it returns no details."""
    return dict(point) if isinstance(point, Mapping) else dict(zip(("step", "accuracy"), point, strict=True))


def lines_of(evidence: Document) -> list[str]:
    """Returns evidence as lines for a terminal: the verdict, what does not hold, nodes, versions, Job, what holds."""
    return [evidence["headline"], *_schema_problems(evidence), *_found(evidence), *_right(evidence)]


def brief_of(evidence: Document, failed_step: str | None = None) -> list[str]:
    """Returns the verdict and what it rests on, in the first lines of what there is to say.

    A step that failed has said why by itself: here it is only named.

    Args:
        evidence: The document.
        failed_step: The step that failed, also where an assertion states the same and the document has no failure.
    """
    failure, name = evidence["failure"], evidence["cluster"]["name"]
    head = evidence["headline"]
    step = failure["step"] if failure else failed_step
    if step:
        head = f"{name} {VERDICTS[evidence['verdict']]}. The step that failed says why: {step}"
    checks = evidence["checks"]
    holding = sum(check["holds"] is True for check in checks)
    lines = [head]
    judged = sum(check["holds"] is not None for check in checks)
    lines += [f"ok   {holding} of {judged} checks hold"] * bool(checks)
    lines += [*([] if step else _notes(evidence)), *_found(evidence)]
    shown = [cut(line, BRIEF_LINE) for line in lines]
    sizes = itertools.accumulate(len(json.dumps(line)) + BRIEF_FRAME for line in shown)
    return [line for line, size in zip(shown, sizes, strict=True) if size <= BRIEF]


def _schema_problems(evidence: Document) -> list[str]:
    return [*(f"FAIL {check['line']}" for check in evidence["checks"] if check["holds"] is False), *_notes(evidence)]


def _notes(evidence: Document) -> list[str]:
    lines = []
    for problem in evidence["problems"]:
        lines.append(f"note: {problem['subject']}: {problem['message']}")
        lines += [f"      {problem['advice']}"] * bool(problem["advice"])
    return lines


def _right(evidence: Document) -> list[str]:
    marks = {True: "ok  ", None: "    "}
    return [f"{marks[check['holds']]} {check['line']}" for check in evidence["checks"] if check["holds"] is not False]


def _found(evidence: Document) -> list[str]:
    row = "{:<34} {:<24} {:<5} {}".format
    lines = [row("NODE", "SIZE", "GPUS", "NODE IMAGE")] if evidence["nodes"] else []
    for node in evidence["nodes"]:
        lines.append(row(node["name"], node["vm_size"] or "-", node["allocatable"], node["node_image_version"] or "-"))
    for node in evidence["nodes"]:
        held = node["probe"]["held"] if node["probe"] else 0
        holding = f", {held} GPU(s) held by other work" if held else ""
        if node["driver_version"]:
            lines.append(f"{node['name']}: driver {node['driver_version']}, CUDA up to {node['cuda_version']}{holding}")
    job = evidence["job"]
    if job:
        pods = ", ".join(str(pod["name"]) for pod in job["pods"])
        lines.append(row("JOB", "COMPLETIONS", "TOOK", "POD"))
        completions = f"{job['succeeded']}/{job['completions']}"
        lines.append(row(job["name"], completions, took(job["duration_seconds"] or 0), pods))
        for device in job["devices"]:
            capability = device.get("compute_capability")
            parts = [device["name"], capability and f"compute capability {capability}"]
            parts += [device.get("memory"), device.get("bus_id")]
            lines.append(f"device found: {', '.join(str(part) for part in parts if part)}")
        if job["accuracy"]:
            told = f"first {job['accuracy_first']}, last {job['accuracy_last']}, best {job['accuracy_best']}"
            lines.append(f"accuracy: {told}, {len(job['accuracy'])} steps told")
    return lines


def cut(text: str, most: int) -> str:
    """Returns a text on one line, and of a longer one the beginning."""
    line = " ".join(text.split()) if "\n" in text else text
    return line if len(line) <= most else f"{line[: most - 1]}…"


def took(seconds: float) -> str:
    """Returns a duration as kubectl says it: ``5s``, ``3m20s``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def path_of(directory: str, evidence: Document) -> Path:
    """Returns the file of a cluster's evidence: the same in each run, another one for each cluster and host."""
    word = re.sub(r"[^A-Za-z0-9._-]+", "-", str(evidence["cluster"]["name"]))[:60].strip(".-") or "cluster"
    return Path(directory) / FOLDER / f"{word}-{evidence['id']}.json"


def write(directory: str, evidence: Document) -> str:
    """Writes a cluster's evidence, and returns the path.

    Raises:
        EvidenceError: The directory can't be written.
    """
    path = path_of(directory, evidence)
    text = json.dumps(evidence, indent=1, ensure_ascii=True) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, text, mode=READABLE)
    except OSError as error:
        raise EvidenceError(f"The evidence can't be written to {path}: {error.strerror or error}.") from error
    return str(path)


def read_documents(directories: Iterable[str]) -> list[Document]:
    """Reads all evidence of directories; of two about the same cluster the younger one counts.

    Args:
        directories: Each as an option ``directory`` named it, or a folder with the files themselves.

    Raises:
        EvidenceError: A directory or a file can't be read, or is no evidence of a version that is known here.
    """
    youngest: dict[str, Document] = {}
    for directory in directories:
        folder = Path(directory)
        if not folder.is_dir():
            raise EvidenceError(f"There is no directory {directory}.")
        inner = folder / FOLDER
        for path in sorted((inner if inner.is_dir() else folder).glob("*.json")):
            evidence = _read_document(path)
            if evidence is None:
                continue
            key = str(evidence["id"])
            if key not in youngest or youngest[key]["recorded_at"] < evidence["recorded_at"]:
                youngest[key] = evidence
    return sorted(youngest.values(), key=lambda each: (str(each["cluster"]["name"]).lower(), each["host"]))


def _read_document(path: Path) -> Document | None:
    try:
        evidence = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvidenceError(f"{path} can't be read: {error}.") from error
    if not isinstance(evidence, dict) or evidence.get("format") != FORMAT:
        return None
    if evidence.get("format_version") != VERSION:
        raise EvidenceError(
            f"{path} is evidence of version {evidence.get('format_version')}; only version {VERSION} is known here.",
            hint="Take the release of aks.gpu that wrote it, or a newer one.",
        )
    return evidence


def summary_of(evidence: Sequence[Document]) -> dict[str, Any]:
    """Returns how many clusters have which verdict, and which ones do not work: small, for a workflow's next step."""
    counts = {verdict: sum(each["verdict"] == verdict for each in evidence) for verdict in VERDICTS}
    bad = [each for each in evidence if each["verdict"] in (FAULTY, UNSEEN)]
    nodes = [node for each in evidence for node in each["nodes"]]
    probes = [node["probe"] for node in nodes if node["probe"]]
    return {
        "clusters": len(evidence),
        **counts,
        "nodes": len(nodes),
        "gpus": sum(int(node["allocatable"] or 0) for node in nodes),
        "gpus_passed": sum(int(probe["passed"] or 0) for probe in probes),
        "gpus_held": sum(int(probe["held"] or 0) for probe in probes),
        "failed": [
            {"host": each["host"], "cluster": each["cluster"]["name"], "headline": each["headline"]} for each in bad
        ],
    }
