# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that answers `awx` as the API of AWX does, refuses what that refuses, and keeps what it was told.

Fields, refusals and their texts are those of AWX 24.6.1, the last release whose source is public. A comment names the
place below awx/ of its source; where it names none, the answer is this server's own. Only what AWX's client asks for is
there, nothing runs, and a project's update ends at once.
"""

from __future__ import annotations

import copy
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from awx_launch import handed_on, judged, spec_error

Json = dict[str, Any]
Answer = tuple[int, Any]

IDS = {
    "organization": "organizations",
    "credential_type": "credential_types",
    "credential": "credentials",
    "inventory": "inventories",
    "project": "projects",
    "source_project": "projects",
    "execution_environment": "execution_environments",
    "default_environment": "execution_environments",
    "signature_validation_credential": "credentials",
    "webhook_credential": "credentials",
    "unified_job_template": "",
    "workflow_job_template": "workflow_job_templates",
}
"""Fields that hold the id of another object, and the list that has it; "" for the templates of every kind."""

BOOLEANS = {
    "allow_override",
    "allow_simultaneous",
    "all_parents_must_converge",
    "become_enabled",
    "diff_mode",
    "enabled",
    "force_handlers",
    "overwrite",
    "overwrite_vars",
    "prevent_instance_group_fallback",
    "scm_clean",
    "scm_delete_on_update",
    "scm_track_submodules",
    "scm_update_on_launch",
    "survey_enabled",
    "update_on_launch",
    "use_fact_cache",
}
INTEGERS = {"forks", "job_slice_count", "timeout", "update_cache_timeout", "scm_update_cache_timeout", "verbosity"}
DEFAULTS: Json = {"job_type": "run", "job_slice_count": 1, "enabled": True, "inputs": {}, "extra_data": {}}
"""Defaults of models that aren't empty, False or 0. A PUT without a field sets it to its default, because the model's
default is the serializer's (BaseSerializer.build_standard_field, api/serializers.py); a field with an id has none."""

LAUNCH_OPTIONS = ("forks", "job_slice_count", "timeout", "verbosity", "diff_mode", "job_type", "job_tags", "skip_tags")
PROMPTS = {
    # ask_..._on_launch of JobTemplate (main/models/jobs.py) and WorkflowJobTemplate (main/models/workflow.py)
    "job_templates": (
        *LAUNCH_OPTIONS,
        *("extra_vars", "inventory", "credentials", "limit", "scm_branch", "execution_environment"),
    ),
    "workflow_job_templates": ("extra_vars", "inventory", "limit", "scm_branch", "job_tags", "skip_tags"),
}
ASK = "ask_{}_on_launch".format


@dataclass(frozen=True)
class Kind:
    """A list of the API.

    Attributes:
        type: Of its objects.
        fields: What a POST takes, so also what OPTIONS shows: api/metadata.py leaves read-only fields out.
        unique: Fields that name an object.
        duplicate: What AWX says about a second one, by the field it says it of.
        fixed: Fields that only a POST sets, and a PUT ignores.
        unified: Whether it is a unified job template. Those count their ids together.
    """

    type: str
    fields: Sequence[str]
    unique: Sequence[str] = ()
    duplicate: Mapping[str, str] | None = None
    fixed: Sequence[str] = ()
    unified: bool = False


def _soft(model: str, other: str) -> Mapping[str, str]:
    # PrimordialModel.validate_unique, main/models/base.py, and JobTemplate.validate_unique, main/models/jobs.py.
    return {"__all__": f"{model} with this ({other}, name) combination already exists."}


