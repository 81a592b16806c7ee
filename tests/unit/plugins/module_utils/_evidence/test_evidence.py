# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster is judged by, and evidence of any content as a document, a page and JUnit XML."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import re
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema  # type: ignore[import-untyped]
import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible import _run_log
from ansible_collections.aks.gpu.plugins.module_utils._evidence import _page
from ansible_collections.aks.gpu.plugins.module_utils._evidence._checks import Expectations, Observations, checks_of
from ansible_collections.aks.gpu.plugins.module_utils._evidence._document import (
    EvidenceError,
    brief_of,
    document,
    evidence_without_record,
    lines_of,
    path_of,
    read_documents,
    summary_of,
    write,
)
from ansible_collections.aks.gpu.plugins.module_utils._evidence._junit import junit_of
from ansible_collections.aks.gpu.plugins.plugin_utils._evidence_page import page_files
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from junitparser import JUnitXml

ROOT = Path(__file__).parents[5]


def beside(name: str) -> Any:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"evidence_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


generated = beside("generated")
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "docs" / "evidence.schema.json").read_text()))
JOB = "samples-tf-mnist-demo"
TRAINED = Expectations(job=JOB, training=True, minimum_accuracy=0.9)
NODE = "aks-gpunp-28993262-vmss000000"
A100 = "Standard_NC96ads_A100_v4"
HOSTILE = [
    "<script>document.title='owned'</script>",
    '"><img src=x onerror=alert(1)>',
    "</noscript></style></svg><b>&amp;",
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[31mred\x00\x08\ud800",
    "]]><!-- -->",
]

texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40))


def found(**more: Any) -> Observations:
    made = {
        "gpus": generated.gpus([generated.node(NODE)]),
        "probe": {"probes": [generated.probe(NODE)]},
        "job": generated.job(),
    }
    return Observations(**{**made, **more})


def failing(asked: Expectations, what: Observations) -> list[str]:
    return [check.name for check in checks_of(asked, what) if check.holds is False]


def line(name: str, asked: Expectations, what: Observations) -> str:
    return next(check.line for check in checks_of(asked, what) if check.name == name)


def test_every_assertion_has_its_own_line() -> None:
    checks = checks_of(TRAINED, found())
    assert [check.name for check in checks] == [
        "nodes_ready",
        "labels",
        "capacity",
        "allocatable",
        "device_plugin",
        "health",
        "probe_devices",
        "probe",
        "held",
        "versions",
        "job",
        "device",
        "accuracy",
    ]
    assert len({check.line for check in checks}) == len(checks)
    assert failing(TRAINED, found()) == []


@pytest.mark.parametrize(
    ("names", "node"),
    [
        ({"nodes_ready"}, {"ready": False}),
        ({"labels"}, {"labels": {"agentpool": "gpunp"}}),
        ({"capacity", "allocatable"}, {"capacity": 0, "allocatable": 0}),
        ({"allocatable"}, {"allocatable": 0}),
        ({"device_plugin"}, {"device_plugin": None}),
        ({"health"}, {"conditions": [{"type": "XIDErrors", "status": "True", "reason": "x", "message": "y"}]}),
        (set(), {"conditions": [{"type": "GPUClockThrottling", "status": "True", "reason": "x", "message": "y"}]}),
        (set(), {"conditions": []}),
    ],
)
def test_node_assertions(names: set[str], node: dict[str, Any]) -> None:
    gpus = generated.gpus([generated.node(NODE, **node)], expected={"nodes": 1, "gpus_per_node": 1})
    assert set(failing(TRAINED, found(gpus=gpus))) == names


def test_health_is_only_told_where_no_node_reports_it() -> None:
    gpus = generated.gpus([generated.node(NODE, conditions=[])])
    health = [check for check in checks_of(TRAINED, found(gpus=gpus)) if check.name == "health"]
    assert health[0].holds is None


def test_a_missing_node_fails() -> None:
    gpus = generated.gpus([generated.node(NODE)], expected={"nodes": 2, "gpus_per_node": 1})
    assert failing(TRAINED, found(gpus=gpus)) == ["nodes_ready"]
    assert line("nodes_ready", TRAINED, found(gpus=gpus)) == "nodes Ready: 1 of 2"


