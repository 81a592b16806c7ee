# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make witness` fails on a difference, for every row of the tables; and the sandbox never reads the tables."""

import ast
import dataclasses
import json
import re
import shutil

import pytest
import witness
import yaml
from comparison import AGREES, DIFFERS, UNEXERCISED, compare, unwitnessed
from exchanges import kind_of, observations
from tables import FOLDER, Row, TableError, read_rows, read_witnesses

ROWS = read_rows()
SANDBOX = FOLDER.parent / "sandbox" / "aks_sandbox"
OTHER_TYPE = {
    "string": "int",
    "int": "string",
    "number": "string",
    "bool": "string",
    "object": "array",
    "array": "null",
}


@pytest.fixture(scope="module")
def driven():
    """The exchanges of one sandbox that was driven through all sequences, and the sequences that broke off."""
    return witness.of_the_sandbox()


@pytest.fixture(scope="module")
def seen(driven):
    return observations(driven[0])


@pytest.fixture(scope="module")
def by_row(seen):
    return {each.row.id: each for each in compare(ROWS, seen)}


def changed(row):
    """The row with one thing in it changed at a time, so that it says what was not recorded."""
    if row.status:
        yield dataclasses.replace(row, status=(599,))
    if row.absent:
        yield dataclasses.replace(row, absent=False, type="string")
    elif row.header or (row.field and row.has is None):
        yield dataclasses.replace(
            row, absent=True, type="", values=(), seen=(), pattern="", same="", last=False, order="", ends=()
        )
    if row.type:
        first = row.type.split("|")[0]
        yield dataclasses.replace(row, type="bool" if "|" in row.type else OTHER_TYPE.get(first, "string"))
    if row.values:
        yield dataclasses.replace(row, values=("not a value of Azure's",))
    if row.pattern:
        yield dataclasses.replace(row, pattern="not a text of Azure's")
    if row.same:
        yield dataclasses.replace(row, same="segment" if row.same != "segment" else "query.api-version")
    if row.last:
        yield dataclasses.replace(row, field="properties.count" if "." in row.field else "name")
    if row.order or row.ends:
        yield dataclasses.replace(row, order="", ends=("not a value of Azure's",))
    if row.has is not None:
        yield dataclasses.replace(row, has="not a value of Azure's")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_command_fails_when_a_row_is_changed(row, seen, by_row):
    """Every change of what a row says is a difference, so no row agrees with everything."""
    result = by_row[row.id]
    changes = list(changed(row))
    assert changes, "nothing in this row can be changed"
    if result.verdict == UNEXERCISED:
        assert witness.reason(result), f"no sequence exercises {row.id}, and the row doesn't say why"
        return
    assert result.verdict == AGREES, result.reason
    for each in changes:
        found = compare([each], seen)
        assert found[0].verdict == DIFFERS, f"still {found[0].verdict}: {each.says}"
        assert witness.exit_status(found, {}, recording=False) == 1


def test_sandbox_is_as_recorded(driven, by_row):
    exchanges, broken = driven
    differing = {name: each.reason for name, each in by_row.items() if each.verdict == DIFFERS}
    assert not broken
    assert not differing
    assert witness.exit_status(list(by_row.values()), broken, recording=False) == 0
    assert len(exchanges) > 500


def test_each_row_cites_a_witness_that_says_what_and_when():
    witnesses = read_witnesses()
    cited = {key for row in ROWS for key in row.witness}
    assert cited <= set(witnesses)
    assert all(each.what and each.recorded for each in witnesses.values())


def test_rows_that_nothing_exercises_say_why(by_row):
    silent = [name for name, each in by_row.items() if each.verdict == UNEXERCISED and not witness.reason(each)]
    stale = [name for name, each in by_row.items() if each.verdict != UNEXERCISED and each.row.unexercised]
    assert not silent
    assert not stale