NAMED = ("name", "description")
KINDS = {
    # The serializers of api/serializers.py whose names begin with the type; Meta.fields is the table.
    "organizations": Kind("organization", NAMED, ("name",), {"name": "Organization with this Name already exists."}),
    "credential_types": Kind("credential_type", (*NAMED, "kind", "inputs"), ("name", "kind")),
    "credentials": Kind(
        "credential",
        (*NAMED, "organization", "credential_type", "inputs"),
        ("organization", "name", "credential_type"),
        # Django's text for unique_together, main/models/credential/__init__.py.
        {"__all__": "Credential with this Organization, Name and Credential type already exists."},
    ),
    "execution_environments": Kind(
        "execution_environment",
        (*NAMED, "organization", "image", "credential", "pull"),
        ("name",),
        # CommonModel, main/models/base.py; the text is that of BaseSerializer.build_standard_field.
        {"name": "Execution environment with this Name already exists."},
    ),
    "projects": Kind(
        "project",
        (
            *NAMED,
            *("local_path", "scm_type", "scm_url", "scm_branch", "scm_refspec", "scm_clean", "scm_track_submodules"),
            *("scm_delete_on_update", "credential", "timeout", "organization", "scm_update_on_launch"),
            *("scm_update_cache_timeout", "allow_override", "default_environment", "signature_validation_credential"),
        ),
        ("name", "organization"),
        _soft("Project", "organization"),
        unified=True,
    ),
    "inventories": Kind(
        "inventory",
        (*NAMED, "organization", "kind", "host_filter", "variables", "prevent_instance_group_fallback"),
        ("name", "organization"),
        # Django's text for unique_together, main/models/inventory.py.
        {"__all__": "Inventory with this Name and Organization already exists."},
    ),
    "inventory_sources": Kind(
        # No organization: neither InventorySourceSerializer nor those it inherits from have it. So AWX's client, whose
        # key is (organization, name, inventory), makes a key of name and inventory (awxkit/api/pages/page.py).
        "inventory_source",
        (
            *(*NAMED, "execution_environment", "source", "source_path", "source_vars", "scm_branch", "credential"),
            *("enabled_var", "enabled_value", "host_filter", "overwrite", "overwrite_vars", "timeout", "verbosity"),
            *("limit", "inventory", "update_on_launch", "update_cache_timeout", "source_project"),
        ),
        ("inventory", "name"),
        _soft("InventorySource", "inventory"),
        fixed=("inventory",),  # InventorySourceSerializer.build_relational_field
        unified=True,
    ),
    "job_templates": Kind(
        # Without organization: JobOptionsSerializer has it as read-only. It is the project's (JobTemplate.save).
        "job_template",
        (
            *(*NAMED, "job_type", "inventory", "project", "playbook", "scm_branch", "forks", "limit", "verbosity"),
            *("extra_vars", "job_tags", "force_handlers", "skip_tags", "start_at_task", "timeout", "use_fact_cache"),
            *("execution_environment", "host_config_key", "survey_enabled", "become_enabled", "diff_mode"),
            *("allow_simultaneous", "job_slice_count", "webhook_service", "webhook_credential"),
            "prevent_instance_group_fallback",
            *map(ASK, ("scm_branch", "diff_mode", "variables", "limit", "tags", "skip_tags", "job_type", "verbosity")),
            *map(ASK, ("inventory", "credential", "execution_environment", "labels", "forks", "job_slice_count")),
            *map(ASK, ("timeout", "instance_groups")),
        ),
        ("name", "organization"),
        _soft("JobTemplate", "organization"),
        unified=True,
    ),
    "workflow_job_templates": Kind(
        "workflow_job_template",
        (
            *(*NAMED, "extra_vars", "organization", "survey_enabled", "allow_simultaneous", "inventory", "limit"),
            *("scm_branch", "webhook_service", "webhook_credential", "skip_tags", "job_tags"),
            *map(ASK, ("variables", "inventory", "scm_branch", "limit", "labels", "skip_tags", "tags")),
        ),
        ("name", "organization"),
        _soft("WorkflowJobTemplate", "organization"),
        unified=True,
    ),
    "workflow_job_template_nodes": Kind(
        "workflow_job_template_node",
        (
            *("extra_data", "inventory", "scm_branch", *LAUNCH_OPTIONS, "limit", "execution_environment"),
            *("workflow_job_template", "unified_job_template", "all_parents_must_converge", "identifier"),
        ),
        ("identifier", "workflow_job_template"),
        # Django's text for unique_together, main/models/workflow.py.
        {"__all__": "Workflow job template node with this Identifier and Workflow job template already exists."},
        fixed=("workflow_job_template",),  # WorkflowJobTemplateNodeSerializer.build_relational_field
    ),
    "workflow_approval_templates": Kind("workflow_approval_template", (*NAMED, "timeout"), unified=True),
    "schedules": Kind(
        "schedule",
        (
            *(*NAMED, "enabled", "rrule", "unified_job_template", "extra_data", "inventory", "scm_branch", "limit"),
            *(*LAUNCH_OPTIONS, "execution_environment"),
        ),
        ("unified_job_template", "name"),
        # Django's text for unique_together, main/models/schedules.py.
        {"__all__": "Schedule with this Unified job template and Name already exists."},
    ),
}
EMPTY = (
    *("users", "teams", "notification_templates", "applications", "system_job_templates", "labels", "groups", "hosts"),
    *("roles", "instance_groups"),
)
"""Lists that are there and stay empty."""
JOBS = {
    "jobs": "job",
    "workflow_jobs": "workflow_job",
    "project_updates": "project_update",
    "inventory_updates": "inventory_update",
}
SETTINGS = ("AWX_ISOLATION_SHOW_PATHS", "AWX_TASK_ENV")  # main/conf.py
NO_REVISION = "Missing a revision to run due to failed project update."
NODES = ("success_nodes", "failure_nodes", "always_nodes")
LISTS = {
    "workflow_nodes": "workflow_job_template_nodes",
    "credentials": "credentials",
    "schedules": "schedules",
    **dict.fromkeys(NODES, "workflow_job_template_nodes"),
}
FORBIDDEN: Answer = (403, {"detail": "You do not have permission to perform this action."})  # REST framework's text