def test_devices_seen_have_to_be_those_asked_for() -> None:
    gpus = generated.gpus([generated.node(NODE, A100)])
    more = generated.probe(NODE, A100, asked=1, held=3, seen=4, passed=4, problem="it asked for 1 and saw 4 devices")
    what = found(gpus=gpus, probe={"probes": [more]})
    assert "probe_devices" in failing(TRAINED, what)
    assert line("probe_devices", TRAINED, what).endswith("0 of 1 (4 devices seen, 1 asked for)")


def test_gpus_that_others_hold_are_told_and_no_fault() -> None:
    gpus = generated.gpus([generated.node(NODE, A100)])
    part = generated.probe(NODE, A100, asked=1, held=3, seen=1, passed=1)
    assert failing(TRAINED, found(gpus=gpus, probe={"probes": [part]})) == []
    assert line("held", TRAINED, found(gpus=gpus, probe={"probes": [part]})).endswith(": 3")
    none = generated.probe(
        NODE, A100, asked=0, held=4, seen=None, passed=None, works=None, devices=[], driver_version=None
    )
    assert failing(TRAINED, found(gpus=gpus, probe={"probes": [none]})) == []


def test_a_probe_that_was_not_asked_for_is_told() -> None:
    asked = Expectations(probe="nobody asked for it", job=JOB)
    checks = {check.name: check for check in checks_of(asked, found(probe={}))}
    assert (checks["probe"].holds, checks["versions"].holds) == (None, None)
    assert failing(TRAINED, found(probe={})) == ["probe"]


def test_job_assertions() -> None:
    assert failing(TRAINED, found(job=generated.job(complete=False, succeeded=0))) == ["job"]
    assert failing(TRAINED, found(job=generated.job(devices=[]))) == ["device"]
    assert failing(TRAINED, found(job=generated.job(accuracy_last=0.89))) == ["accuracy"]
    assert failing(TRAINED, found(job=generated.job(accuracy_last=None))) == ["accuracy"]
    assert failing(Expectations(job=JOB), found(job=generated.job(accuracy_last=None, devices=[]))) == []
    assert failing(Expectations(), found(job={})) == []


def made(what: Observations, asked: Expectations = TRAINED, **more: Any) -> dict[str, Any]:
    return generated.cluster(1, **{"found": what, "asked": asked, "failure": None, **more})


def test_verdicts_and_headlines() -> None:
    works = made(found())
    assert works["verdict"] == "works"
    assert works["headline"] == f"aks-0001 works: 1 GPU(s) on 1 node(s), {JOB} complete on Tesla T4"
    low = made(found(job=generated.job(accuracy_last=0.5)))
    assert low["verdict"] == "does_not_work"
    assert low["headline"] == "aks-0001 does not work: accuracy at the last step: 0.5, 0.9 or more is asked for"
    unseen = made(Observations(), failure={"step": "Read the node pools", "message": "No answer.\nNone."})
    assert unseen["verdict"] == "not_looked_at"
    assert unseen["headline"] == "aks-0001 could not be looked at: Read the node pools: No answer. None."
    problem = {"subject": "Node x", "cause": "NotReady", "message": "it is not Ready", "advice": "Wait."}
    broken = made(found(), failure={"step": "Wait", "message": "long", "problems": [problem]})
    assert broken["headline"] == "aks-0001 does not work: Node x: it is not Ready"
    noted = made(found(gpus=generated.gpus([generated.node(NODE)], problems=[problem])))
    assert lines_of(noted)[1:3] == ["note: Node x: it is not Ready", "      Wait."]
    empty = made(found(gpus=generated.gpus([], expected={"nodes": 0, "gpus_per_node": 1}), probe={}), Expectations())
    assert (empty["verdict"], works["job"]["complete"]) == ("works", True)
    nothing = made(Observations(gpus=generated.gpus([], expected={"nodes": 0, "gpus_per_node": 1})), Expectations())
    assert nothing["verdict"] == "idle"
    for evidence in (works, low, unseen, broken, empty, nothing):
        SCHEMA.validate(evidence)
        assert lines_of(evidence)[0] == evidence["headline"]


