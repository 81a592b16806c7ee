# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that answers `awx import` as AWX's API does, and keeps what it was told."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Json = dict[str, Any]

TYPES = {
    "organizations": "organization",
    "users": "user",
    "teams": "team",
    "credential_types": "credential_type",
    "credentials": "credential",
    "notification_templates": "notification_template",
    "projects": "project",
    "inventories": "inventory",
    "inventory_sources": "inventory_source",
    "job_templates": "job_template",
    "workflow_job_templates": "workflow_job_template",
    "workflow_job_template_nodes": "workflow_job_template_node",
    "execution_environments": "execution_environment",
    "applications": "application",
    "schedules": "schedule",
}
OTHERS = (
    "system_job_templates",
    "labels",
    "groups",
    "hosts",
    "roles",
    "instance_groups",
    "jobs",
    "project_updates",
    "inventory_updates",
    "workflow_jobs",
)
"""Lists that are there and stay empty."""

TARGETS = {
    "organization": "organizations",
    "credential_type": "credential_types",
    "credential": "credentials",
    "inventory": "inventories",
    "project": "projects",
    "source_project": "projects",
    "execution_environment": "execution_environments",
    "unified_job_template": "job_templates",
    "workflow_job_template": "workflow_job_templates",
}
"""Fields that hold the id of another object, and where those are."""
LISTS = {"credentials": "credentials", "workflow_nodes": "workflow_job_template_nodes"}
NODES = ("success_nodes", "failure_nodes", "always_nodes")


class Awx:
    """The objects, by the name of their list; `attached`: what POSTs to lists of related objects joined, by path."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        self.fields = fields
        self.objects: dict[str, dict[int, Json]] = {name: {} for name in (*TYPES, *OTHERS)}
        self.attached: dict[str, list[int]] = {}
        self.surveys: dict[str, Json] = {}
        self.approvals: dict[str, Json] = {}
        organization = self.add("organizations", {"name": "Default"})
        kind = self.add("credential_types", {"name": "Microsoft Azure Resource Manager", "kind": "cloud"})
        self.add("credentials", {"name": "Azure", "organization": organization["id"], "credential_type": kind["id"]})

    def add(self, name: str, values: Json) -> Json:
        if name == "inventory_sources":
            values = {**values, "organization": self.objects["inventories"][values["inventory"]]["organization"]}
        number = len(self.objects[name]) + 1
        url = f"/api/v2/{name}/{number}/"
        related = {field: f"/api/v2/{TARGETS[field]}/{values[field]}/" for field in TARGETS if values.get(field)}
        for each in (*LISTS, *NODES, "survey_spec", "schedules", "labels", "roles", "create_approval_template"):
            related[each] = f"{url}{each}/"
        found = {
            **values,
            "id": number,
            "type": TYPES[name],
            "url": url,
            "related": related,
            "summary_fields": {},
            "status": "successful",
        }
        self.objects[name][number] = found
        return found

    def named(self, name: str, value: str, key: str = "name") -> Json:
        (found,) = [each for each in self.objects[name].values() if each.get(key) == value]
        return found

    def options(self, name: str) -> Json:
        foreign = {field: {"type": "id"} for field in TARGETS}
        return {field: foreign.get(field, {"type": "field"}) for field in self.fields.get(name, [])}

    def answer(self, method: str, url: str, body: Json) -> tuple[int, Any]:
        """Returns status and body of an answer."""
        path, query = urlsplit(url).path, dict(parse_qsl(urlsplit(url).query))
        if path == "/api/":
            return 200, {"available_versions": {"v2": "/api/v2/"}, "current_version": "/api/v2/"}
        if path == "/api/v2/":
            return 200, {
                ("inventory" if name == "inventories" else name): f"/api/v2/{name}/" for name in (*TYPES, *OTHERS)
            }
        if path == "/api/v2/me/":
            return 200, {"count": 1, "next": None, "previous": None, "results": []}
        place = re.fullmatch(r"/api/v2/(\w+)/(?:(\d+)/(?:(\w+)/)?)?", path)
        assert place is not None, path
        name, number, part = place[1], place[2], place[3]
        if part == "create_approval_template":
            # Source: WorkflowJobTemplateNodeCreateApproval in awx/api/views/__init__.py of AWX 24.6.1.
            self.approvals[self.objects[name][int(number)]["identifier"]] = body
            return 201, {"id": len(self.approvals), "type": "workflow_approval_template", "url": "", **body}
        if part == "survey_spec":
            if method == "POST":
                self.surveys[path] = body
            return 200, self.surveys.get(path, {})
        if part is not None:
            return self._related(method, path, LISTS.get(part, name), body, int(number))
        if method == "OPTIONS":
            return 200, {"name": name, "description": "", "actions": {"POST": self.options(name)}}
        if number is not None:
            if method in ("PUT", "PATCH"):
                self.objects[name][int(number)].update(body)
            return 200, self.objects[name][int(number)]
        if method == "POST":
            return 201, self.add(name, body)
        wanted = {key: value for key, value in query.items() if key in ("name", "identifier", "kind")}
        fits = [
            each
            for each in self.objects[name].values()
            if all(str(each.get(key)) == value for key, value in wanted.items())
        ]
        return 200, {"count": len(fits), "next": None, "previous": None, "results": fits}

    def _related(self, method: str, path: str, name: str, body: Json, owner: int) -> tuple[int, Any]:
        if method == "OPTIONS":
            return 200, {"name": name, "description": "", "actions": {"POST": self.options(name)}}
        if method == "POST" and set(body) == {"id"}:
            self.attached.setdefault(path, []).append(body["id"])
            return 204, None
        if method == "POST":
            return 201, self.add(name, {**body, "workflow_job_template": owner})
        found = [self.objects[name][each] for each in self.attached.get(path, [])]
        return 200, {"count": len(found), "next": None, "previous": None, "results": found}


@contextmanager
def serving(awx: Awx) -> Iterator[str]:
    """Serve on loopback; gives the URL."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            status, answer = awx.answer(self.command, self.path, body)
            content = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Allow", "GET, POST, HEAD, OPTIONS")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_OPTIONS = _handle  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