class Refused(Exception):
    """A 400 with this body."""

    def __init__(self, body: Json) -> None:
        super().__init__(str(body))
        self.body = body


class Awx:
    """The objects, by the name of their list; `attached`: the related objects of one, by the path of the list.

    Attributes:
        superuser: Whether the token is a superuser's, or that of an admin of the organization Default.
        synchronizes: Whether the update of a project succeeds.
        playbooks: Those of every project that was updated.
        settings: What was written to AWX's settings.
        refusals: Each 4xx, as text.
    """

    def __init__(self, playbooks: Sequence[str] = ()) -> None:
        self.superuser = True
        self.synchronizes = True
        self.playbooks = set(playbooks)
        self.objects: dict[str, dict[int, Json]] = {name: {} for name in (*KINDS, *EMPTY, *JOBS)}
        self.attached: dict[str, list[int]] = {}
        self.surveys: dict[str, Json] = {}
        self.settings: Json = {}
        self.refusals: list[str] = []
        default = self.add("organizations", {"name": "Default"})
        for title, sort in (("Source Control", "scm"), ("Container Registry", "registry")):
            self.add("credential_types", {"name": title, "kind": sort})
        kind = self.add("credential_types", {"name": "Microsoft Azure Resource Manager", "kind": "cloud"})
        self.add("credentials", {"name": "Azure", "organization": default["id"], "credential_type": kind["id"]})

    def state(self) -> str:
        """Everything but the ids of approval templates, which each import makes anew, to compare with another time."""
        found = copy.deepcopy(self.objects)
        approvals = found.pop("workflow_approval_templates")
        for node in found["workflow_job_template_nodes"].values():
            approval = approvals.get(node["unified_job_template"])
            if approval:
                node["unified_job_template"] = [approval[field] for field in (*NAMED, "timeout")]
        return json.dumps([len(approvals), found, self.attached, self.surveys], sort_keys=True, indent=1)

    def add(self, name: str, values: Json) -> Json:
        """Make an object, unless it is a duplicate or wrong."""
        kind = KINDS[name]
        given = {field: values[field] for field in kind.fields if field in values}
        found = self._with_organization(name, {**{field: _default(field) for field in kind.fields}, **given})
        self._validate(name, found, None)
        family = [each for each, other in KINDS.items() if other.unified] if kind.unified else [name]
        number = 1 + max((number for each in family for number in self.objects[each]), default=0)
        found = {**found, "id": number, "type": kind.type, "url": f"/api/v2/{name}/{number}/", "summary_fields": {}}
        self.objects[name][number] = found
        if name == "projects":
            self._synchronize(found)
        return found

    def named(self, name: str, value: str, key: str = "name") -> Json:
        """The one object of a list with this name."""
        (found,) = [each for each in self.objects[name].values() if each.get(key) == value]
        return found

    def survey_of(self, template: Json) -> Json | None:
        return self.surveys.get(f"{template['url']}survey_spec/")

    def template(self, number: int) -> Json:
        """A unified job template."""
        for name, kind in KINDS.items():
            if kind.unified and number in self.objects[name]:
                return self.objects[name][number]
        raise Refused({"unified_job_template": [f'Invalid pk "{number}" - object does not exist.']})

    def shown(self, name: str, found: Json) -> Json:
        """An object with its links: get_related of the serializers. A link to what isn't there is left out."""
        related = {}
        for field, listed in IDS.items():
            if found.get(field):
                number = found[field]
                related[field] = f"/api/v2/{listed}/{number}/" if listed else self.template(number)["url"]
        more = {
            "projects": ("update", "project_updates"),
            "inventory_sources": ("update", "schedules"),
            "job_templates": ("credentials", "survey_spec", "launch", "schedules", "labels"),
            "workflow_job_templates": ("workflow_nodes", "survey_spec", "launch", "schedules", "labels"),
            "workflow_job_template_nodes": (*NODES, "create_approval_template", "credentials", "labels"),
            "jobs": ("job_events",),
            "project_updates": ("events",),
            "inventory_updates": ("events",),
        }
        related.update({each: f"{found['url']}{each}/" for each in more.get(name, ())})
        return {**found, "related": related}

    def answer(self, method: str, url: str, body: Json) -> Answer:
        """Returns status and body of an answer."""
        try:
            status, content = self._answer(method, url, body)
        except Refused as refused:
            status, content = 400, refused.body
        if status >= 400:
            self.refusals.append(json.dumps(content))
        return status, content

    def _answer(self, method: str, url: str, body: Json) -> Answer:
        path, query = urlsplit(url).path, dict(parse_qsl(urlsplit(url).query))
        if path == "/api/":
            return 200, {"available_versions": {"v2": "/api/v2/"}, "current_version": "/api/v2/"}
        if path == "/api/v2/":
            names = {("inventory" if name == "inventories" else name): f"/api/v2/{name}/" for name in self.objects}
            return 200, {**names, "settings": "/api/v2/settings/"}
        if path == "/api/v2/me/":
            return 200, _page([])
        if path.rstrip("/") == "/api/v2/unified_jobs":
            return 200, _page([self.shown(name, job) for name in JOBS for job in self.objects[name].values()])
        if path.startswith("/api/v2/settings/"):
            return self._settings(method, body)
        place = re.fullmatch(r"/api/v2/(\w+)/(?:([^/]+)/(?:(\w+)/)?)?", path)
        if place is None or place[1] not in self.objects:
            return 404, {"detail": "The requested resource could not be found."}
        name, part = place[1], place[3]
        if method == "OPTIONS":
            return 200, self._options(name, place[2], part)
        if place[2] is None:
            return self._list(method, name, body, query)
        number = int(place[2]) if place[2].isdecimal() else self._by_named_url(name, unquote(place[2]))
        if number not in self.objects[name]:
            return 404, {"detail": "Not found."}
        if part is not None:
            return self._part(method, name, self.objects[name][number], part, body)
        if method in ("PUT", "PATCH"):
            return self._change(name, self.objects[name][number], body, whole=method == "PUT")
        return 200, self.shown(name, self.objects[name][number])

    def _by_named_url(self, name: str, key: str) -> int | None:
        # URLModificationMiddleware, main/middleware.py: NAME++ORGANIZATION in place of an id.
        title, _between, organization = key.partition("++")
        for number, each in self.objects[name].items():
            owner = self.objects["organizations"].get(each.get("organization") or 0, {})
            if (each["name"], owner.get("name")) == (title, organization):
                return number
        return None

    def _list(self, method: str, name: str, body: Json, query: Json) -> Answer:
        if method == "POST":
            # ExecutionEnvironmentAccess.can_add, main/access.py: the organization is mandatory but for a superuser.
            if name == "execution_environments" and not self.superuser and not body.get("organization"):
                return FORBIDDEN
            if name in ("organizations", "credential_types") and not self.superuser:
                return FORBIDDEN
            return 201, self.shown(name, self.add(name, body))
        wanted = {key: value for key, value in query.items() if key not in ("page", "page_size", "order_by")}
        fits = [
            self.shown(name, each)
            for each in self.objects[name].values()
            if all(str(each.get(key)) == value for key, value in wanted.items())
        ]
        return 200, _page(fits)

    def _change(self, name: str, found: Json, body: Json, *, whole: bool) -> Answer:
        # ExecutionEnvironmentAccess.can_change, main/access.py: one without organization is a superuser's.
        if name == "execution_environments":
            if not self.superuser and not found["organization"]:
                return FORBIDDEN
            # ExecutionEnvironmentSerializer.validate
            if body.get("organization") not in (None, found["organization"]):
                raise Refused({"organization": ["Cannot change the organization of an execution environment"]})
        writable = [field for field in KINDS[name].fields if field not in KINDS[name].fixed]
        changed = {field: body[field] for field in writable if field in body}
        if whole:
            # DeprecatedCredentialField, api/fields.py, has a default, unlike other fields with an id.
            kept = {*IDS, *changed} - ({"credential"} - changed.keys() if name == "inventory_sources" else set())
            changed.update({field: _default(field) for field in writable if field not in kept})
        after = self._with_organization(name, {**found, **changed})
        self._validate(name, after, found)
        # Project.save, main/models/projects.py: FIELDS_TRIGGER_UPDATE
        again = any(found.get(each) != after.get(each) for each in ("scm_url", "scm_branch", "scm_type", "scm_refspec"))
        if name == "workflow_job_template_nodes":
            self._forget_approval(found, after["unified_job_template"])
        found.update(after)
        if name == "projects" and again:
            self._synchronize(found)
        return 200, self.shown(name, found)

    def _forget_approval(self, node: Json, template: int | None) -> None:
        # delete_approval_node_type_change, main/signals.py
        if node["unified_job_template"] != template:
            self.objects["workflow_approval_templates"].pop(node["unified_job_template"] or 0, None)

    def _with_organization(self, name: str, values: Json) -> Json:
        if name != "job_templates":
            return values
        project = self.objects["projects"].get(values.get("project") or 0, {})
        return {**values, "organization": project.get("organization")}

    def _validate(self, name: str, values: Json, found: Json | None) -> None:
        kind = KINDS[name]
        for field in kind.fields:
            error = self._wrong(field, values[field])
            if error:
                raise Refused({field: [error]})
        if name == "inventories" and not values["organization"]:
            raise Refused({"organization": ["This field is required."]})
        if name == "job_templates":
            self._validate_playbook(values)
        key = [values.get(field) for field in kind.unique]
        others = [each for each in self.objects[name].values() if each is not found]
        if kind.unique and key in [[each.get(field) for field in kind.unique] for each in others]:
            raise Refused({field: [text] for field, text in (kind.duplicate or {}).items()})

    def _wrong(self, field: str, value: Any) -> str | None:
        # REST framework's texts: PrimaryKeyRelatedField, BooleanField, IntegerField, CharField.
        if field in IDS:
            if value is None:
                return None
            if not IDS[field]:
                self.template(value)
                return None
            return None if value in self.objects[IDS[field]] else f'Invalid pk "{value}" - object does not exist.'
        if field in BOOLEANS or field.startswith("ask_"):
            return None if isinstance(value, bool | None) else "Must be a valid boolean."
        if field in INTEGERS:
            return None if isinstance(value, int | None) else "A valid integer is required."
        if field in ("inputs", "extra_data"):
            return None
        return "Not a valid string." if isinstance(value, bool | list | dict) else None

    def _validate_playbook(self, values: Json) -> None:
        # JobOptionsSerializer.validate and JobTemplateSerializer.validate
        project = self.objects["projects"].get(values["project"])
        if project is None:
            raise Refused({"project": ["This field is required."]})
        if values["playbook"] not in project["playbook_files"]:
            raise Refused({"playbook": ["Playbook not found for project."]})
        if not values["inventory"] and not values[ASK("inventory")]:
            raise Refused({"inventory": ["You must either set a default value or ask to prompt on launch."]})

    def _synchronize(self, project: Json) -> None:
        project["status"] = "successful" if self.synchronizes else "failed"
        if self.synchronizes:
            project["playbook_files"] = sorted(self.playbooks)
        project.setdefault("playbook_files", [])

    def _part(self, method: str, name: str, owner: Json, part: str, body: Json) -> Answer:
        path = f"{owner['url']}{part}/"
        if part == "survey_spec":
            if method == "POST":
                error = spec_error(body)
                if error:
                    raise Refused({"error": error})
                self.surveys[path] = body
                return 200, None
            return 200, self.surveys.get(path, {})
        if part == "launch":
            return self._launch(name, owner, body)
        if part == "update":
            if name == "projects":
                self._synchronize(owner)
            elif _without_revision(self.objects["projects"][owner["source_project"]]):
                # InventorySourceUpdateSerializer.validate, api/serializers.py
                raise Refused({"non_field_errors": [NO_REVISION]})
            job = self._job("project_updates" if name == "projects" else "inventory_updates", owner, {})
            return 202, job
        if part == "create_approval_template":
            if method != "POST":
                return 200, {}  # WorkflowJobTemplateNodeCreateApprovalSerializer.to_representation
            # WorkflowJobTemplateNode.create_approval_template, main/models/workflow.py: a new one each time
            made = self.add("workflow_approval_templates", body)
            self._forget_approval(owner, made["id"])
            owner["unified_job_template"] = made["id"]
            return 201, self.shown("workflow_approval_templates", made)
        if part in ("job_events", "events", "labels", "project_updates"):
            return 200, _page([])
        return self._related(method, path, LISTS[part], part, body, owner)

    def _related(self, method: str, path: str, name: str, part: str, body: Json, owner: Json) -> Answer:
        # SubListCreateAttachDetachAPIView, api/generics.py
        parents = {"workflow_nodes": "workflow_job_template", "schedules": "unified_job_template"}
        if method == "POST" and part in parents:
            made = {**body, parents[part]: owner["id"]}
            if part == "schedules":
                self._judge_schedule(owner, made)
            return 201, self.shown(name, self.add(name, made))
        if part in parents:
            found = [each for each in self.objects[name].values() if each[parents[part]] == owner["id"]]
        else:
            attached = self.attached.setdefault(path, [])
            if method == "POST":
                self._attach(owner, part, attached, body)
                return 204, None
            found = [self.objects[name][each] for each in attached]
        return 200, _page([self.shown(name, each) for each in found])

    def _attach(self, owner: Json, part: str, attached: list[int], body: Json) -> None:
        number = body["id"]
        if body.get("disassociate"):
            attached.remove(number)
            return
        if part == "credentials":
            # JobTemplateCredentialsList.is_valid_relation, api/views/__init__.py
            kinds = {each: self.objects["credentials"][each]["credential_type"] for each in (*attached, number)}
            if kinds[number] in [kinds[each] for each in attached]:
                kind = self.objects["credential_types"][kinds[number]]["name"]
                raise Refused({"error": f"Cannot assign multiple {kind} credentials."})
        else:
            # WorkflowJobTemplateNodeChildrenBaseList.is_valid_relation, api/views/__init__.py
            others = [each for each in NODES if each != part]
            if any(number in self.attached.get(f"{owner['url']}{each}/", []) for each in others):
                raise Refused({"Error": "Relationship not allowed."})
            if owner["id"] in self._reached(number):
                raise Refused({"Error": "Cycle detected."})
        if number not in attached:
            attached.append(number)

    def _reached(self, node: int) -> set[int]:
        found, left = {node}, [node]
        while left:
            url = self.objects["workflow_job_template_nodes"][left.pop()]["url"]
            new = {end for part in NODES for end in self.attached.get(f"{url}{part}/", [])} - found
            found |= new
            left.extend(new)
        return found

    def _launch(self, name: str, template: Json, body: Json) -> Answer:
        # JobTemplateLaunch and JobLaunchSerializer.validate, api/views/__init__.py and api/serializers.py
        survey = self.survey_of(template)
        accepted, ignored, errors = judged(template, survey, PROMPTS[name], body)
        project = self.objects["projects"].get(template.get("project") or 0, {})
        if _without_revision(project):
            errors["playbook"] = NO_REVISION
        if errors:
            raise Refused(errors)
        given = accepted.pop("extra_vars")
        values = {each: accepted.get(each, template.get(each)) for each in PROMPTS[name]}
        values["extra_vars"] = json.dumps(handed_on(template, survey, given))
        kind = "jobs" if name == "job_templates" else "workflow_jobs"
        return 201, self._job(kind, template, {**values, "ignored_fields": ignored})

    def _judge_schedule(self, template: Json, body: Json) -> None:
        # LaunchConfigurationBaseSerializer.validate, api/serializers.py
        name = next(each for each, kind in KINDS.items() if kind.type == template["type"])
        if name in PROMPTS:
            _accepted, _ignored, errors = judged(template, self.survey_of(template), PROMPTS[name], body, saved=True)
            if errors:
                raise Refused(errors)

    def _job(self, name: str, template: Json, values: Json) -> Json:
        number = 1 + max((number for each in JOBS for number in self.objects[each]), default=0)
        job = {
            **values,
            "id": number,
            "name": template["name"],
            "type": JOBS[name],
            "url": f"/api/v2/{name}/{number}/",
            "unified_job_template": template["id"],
            "status": "successful",
            "failed": False,
            "finished": "2026-01-01T00:00:00Z",
            "event_processing_finished": True,
            "summary_fields": {},
        }
        self.objects[name][number] = job
        return self.shown(name, job)

    def _options(self, name: str, number: str | None, part: str | None) -> Json:
        listed = LISTS.get(part or "", name)
        fields = {field: _described(field) for field in (KINDS[listed].fields if listed in KINDS else ())}
        if part in NODES or part == "credentials":
            fields["id"] = {"type": "integer"}  # api/metadata.py: a list to attach to
        if part == "launch":
            fields = {field: _described(field) for field in PROMPTS[name]}
        elif part == "update":
            fields = {}
        elif part == "create_approval_template":
            fields = {field: _described(field) for field in (*NAMED, "timeout")}
        if number is not None and part is None:
            return {"name": name, "description": "", "actions": {"PUT": fields, "GET": fields}}
        found = {"name": name, "description": "", "actions": {"GET": fields, "POST": fields}}
        return {**found, "search_fields": ["name", "description"]}

    def _settings(self, method: str, body: Json) -> Answer:
        if method == "PATCH":
            self.settings.update(body)
        if method == "OPTIONS":
            fields = {name: {"type": "nested object"} for name in SETTINGS}
            return 200, {"name": "Setting Detail", "description": "", "actions": {"GET": fields, "PUT": fields}}
        return 200, self.settings