def test_the_brief_begins_with_the_verdict_and_is_short() -> None:
    works = made(found())
    assert brief_of(works)[0] == works["headline"]
    many = made(found(gpus=generated.gpus([generated.node(f"{NODE}{number}") for number in range(50)])))
    for evidence in (works, many):
        printed = "".join(f"\x1b[0;32m        {json.dumps(line)},\x1b[0m\r\n" for line in brief_of(evidence))
        assert len(printed) <= 900  # 1,024 bytes of an event are shown, and Ansible puts some around the lines
    failed = made(found(), failure={"step": "Wait", "message": "It took too long, as far as can be seen from here."})
    assert brief_of(failed)[0] == "aks-0001 does not work. The step that failed says why: Wait"
    assert "too long" not in "\n".join(brief_of(failed))


def test_files_of_several_runs_become_one_report(tmp_path: Path) -> None:
    first = [generated.cluster(number) for number in (1, 2, 3)]
    later = generated.cluster(
        2, run={"id": "later", "started": "2026-08-02T10:00:00.000Z"}, now="2026-08-02T10:05:00.000Z"
    )
    for evidence in first:
        write(str(tmp_path / "a"), evidence)
    write(str(tmp_path / "b"), later)
    write(str(tmp_path / "a"), first[0])
    (tmp_path / "a" / "clusters" / "other.json").write_text('{"format": "something else"}')
    for order in (["a", "b"], ["b", "a"]):
        read = read_documents([str(tmp_path / name) for name in order])
        assert [(each["host"], each["run"]["id"]) for each in read] == [
            ("aks-0001", generated.RUN["id"]),
            ("aks-0002", "later"),
            ("aks-0003", generated.RUN["id"]),
        ]
    page = _page.page_of(read, "later", page_files())
    assert page.count("an earlier run") == 2
    assert "from 2 runs" in page


def test_evidence_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="no directory"):
        read_documents([str(tmp_path / "none")])
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(EvidenceError, match=r"broken\.json can't be read"):
        read_documents([str(tmp_path)])
    (tmp_path / "broken.json").write_text('{"format": "aks.gpu/evidence", "format_version": 2}')
    with pytest.raises(EvidenceError, match="version 2"):
        read_documents([str(tmp_path)])


def test_a_host_without_evidence() -> None:
    steps = generated.steps("start")
    steps[-1]["message"] = "Quota."
    first = evidence_without_record("c1", None, steps, generated.RUN, generated.NOW)
    assert first["failure"] == {"step": steps[-1]["name"], "message": "Quota.", "problems": []}
    known = generated.cluster(4)
    again = evidence_without_record(known["host"], known, [], generated.RUN, generated.NOW)
    assert (again["id"], again["cluster"]) == (known["id"], known["cluster"])
    assert "left no evidence" in again["failure"]["message"]
    for evidence in (first, again):
        SCHEMA.validate(evidence)


def test_a_cluster_is_the_same_in_each_run_and_another_one_is_not() -> None:
    one = {"subscription_id": None, "resource_group": "rg", "name": "aks"}

    def path(cluster: dict[str, str | None], **more: Any) -> Path:
        return path_of("", generated.cluster(1, cluster=cluster, **more))

    assert path(one) == path({**one, "name": "AKS"}).with_name(path(one).name)
    assert path(one) == path(
        one, pool={"id": "/subscriptions/s/resourceGroups/rg"}, now=generated.NOW.replace("1", "2")
    )
    others = [one, {**one, "resource_group": "rg2"}, {**one, "name": "aks2"}, {**one, "subscription_id": "s"}]
    assert len({path(each) for each in others} | {path(one, host="else")}) == 5