def test_command_reads_a_recording_and_fails_on_a_changed_table(driven, tmp_path, capsys):
    recording = tmp_path / "recording.jsonl"
    own = re.compile(r"credential|/Microsoft\.Monitor/accounts\b", re.IGNORECASE)  # the sandbox's addresses
    exchanges = [each for each in driven[0] if not own.search(each["url"])]
    recording.write_text("".join(f"{json.dumps(each)}\n" for each in exchanges))
    capsys.readouterr()
    assert witness.main(["--recording", str(recording)]) == 0
    assert re.search(r"\d+ facts agree, 0 differ, ", capsys.readouterr().out)
    folder = tmp_path / "tables"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("tests", "*.py"))
    path = folder / "tables" / "pool.yml"
    path.write_text(path.read_text().replace("values: OS,", "values: Temporary,"))
    assert witness.main(["--recording", str(recording), "--tables", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"^differs +pool\.kubeletDiskType ", printed, re.MULTILINE)
    assert "answered: properties.kubeletDiskType is 'OS'" in printed
    assert "azure-service-operator" in printed


def test_recording_with_stand_ins_shows_nothing_where_a_text_is_gone():
    """A redacted recording has `cluster-1` for a name; that is no difference, and other differences are seen."""
    exchange = {
        "method": "GET",
        "url": "https://management.azure.com/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/group-1"
        "/providers/Microsoft.ContainerService/managedClusters/cluster-1?api-version=2026-05-01",
        "request_headers": {},
        "request_body": None,
        "status": 200,
        "response_headers": {"Content-Type": "application/json"},
        "response_body": {"name": "cluster-1", "kind": "Base", "properties": {"fqdn": "host-1", "maxAgentPools": 90}},
    }
    rows = [row for row in ROWS if row.id in ("cluster.fqdn", "cluster.maxAgentPools", "cluster.kind")]
    verdicts = {each.row.id: each.verdict for each in compare(rows, observations([exchange]), real=True)}
    assert verdicts == {"cluster.fqdn": UNEXERCISED, "cluster.maxAgentPools": DIFFERS, "cluster.kind": AGREES}
    assert {each.row.id: each.verdict for each in compare(rows, observations([exchange]))}["cluster.fqdn"] == DIFFERS


def test_recording_may_lack_what_only_some_answers_show():
    exchange = {
        "method": "GET",
        "url": "https://management.azure.com/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService"
        "/managedClusters/c?api-version=2026-05-01",
        "request_headers": {},
        "request_body": None,
        "status": 200,
        "response_headers": {},
        "response_body": {"properties": {"addonProfiles": {}}},
    }
    rows = [row for row in ROWS if row.id == "cluster.addonProfiles-config-null"]
    assert compare(rows, observations([exchange]), real=True)[0].verdict == UNEXERCISED
    assert compare(rows, observations([exchange]))[0].verdict == DIFFERS


def test_field_without_witness_is_named(seen):
    pool = next(each for each in seen if {"pool", "GET", "ok"} <= each.tags)
    body = {**pool.body, "properties": {**pool.body["properties"], "brandNew": {"deep": 1}}}
    found = unwitnessed(ROWS, [dataclasses.replace(pool, body=body, headers={**pool.headers, "x-ms-new": "1"})])
    assert {each.what for each in found} >= {"properties.brandNew", "properties.brandNew.deep", "header x-ms-new"}
    assert "properties.count" not in {each.what for each in found}


def test_value_that_was_not_recorded_is_named(seen):
    pool = next(each for each in seen if {"pool", "GET", "ok"} <= each.tags)
    body = {**pool.body, "properties": {**pool.body["properties"], "provisioningState": "Dreaming"}}
    found = unwitnessed(ROWS, [dataclasses.replace(pool, body=body)])
    assert "properties.provisioningState = 'Dreaming'" in {each.what for each in found}


def test_sequence_that_broke_off_fails_the_command():
    assert witness.exit_status([], {"create": "refused"}, recording=False) == 1
    assert witness.exit_status([], {}, recording=False) == 0


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c", "cluster"),
        (
            "/subscriptions/s/resourcegroups/g/providers/microsoft.containerservice/managedclusters/c/agentPools/p",
            "pool",
        ),
        ("/subscriptions/s/providers/Microsoft.ContainerService/locations/westus2/operations/o", "operation"),
        ("/subscriptions/s/providers/Microsoft.ContainerService", "provider"),
        ("/subscriptions/s/providers/Microsoft.Monitor/register", "provider"),
        ("/subscriptions/s/providers/Microsoft.Monitor/accounts", "accounts"),
        ("/subscriptions/s", "other"),
    ],
)
def test_paths_are_recognised_in_any_letter_case(url, kind):
    assert kind_of(url) == kind_of(url.upper()) == kind


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"of": "pool", "field": "name", "type": "string"}, "there is no witness"),
        ({"of": "nothing", "field": "name", "type": "string", "witness": "ASO"}, "begins with a kind"),
        ({"of": "pool", "field": "name", "witness": "ASO"}, "says nothing"),
        ({"of": "pool", "field": "name", "header": "etag", "witness": "ASO"}, "exactly one"),
        ({"of": "pool", "field": "name", "type": "text", "witness": "ASO"}, "unknown type"),
        ({"of": "pool", "field": "name", "absent": True, "type": "int", "witness": "ASO"}, "what is absent"),
        ({"of": "pool", "field": "name", "type": "int", "witness": "NOBODY"}, "has no NOBODY"),
        ({"of": "pool", "field": "name", "type": "int", "witness": "ASO", "api": "new"}, "not an api-version"),
        ({"of": "pool", "field": "name", "type": "int", "witness": "ASO", "colour": 1}, "unknown colour"),
    ],
)
def test_row_that_can_not_be_one_is_refused(entry, text, tmp_path):
    (tmp_path / "tables").mkdir()
    shutil.copy(FOLDER / "witnesses.yml", tmp_path)
    (tmp_path / "tables" / "pool.yml").write_text(yaml.safe_dump([{"id": "pool.x", **entry}]))
    with pytest.raises(TableError, match=re.escape(text)):
        read_rows(tmp_path)


def test_row_says_in_short_what_it_is_about():
    row = Row(
        "pool.x", ("pool", "GET"), ("ASO",), api=">=2026-05-01", field="properties.count", type="int", values=(0,)
    )
    assert row.says == "properties.count int is 0 [pool GET, API >=2026-05-01]"


def test_sandbox_knows_nothing_of_the_tables():
    """It imports no module of this folder and names neither it nor a file in it."""
    own = {path.stem for path in FOLDER.glob("*.py")}
    files = sorted(SANDBOX.rglob("*.py"))
    assert len(files) > 30
    for path in files:
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            absolute = isinstance(node, ast.ImportFrom) and node.level == 0
            names = [node.module or ""] if absolute else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            assert not own & {name.partition(".")[0] for name in names}, path
        assert not re.search(r"tests/witness|witnesses\.yml|witness\.py", text), path
