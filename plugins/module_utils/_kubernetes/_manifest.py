# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests: what applying or deleting them would change, and doing it.

Predictions are the server's own, by dry runs. Where a dry run is impossible because the namespace is still to come, the
object is validated by a dry run under another name in the namespace ``default``.
https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

import copy
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded, Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, duration_text
from ansible_collections.aks.gpu.plugins.module_utils._ansible._runs import limit_of_task, run_of_task, why_kept
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Connect
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import KubernetesError
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._manifest_objects import (
    LEASE,
    brought,
    causes_text,
    conflict_text,
    is_immutable,
    is_lease,
    is_own,
    is_settling,
    is_terminating,
    lacks_namespace,
    lease_seconds,
    masked_pair,
    owner_uids,
    parse_definition,
    shortened_object,
    taken_over,
    why_still_there,
    without_fields,
    without_managed_fields,
    without_server_fields,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._ownership import (
    CREATED_BY_ANNOTATION,
    RUN_ANNOTATION,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._paths import ResourceType
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._resources import Resources, UnknownKind, describe
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._secrets import (
    mask_objects,
    secret_values,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._watch import Query, observe

PROBE_NAMESPACE = "default"
SETTLE_SECONDS = 30.0
"""How long what is about to be ready may take: a new CustomResourceDefinition, a namespace's service account."""


LEASE_SECONDS = 60.0
"""The longest Lease whose end is waited for. Controllers take 15 s by default."""

LEASE_LOOK_SECONDS = 1.0

NAMESPACE_FIRST = "Put the Namespace in front of what lives in it."


@dataclass
class ManifestStep:
    """What is to become of one object.

    Attributes:
        manifest: As it will be sent, or for a deletion as it was given.
        kind: How it is served; None for a kind that an earlier step brings.
        action: ``created``, ``changed``, ``recreated``, ``deleted``, ``unchanged`` or ``left``.
        live: The object now; None when there is none.
        after: The object to come; None when it is deleted.
        reason: Why it is left alone.
        problem: Why the action is impossible; None when it is possible.
        namespace_missing: Its namespace is not there, and no step before it brings that.
        terminating: Somebody is deleting it already, so that only its end is to be awaited.
        of_other_run: It is left because it is not known to be of the run that the removal is limited to.
    """

    manifest: dict[str, Any]
    kind: ResourceType | None
    action: str = "unchanged"
    live: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    reason: str = ""
    problem: str | None = None
    namespace_missing: bool = False
    terminating: bool = False
    of_other_run: bool = False

    @property
    def writes(self) -> bool:
        """True when the step changes the cluster."""
        return self.action not in ("unchanged", "left")

    @property
    def served_kind(self) -> ResourceType:
        """How the object is served, once that is known."""
        if self.kind is None:
            raise RuntimeError(f"Nobody has looked up how a {self.manifest.get('kind')} is served.")
        return self.kind

    @property
    def found(self) -> dict[str, Any]:
        """The object in the cluster, of a step that removes it."""
        if self.live is None:
            raise RuntimeError(f"There is no {self.manifest.get('kind')} to remove.")
        return self.live

    def as_result(self) -> dict[str, Any]:
        """Returns the step as a return value."""
        shown = self.after if self.after is not None else self.live
        metadata = self.manifest.get("metadata") or {}
        return {
            "api_version": self.manifest.get("apiVersion"),
            "kind": self.manifest.get("kind"),
            "namespace": metadata.get("namespace"),
            "name": metadata.get("name"),
            "action": self.action,
            "reason": self.reason,
            "object": shortened_object(mask_objects(without_managed_fields(shown))) if shown else None,
        }


def plan_objects(task: Task, connect: Connect) -> Plan:
    """Plans what the module ``manifest`` does.

    Args:
        task: Its options are those of the module.
        connect: Returns a client of the cluster.

    Raises:
        Failure: The definition can't be used, or the server refuses some of it; every object is named at once.
    """
    params = task.params
    if params["state"] == "absent":
        limit_of_task(params)
    client = connect()
    objects = parse_definition(params["definition"])
    work = _ManifestWork(task, Resources(client), client.access.namespace)
    steps = work.absent(objects) if params["state"] == "absent" else work.present(objects)
    for step in steps:
        if step.live and step.live.get("kind") == "Secret":
            task.secret(*secret_values(step.live))
    problems = [f"{describe(step.manifest)}: {step.problem}" for step in steps if step.problem]
    if len(problems) == 1:
        raise Failure(problems[0])
    if problems:
        raise Failure("\n".join([f"{len(problems)} objects can't be as wanted:", *(f"- {text}" for text in problems)]))
    changed = any(step.writes for step in steps)
    before, after = _diff(steps)
    return Plan(
        changed=changed,
        result=_manifest_result(steps, params["return_objects"]),
        apply=(lambda: work.carry_out(steps)) if changed or any(step.terminating for step in steps) else None,
        before=before,
        after=after,
        warnings=[f"{describe(step.manifest)} is left: {step.reason}." for step in steps if step.of_other_run],
    )


@dataclass
class _ManifestWork:
    task: Task
    resources: Resources
    namespace: str
    _announced: set[str] = field(default_factory=set)

    def present(self, objects: Iterable[dict[str, Any]]) -> list[ManifestStep]:
        """Returns the steps that bring the objects about, in the order given."""
        coming_kinds: set[tuple[str, str]] = set()
        steps = []
        for found in objects:
            step = self._step(found, coming_kinds)
            if step.problem is None and step.kind is not None:
                try:
                    self._predict(step)
                except KubernetesError as error:
                    step.problem = f"{causes_text(error)}." if error.reason == "Invalid" else str(error)
            if found["kind"] == "CustomResourceDefinition":
                coming_kinds |= brought(found)
            if step.action in ("created", "recreated") and found["kind"] == "Namespace":
                self._announced.add(found["metadata"]["name"])
            steps.append(step)
        return steps

    def absent(self, objects: Iterable[dict[str, Any]]) -> list[ManifestStep]:
        """Returns the steps that remove the objects, in the reverse of the order given."""
        steps: list[ManifestStep] = []
        for found in reversed(list(objects)):
            step = ManifestStep(found, None)
            steps.append(step)
            try:
                step.kind = self.resources.type_of(found["apiVersion"], found["kind"])
            except UnknownKind:
                continue
            step.manifest = self._placed(found, step.kind)
            try:
                self._predict_removal(step, steps)
            except KubernetesError as error:
                step.problem = str(error)
        return steps

    def carry_out(self, steps: list[ManifestStep]) -> dict[str, Any]:
        """Does what the steps say, in their order.

        Raises:
            KubernetesError: The server refused.
            Failure: A namespace is not there; nothing was changed then.
            DeadlineExceeded: A deletion took longer than ``wait_timeout``.
        """
        self._require_namespaces(steps)
        deadline = self.task.deadline(self.task.params["wait_timeout"])
        for step in steps:
            if step.action == "deleted":
                self._remove(step, deadline)
            elif step.terminating and self.task.params["wait"]:
                self._wait_gone(step, deadline)
            elif step.writes:
                self._apply_step(step, deadline)
        return {
            **_manifest_result(steps, self.task.params["return_objects"]),
            "changed": any(step.writes for step in steps),
        }

    def _require_namespaces(self, steps: list[ManifestStep]) -> None:
        """Refuses objects in namespaces that are not there, which a prediction takes for still to come."""
        names = {step.manifest["metadata"]["namespace"] for step in steps if step.namespace_missing}
        if not names:
            return
        kind = self.resources.type_of("v1", "Namespace")
        missing = [name for name in sorted(names) if self.resources.get(kind, None, name) is None]
        if missing:
            text = ", ".join(f'namespaces "{name}" not found' for name in missing)
            raise Failure(f"{text}. Nothing was changed.", hint=NAMESPACE_FIRST)

    def _step(self, found: dict[str, Any], coming_kinds: set[tuple[str, str]]) -> ManifestStep:
        step = ManifestStep(found, None)
        try:
            step.kind = self.resources.type_of(found["apiVersion"], found["kind"])
            step.manifest = self._placed(found, step.kind)
        except UnknownKind as error:
            if (found["apiVersion"], found["kind"]) in coming_kinds:
                step.action, step.after = "created", found
            else:
                step.problem = str(error)
        except KubernetesError as error:
            step.problem = str(error)
        return step

    def _placed(self, found: dict[str, Any], kind: ResourceType) -> dict[str, Any]:
        """Returns a manifest with its namespace where the kind has them, and without one where it has not."""
        placed = copy.deepcopy(found)
        if kind.namespaced:
            placed["metadata"]["namespace"] = placed["metadata"].get("namespace") or self.namespace
        else:
            placed["metadata"].pop("namespace", None)
        return placed

    def _predict(self, step: ManifestStep) -> None:
        metadata = step.manifest["metadata"]
        step.live = self.resources.get(step.served_kind, metadata.get("namespace"), metadata["name"])
        terminating = step.live is not None and bool(step.live["metadata"].get("deletionTimestamp"))
        marks = self._marks(None if terminating else step.live)
        if marks:
            metadata["annotations"] = {**(metadata.get("annotations") or {}), **marks}
        if terminating or metadata.get("namespace") in self._announced:
            step.action = "recreated" if terminating else "created"
            step.after = self._dry_run_under_temporary_name(step, PROBE_NAMESPACE)
            return
        if step.live is not None and self._is_to_be_anew(step):
            self._predict_anew(step)
            return
        try:
            step.after = self._predict_apply(step)
        except KubernetesError as error:
            if lacks_namespace(error):
                step.namespace_missing = not is_terminating(error)
                if step.namespace_missing and self.task.params["namespaces_exist"]:
                    step.problem = f"there is no namespace {metadata.get('namespace')}."
                step.action = "created"
                step.after = self._dry_run_under_temporary_name(step, PROBE_NAMESPACE)
            elif is_immutable(error):
                self._predict_recreation(step, error)
            elif error.reason == "Conflict":
                step.problem = conflict_text(error)
            else:
                raise
            return
        if step.live is None:
            step.action = "created"
        elif without_server_fields(step.live) != without_server_fields(step.after):
            step.action = "changed"

    def _marks(self, live: dict[str, Any] | None) -> dict[str, str]:
        """Returns the annotations that are this module's own.

        Server-side apply removes what an owner no longer sends: an object keeps its marks only if they are sent again.
        """
        if live is None:
            run = run_of_task(self.task.params)
            return {CREATED_BY_ANNOTATION: self._manager, **({RUN_ANNOTATION: run} if run else {})}
        noted = live["metadata"].get("annotations") or {}
        if CREATED_BY_ANNOTATION not in noted:
            return {}
        kept = {RUN_ANNOTATION: noted[RUN_ANNOTATION]} if RUN_ANNOTATION in noted else {}
        return {CREATED_BY_ANNOTATION: self._manager, **kept}

    def _predict_apply(self, step: ManifestStep) -> dict[str, Any]:
        """Returns what applying would make of an object; fields that a controller has taken over are left to it."""
        try:
            return self._apply(step, dry_run=True, force=False)
        except KubernetesError as error:
            if error.reason != "Conflict":
                raise
            taken = taken_over(step.manifest, error)
            if not taken and not self.task.params["force_conflicts"]:
                raise
        step.manifest = without_fields(step.manifest, taken)
        return self._apply(step, dry_run=True)

    def _is_to_be_anew(self, step: ManifestStep) -> bool:
        place = step.manifest["kind"], step.manifest["metadata"].get("namespace"), step.manifest["metadata"]["name"]
        for found in self.task.params["recreate"]:
            metadata = found.get("metadata") or {}
            namespace = metadata.get("namespace") or self.namespace if step.served_kind.namespaced else None
            if (found.get("kind"), namespace, metadata.get("name")) == place:
                return True
        return False

    def _predict_anew(self, step: ManifestStep) -> None:
        if not (self.task.params["force_conflicts"] or is_own(step.live)):
            step.problem = (
                "it was not created by aks.gpu, so it is not deleted to be created anew. Delete it, choose another "
                "name, or set O(force_conflicts=true)."
            )
            return
        metadata = step.manifest["metadata"]
        others = {name: text for name, text in (metadata.get("annotations") or {}).items() if name != RUN_ANNOTATION}
        metadata["annotations"] = {**others, **self._marks(None)}
        step.action = "recreated"
        step.after = self._dry_run_under_temporary_name(step, metadata.get("namespace"))

    def _predict_recreation(self, step: ManifestStep, error: KubernetesError) -> None:
        if not (self.task.params["force_conflicts"] or is_own(step.live)):
            step.problem = (
                f"it was not created by aks.gpu, and it can't be changed in place ({causes_text(error)}). Delete it, "
                f"choose another name, or set {self._what_recreates()}, which deletes it and creates it anew."
            )
            return
        if not self.task.params["recreate_immutable"]:
            step.problem = (
                f"it can't be changed in place ({causes_text(error)}). O(recreate_immutable=true) deletes it "
                "and creates it anew."
            )
            return
        step.action = "recreated"
        step.after = self._dry_run_under_temporary_name(step, step.manifest["metadata"].get("namespace"))

    def _what_recreates(self) -> str:
        recreated = self.task.params["recreate_immutable"]
        return "O(force_conflicts=true)" + ("" if recreated else " and O(recreate_immutable=true)")

    def _dry_run_under_temporary_name(self, step: ManifestStep, namespace: str | None) -> dict[str, Any]:
        """Returns the manifest after the server has checked it under a name and in a namespace where it can."""
        probe = copy.deepcopy(step.manifest)
        metadata = step.manifest["metadata"]
        # The own name stays in it, for that is checked as well; 40 characters leave room for names of 63.
        name = metadata["name"] if len(metadata["name"]) <= 40 else metadata["name"][:40].rstrip("-.")
        probe["metadata"]["name"] = other = f"{name}-{secrets.token_hex(4)}"
        if step.served_kind.namespaced:
            probe["metadata"]["namespace"] = namespace
        try:
            self.resources.apply(step.served_kind, probe, field_manager=self._manager, dry_run=True)
        except KubernetesError as error:
            if error.status in (403, 404, 409):
                # The namespace's own rules, or a rule that only lets some names pass: nothing against the manifest.
                return step.manifest
            own = f"{metadata['namespace']}/{metadata['name']}" if step.served_kind.namespaced else metadata["name"]
            text = error.message.replace(f"{namespace}/{other}", own).replace(other, metadata["name"])
            causes = [{**cause, "message": str(cause.get("message")).replace(other, name)} for cause in error.causes]
            raise KubernetesError(text, status=error.status, reason=error.reason, causes=causes) from error
        return step.manifest

    def _predict_removal(self, step: ManifestStep, steps: list[ManifestStep]) -> None:
        metadata = step.manifest["metadata"]
        step.live = self.resources.get(step.served_kind, metadata.get("namespace"), metadata["name"])
        if step.live is None:
            return
        if self.task.params["only_created_by_us"] and not is_own(step.live):
            step.action, step.reason = "left", "it was not created by aks.gpu"
            return
        kept = why_kept((step.live["metadata"].get("annotations") or {}).get(RUN_ANNOTATION), self.task.params)
        if kept is not None:
            step.action, step.reason, step.of_other_run = "left", kept, True
            return
        if step.live["metadata"].get("deletionTimestamp"):
            step.terminating = True
            return
        if self.task.params["only_if_empty"] and step.manifest["kind"] == "Namespace":
            step.reason = self._remaining_contents(metadata["name"], steps)
            if step.reason:
                step.action = "left"
                return
        self.resources.delete(step.served_kind, step.live, dry_run=True)
        step.action = "deleted"

    def _remaining_contents(self, namespace: str, steps: list[ManifestStep]) -> str:
        """Returns what lives in a namespace besides what the steps remove; empty when nothing does.

        A Lease is a lock: it is nothing without who holds it, which ``_holders`` looks at. What belongs only to objects
        that have gone is about to go: https://kubernetes.io/docs/concepts/architecture/garbage-collection/
        """
        contents, unknown = self.resources.contents(namespace)
        contents = [found for found in contents if not is_lease(found)]
        terminating = {step.live["metadata"]["uid"] for step in steps if step.live and step.action == "deleted"}
        terminating |= self._orphans(namespace, contents)
        while True:
            # What belongs to an object that goes, goes with it: Pods, ControllerRevisions.
            more = {
                found["metadata"]["uid"] for found in contents if owner_uids(found) and owner_uids(found) <= terminating
            } - terminating
            if not more:
                break
            terminating |= more
        staying = [
            found
            for found in contents
            if found["metadata"]["uid"] not in terminating and not found["metadata"].get("deletionTimestamp")
        ]
        if staying:
            shown = ", ".join(
                describe({**found, "metadata": {"name": found["metadata"]["name"]}}) for found in staying[:5]
            )
            more_text = f" and {len(staying) - 5} more" if len(staying) > 5 else ""
            return f"something else lives in it: {shown}{more_text}"
        if unknown:
            return f"it can't be told to be empty: {', '.join(unknown)}"
        return ""

    def _orphans(self, namespace: str, contents: Iterable[dict[str, Any]]) -> set[str]:
        """Returns the uids of those objects of a namespace whose owners have all gone."""
        there: dict[str, bool] = {found["metadata"]["uid"]: True for found in contents}
        for found in contents:
            for owner in found["metadata"].get("ownerReferences") or []:
                if owner["uid"] not in there:
                    there[owner["uid"]] = self._exists(namespace, owner)
        return {
            found["metadata"]["uid"]
            for found in contents
            if owner_uids(found) and not any(there[uid] for uid in owner_uids(found))
        }

    def _exists(self, namespace: str, owner: dict[str, Any]) -> bool:
        """Says whether an owner is there. One that can't be looked at is taken for there, as the collector does."""
        try:
            kind = self.resources.type_of(owner["apiVersion"], owner["kind"])
            live = self.resources.get(kind, namespace if kind.namespaced else None, owner["name"])
        except KubernetesError as error:
            if error.status in (0, 401):
                raise
            return True
        return live is not None and live["metadata"]["uid"] == owner["uid"]

    def _holders(self, namespace: str, deadline: Deadline) -> str:
        """Returns who renews a Lease of a namespace; empty when nobody does.

        As client-go's leader election does, it watches whether a Lease is renewed, and compares no clocks.
        https://pkg.go.dev/k8s.io/client-go/tools/leaderelection
        """
        first = {lease["metadata"]["name"]: lease for lease in self.resources.items(LEASE, namespace)}
        held = {name: lease for name, lease in first.items() if (lease.get("spec") or {}).get("holderIdentity")}
        longest = max((lease_seconds(lease) for lease in held.values()), default=0.0)
        end = self.task.deadline(min(longest, LEASE_SECONDS, deadline.remaining()))
        while held:
            for lease in self.resources.items(LEASE, namespace):
                name = lease["metadata"]["name"]
                before = held.get(name, {}).get("spec") or {}
                now = lease.get("spec") or {}
                if now.get("holderIdentity") and now.get("renewTime") != before.get("renewTime"):
                    return f"Lease {name}, which {now['holderIdentity']} renews"
            if end.expired:
                break
            self.task.progress(f"Namespace {namespace}: waits for Lease {', '.join(sorted(held))} to run out")
            time.sleep(min(LEASE_LOOK_SECONDS, max(0.05, end.remaining())))
        unsure = [name for name, lease in held.items() if lease_seconds(lease) > end.seconds]
        return f"Lease {', '.join(unsure)}, which has not run out yet" if unsure else ""

    @property
    def _manager(self) -> str:
        return str(self.task.params["field_manager"])

    def _apply(self, step: ManifestStep, *, dry_run: bool = False, force: bool | None = None) -> dict[str, Any]:
        force = bool(self.task.params["force_conflicts"]) if force is None else force
        return self.resources.apply(
            step.served_kind, step.manifest, field_manager=self._manager, force=force, dry_run=dry_run
        )

    def _apply_step(self, step: ManifestStep, deadline: Deadline) -> None:
        settle = self.task.deadline(min(SETTLE_SECONDS, max(deadline.remaining(), 1.0)))
        if step.kind is None:
            step.kind = self._type_when_served(step.manifest, settle)
            step.manifest = self._placed(step.manifest, step.kind)
        if step.action == "recreated" and step.live is not None:
            if not step.live["metadata"].get("deletionTimestamp"):
                self.resources.delete(step.kind, step.live)
            self._wait_gone(step, deadline)
        while True:
            try:
                step.after = self._apply(step)
                return
            except KubernetesError as error:
                if error.reason == "Conflict":
                    raise Failure(f"{describe(step.manifest)}: {conflict_text(error)}") from error
                waiting = deadline if is_terminating(error) else settle
                if not (is_terminating(error) or is_settling(error)) or waiting.expired:
                    hint = NAMESPACE_FIRST if lacks_namespace(error) else error.hint
                    raise KubernetesError(
                        f"{describe(step.manifest)}: {error.message}",
                        hint=hint,
                        status=error.status,
                        reason=error.reason,
                        causes=error.causes,
                    ) from error
                self.task.progress(f"{describe(step.manifest)}: {error.message}")
                time.sleep(0.2)

    def _type_when_served(self, manifest: dict[str, Any], settle: Deadline) -> ResourceType:
        while True:
            try:
                return self.resources.type_of(manifest["apiVersion"], manifest["kind"])
            except UnknownKind:
                if settle.expired:
                    raise
                time.sleep(0.2)

    def _remove(self, step: ManifestStep, deadline: Deadline) -> None:
        metadata = step.manifest["metadata"]
        if self.task.params["only_if_empty"] and step.manifest["kind"] == "Namespace":
            reason = self._remaining_contents(metadata["name"], [])
            if not reason and (holder := self._holders(metadata["name"], deadline)):
                reason = f"something else lives in it: {holder}"
            if reason:
                step.action, step.reason = "left", reason
                return
        self.resources.delete(step.served_kind, step.found)
        if self.task.params["wait"]:
            self._wait_gone(step, deadline)

    def _wait_gone(self, step: ManifestStep, deadline: Deadline) -> None:
        metadata = step.found["metadata"]
        query = Query(
            step.served_kind.path(metadata.get("namespace")), field_selector=f"metadata.name={metadata['name']}"
        )
        last = step.found
        lost: str | None = None
        with observe(self.resources.client, {"object": query}) as watch:
            for state in watch.states(deadline):
                found = state.objects["object"].get(metadata["uid"])
                if found is None:
                    return
                last, lost = found, state.lost
                self.task.progress(f"{describe(step.manifest)}: being deleted")
        left = f"{describe(step.manifest)} is not gone after {duration_text(deadline.seconds)}."
        unseen = [f"It could not be watched: {lost}"] if lost else []
        raise DeadlineExceeded(" ".join([left, *unseen, *why_still_there(last), *self._dependents(last)]))

    def _dependents(self, owner: dict[str, Any]) -> list[str]:
        """Says which Pods an owner that is being deleted waits for."""
        if not owner["metadata"].get("namespace"):
            return []
        pods = self.resources.items(self.resources.type_of("v1", "Pod"), owner["metadata"]["namespace"])
        mine = [pod for pod in pods if owner["metadata"]["uid"] in owner_uids(pod)]
        said = [f"{describe({'kind': 'Pod', **pod})} on {pod['spec'].get('nodeName') or 'no node'}" for pod in mine[:5]]
        return [f"It waits for {', '.join(said)}: a node that is not Ready can't end its Pods."] if said else []


def _manifest_result(steps: list[ManifestStep], with_objects: bool) -> dict[str, Any]:
    results = [step.as_result() for step in steps]
    return {"resources": results if with_objects else [{**result, "object": None} for result in results]}


def _diff(steps: list[ManifestStep]) -> tuple[dict[str, Any], dict[str, Any]]:
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for step in steps:
        if not step.writes:
            continue
        old = without_server_fields(step.live) if step.live else {}
        new = without_server_fields(step.after) if step.after and step.action != "deleted" else {}
        if step.action == "created":
            new = without_server_fields(step.manifest)
        old, new = masked_pair(old, new) if old and new else (mask_objects(old), mask_objects(new))
        before[describe(step.manifest)] = shortened_object(old) if old else None
        after[describe(step.manifest)] = shortened_object(new) if new else None
    return before, after