def test_steps_are_noted_by_many_at_once(tmp_path: Path) -> None:
    def work(host: str) -> None:
        for number in range(20):
            _run_log.note(
                str(tmp_path), host, f"task {number}", "m", 1.0, {"changed": number == 1}, predicted=number == 2
            )
        result = {"failed": True, "msg": "why", "changed": True}
        _run_log.note(str(tmp_path), host, "last", "m", 1.0, result, predicted=False)
        _run_log.note(str(tmp_path), host, "secret", "m", 1.0, {**result, "_ansible_no_log": True}, predicted=False)

    threads = [threading.Thread(target=work, args=(f"host {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = {json.dumps(_run_log.run_of(str(tmp_path))) for _unused in range(3)}
    assert len(runs) == 1
    for number in range(8):
        steps = _run_log.steps_of(str(tmp_path), f"host {number}")
        assert [step["name"] for step in steps[:20]] == [f"task {index}" for index in range(20)]
        assert [step["outcome"] for step in steps[:3]] == ["ok", "changed", "predicted"]
        assert [(step["outcome"], step["message"]) for step in steps[20:]] == [("failed", "why"), ("failed", "")]
    assert _run_log.steps_of(str(tmp_path), "nobody") == []
    assert _run_log.steps_of(None, "nobody") == []


class Outline(HTMLParser):
    """The elements of a page, and whether each one that was opened is closed."""

    VOID = frozenset({"meta", "link", "br", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def outline(page: str) -> Outline:
    parsed = Outline()
    parsed.feed(page)
    assert parsed.open == []
    return parsed


def shape(page: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(tag, tuple(attributes)) for tag, attributes in outline(page).elements]


@st.composite
def clusters(draw: st.DrawFn) -> dict[str, Any]:
    """A cluster of any content: hostile names, huge and tiny numbers, everything or nothing there."""
    names = draw(st.lists(texts.filter(bool), max_size=3, unique=True))
    counts = st.integers(0, 64)
    nodes = [
        generated.node(
            name,
            vm_size=draw(texts),
            ready=draw(st.booleans()),
            capacity=draw(counts),
            allocatable=draw(counts),
            in_use=draw(counts),
            node_image_version=draw(st.none() | texts),
        )
        for name in names
    ]
    probes = [
        generated.probe(
            name,
            asked=draw(counts),
            held=draw(counts),
            seen=draw(st.none() | counts),
            passed=draw(st.none() | counts),
            problem=draw(st.none() | texts),
            driver_version=draw(st.none() | texts),
        )
        for name in names
        if draw(st.booleans())
    ]
    steps = st.integers(0, 10**9)
    points = draw(st.lists(st.tuples(steps, st.floats(0, 1)), max_size=30))
    accuracy = [{"step": step, "accuracy": value} for step, value in points]
    job = generated.job(
        0,
        complete=draw(st.booleans()),
        accuracy=accuracy,
        accuracy_last=accuracy[-1]["accuracy"] if accuracy else None,
        log_tail=draw(st.lists(texts, max_size=3)),
        devices=[{"name": text} for text in draw(st.lists(texts, max_size=2))],
    )
    problem = {"subject": draw(texts), "cause": draw(texts), "message": draw(texts), "advice": draw(texts)}
    failure = draw(st.none() | st.just({"step": draw(texts), "message": draw(texts), "problems": [problem]}))
    values = st.none() | st.floats(allow_nan=False, allow_infinity=False)
    series: dict[str, Any] = {"name": draw(texts), "unit": draw(texts), "dimensions": {draw(texts): draw(texts)}}
    series["points"] = [
        [f"2026-08-01T10:{index:02}:00Z", value] for index, value in enumerate(draw(st.lists(values, max_size=9)))
    ]
    return document(
        host=draw(texts),
        cluster={"subscription_id": draw(st.none() | texts), "resource_group": draw(texts), "name": draw(texts)},
        node_pool=draw(texts),
        pool={},
        asked=draw(st.sampled_from([TRAINED, Expectations(), Expectations(gpu_stack="managed", probe="no", job=JOB)])),
        found=draw(
            st.sampled_from(
                [Observations(), Observations(gpus=generated.gpus(nodes), probe={"probes": probes}, job=job)]
            )
        ),
        failure=failure,
        steps=draw(st.sampled_from([[], generated.steps(), generated.steps("start")])),
        run=generated.RUN,
        now=generated.NOW,
        metrics=[series],
    )


@settings(max_examples=60, phases=[Phase.explicit, Phase.generate])  # to shrink a fleet takes minutes
@given(st.lists(clusters(), max_size=3))
@example([])
def test_any_evidence_is_a_valid_document_page_and_junit(evidence: list[dict[str, Any]]) -> None:
    for each in evidence:
        SCHEMA.validate(each)
        assert json.loads(json.dumps(each)) == each
    page = _page.page_of(evidence, generated.RUN["id"], page_files())
    page.encode()
    parsed = outline(page)
    tags = [tag for tag, _attributes in parsed.elements]
    assert tags.count("script") == tags.count("style") == 1
    assert {"img", "b onerror"} & set(tags) == set()
    assert sum(
        tag == "details" and "cluster" in str(attributes.get("class")) for tag, attributes in parsed.elements
    ) == len(evidence)
    for _tag, attributes in parsed.elements:
        assert not [name for name in attributes if name.startswith("on")]
    root = ElementTree.fromstring(junit_of(evidence))
    assert len(root) == len(evidence)
    assert sum(len(list(suite.iter("testcase"))) for suite in root) == int(root.get("tests", "-1"))


def test_hostile_content_changes_no_element_of_the_page() -> None:
    def page(text: str) -> str:
        job = generated.job(log_tail=[text], devices=[{"name": text}], name=text)
        problem = {"subject": text, "cause": text, "message": text, "advice": text, "log_tail": [text]}
        what = found(
            gpus=generated.gpus([generated.node(text)]),
            probe={"probes": [generated.probe(text, problem=text)]},
            job=job,
        )
        more: dict[str, Any] = {
            "cluster": {"name": text, "resource_group": text, "subscription_id": text},
            "host": text + "x",
        }
        steps = [{**generated.steps()[0], "name": text, "outcome": "failed"}]
        failure = {"step": text, "message": text, "problems": [problem]}
        metrics = [{"name": text, "unit": text, "dimensions": {text: text}, "points": [[text, 1.0]]}]
        evidence = made(what, **more, failure=failure, steps=steps, node_pool=text, metrics=metrics)
        return _page.page_of([evidence, generated.cluster(2)], generated.RUN["id"], page_files())

    calm = page("harmless")
    for text in HOSTILE:
        hostile = page(text)
        assert shape(hostile) == shape(calm)
        assert "<script>document.title" not in hostile
        assert text.encode(errors="replace").decode() in "".join(outline(hostile).text)


def test_page_asks_for_nothing_from_elsewhere() -> None:
    clusters = [generated.cluster(number, metrics=generated.series()) for number in range(1, 30)]
    page = _page.page_of(clusters, "", page_files())
    for tag, attributes in outline(page).elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith("#") or value == "data:,", (tag, value)
    assert not re.search(r"url\(|@import|https?:", page)


def test_junit_is_read_by_a_parser_of_others(tmp_path: Path) -> None:
    evidence = [generated.cluster(number) for number in range(1, 60)]
    (tmp_path / "junit.xml").write_text(junit_of(evidence))
    suites = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert [suite.name for suite in suites] == [each["cluster"]["name"] for each in evidence]
    for suite, each in zip(suites, evidence, strict=True):
        wrong = sum(check["holds"] is False for check in each["checks"])
        told = sum(check["holds"] is None for check in each["checks"])
        assert (suite.failures, suite.errors, suite.skipped) == (wrong, int(each["failure"] is not None), told)
        assert suite.tests == len(list(suite)) == len(each["checks"]) + suite.errors
        assert (suite.failures + suite.errors > 0) == (each["verdict"] in ("does_not_work", "not_looked_at"))


def test_summary_counts() -> None:
    evidence = [generated.cluster(number) for number in range(1, 47)]
    summary = summary_of(evidence)
    assert summary["clusters"] == 46
    assert sum(summary[verdict] for verdict in ("works", "does_not_work", "not_looked_at", "idle")) == 46
    assert len(summary["failed"]) == summary["does_not_work"] + summary["not_looked_at"] > 0


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), min_size=1, max_size=2000))
def test_thinned_curves_keep_their_ends_and_extremes(points: list[tuple[float, float]]) -> None:
    points = sorted(points)
    kept = _page.thinned(points)
    assert len(kept) <= max(_page.MOST_PLOTTED_POINTS, 1)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert {min(y for _x, y in kept), max(y for _x, y in kept)} == {
        min(y for _x, y in points),
        max(y for _x, y in points),
    }


@pytest.mark.parametrize(
    ("number", "source"),
    [
        (errno.EPERM, "https://github.com/nightlyone/lockfile/issues/22 (vboxsf)"),
        (errno.EOPNOTSUPP, "https://github.com/docker-archive/for-azure/issues/76 (Azure Files)"),
        (errno.EACCES, "https://github.com/vmware/open-vm-tools/issues/675 (HGFS)"),
        (errno.EMLINK, "link(2): too many links"),
    ],
)
def test_a_run_is_known_where_hard_links_are_not_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, source: str
) -> None:
    def link(*_paths: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    first = _run_log.run_of(str(tmp_path))
    assert _run_log.run_of(str(tmp_path)) == first, source
    assert [entry.name for entry in tmp_path.iterdir()] == [_run_log.RUN]