def _page(results: list[Json]) -> Json:
    return {"count": len(results), "next": None, "previous": None, "results": results}


def _without_revision(project: Json) -> bool:
    # Project.get_reason_if_failed, main/models/projects.py
    return project.get("status") == "failed" and not project["scm_update_on_launch"]


def _default(field: str) -> Any:
    if field in DEFAULTS:
        return DEFAULTS[field]
    if field in IDS:
        return None
    if field in BOOLEANS or field.startswith("ask_"):
        return False
    return 0 if field in INTEGERS else ""


def _described(field: str) -> Json:
    # Metadata.get_field_info, api/metadata.py
    if field in ("extra_vars", "extra_data", "inputs"):
        return {"type": "json"}
    if field == "credentials":
        return {"type": "list_of_ids"}
    if field in IDS:
        return {"type": "id"}
    if field in BOOLEANS or field.startswith("ask_"):
        return {"type": "boolean"}
    return {"type": "integer" if field in INTEGERS else "string"}


@contextmanager
def serving(awx: Awx) -> Iterator[str]:
    """Serve on loopback; gives the URL."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            with lock:
                status, answer = awx.answer(self.command, self.path, body)
            content = b"" if answer is None else json.dumps(answer).encode()
            detail = re.fullmatch(r"/api/v2/\w+/\d+/", urlsplit(self.path).path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Allow", f"GET, {'PUT, PATCH, DELETE' if detail else 'POST'}, HEAD, OPTIONS")
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
