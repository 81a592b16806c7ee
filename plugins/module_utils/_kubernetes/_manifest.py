# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests: what applying or deleting them would change, and doing it.

Predictions are the server's own, by dry runs. Where a dry run is impossible because the namespace is still to come, the
object is validated by a dry run under another name in the namespace ``default``.
https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded, Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, duration_text
from ansible_collections.aks.gpu.plugins.module_utils._ansible._runs import limit_of_task, run_of_task, why_kept
from ansible_collections.aks.gpu.plugins.module_utils._ansible._secrets import MASK
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Connect
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import KubernetesError
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._libraries import SafeLoader, yaml
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._ownership import (
    CREATED_BY_ANNOTATION,
    RUN_ANNOTATION,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._paths import ResourceType, place_problems
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._resources import Resources, UnknownKind, describe
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._secrets import masked, objects_of, secret_values
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._watch import Query, observe

PROBE_NAMESPACE = "default"
SETTLE_SECONDS = 30.0
"""How long what is about to be ready may take: a new CustomResourceDefinition, a namespace's service account."""

CONTROLLED_FIELDS = {
    "Job": (
        "spec.suspend",
        "spec.parallelism",
        "spec.template.spec.nodeSelector",
        "spec.template.spec.tolerations",
    ),
    **dict.fromkeys(("Deployment", "ReplicaSet", "StatefulSet"), ("spec.replicas",)),
}
"""By kind, the fields that controllers take over as their job: queues start and place Jobs, autoscalers set replicas.

Sources: https://kueue.sigs.k8s.io/docs/concepts/workload/,
https://kubernetes.io/docs/concepts/workloads/controllers/job/#mutable-scheduling-directives,
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""

_CONTROLLERS = re.compile(r'"(kueue|kube-controller-manager|keda|volcano|vc-|yunikorn|karpenter)[^"]*"')
"""How these controllers name themselves as owners of fields. Another owner's field is a conflict."""

LEASE_SECONDS = 60.0
"""The longest Lease whose end is waited for. Controllers take 15 s by default."""

LEASE_LOOK_SECONDS = 1.0
LEASE = ResourceType("coordination.k8s.io/v1", "Lease", "leases", True)

NAMESPACE_FIRST = "Put the Namespace in front of what lives in it."


@dataclass
class Step:
    """What is to become of one object.

    Attributes:
        manifest: As it will be sent, or for a deletion as it was given.
        kind: How it is served; None for a kind that an earlier step brings.
        action: ``created``, ``changed``, ``recreated``, ``deleted``, ``unchanged`` or ``left``.
        live: The object now; None when there is none.
        after: The object to come; None when it is deleted.
        reason: Why it is left alone.
        problem: Why the action is impossible; None when it is possible.
        homeless: Its namespace is not there, and no step before it brings that.
        going: Somebody is deleting it already, so that only its end is to be awaited.
        of_other_run: It is left because it is not known to be of the run that the removal is limited to.
    """

    manifest: dict[str, Any]
    kind: ResourceType | None
    action: str = "unchanged"
    live: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    reason: str = ""
    problem: str | None = None
    homeless: bool = False
    going: bool = False
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
            "object": shortened(masked(_without_managed_fields(shown))) if shown else None,
        }


def parse(definition: Any) -> list[dict[str, Any]]:
    """Returns the objects of a definition; lists of objects are taken apart, empty documents passed over.

    Args:
        definition: An object, a list of objects, or YAML or JSON text with one or more documents.

    Raises:
        Failure: Something in it is no Kubernetes object. All of it is named at once.
    """
    try:
        documents = list(yaml.load_all(definition, Loader=SafeLoader)) if isinstance(definition, str) else [definition]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        # YAML quotes the name of an alias or a tag, which may be an unquoted password.
        problem = re.sub(r"(alias|tag|anchor|handle) .*", r"\1", str(getattr(error, "problem", None) or "")).rstrip(".")
        text = f"The definition is not valid YAML{where}{': ' if problem else ''}{problem}."
        raise Failure(text) from None
    objects: list[dict[str, Any]] = []
    problems: list[str] = []
    for number, found in enumerate(objects_of(documents), 1):
        missing = [] if isinstance(found, dict) else ["a dictionary"]
        if isinstance(found, dict):
            missing = [key for key in ("apiVersion", "kind") if not isinstance(found.get(key), str) or not found[key]]
            metadata = found.get("metadata")
            if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
                missing.append("metadata.name")
        if missing:
            problems.append(
                f"object {number} lacks {', '.join(missing)}" if isinstance(found, dict) else f"object {number} is text"
            )
        elif misplaced := place_problems(found):
            problems += [f"object {number}: {text}" for text in misplaced]
        else:
            objects.append(found)
    if problems:
        raise Failure(f"The definition can't be used: {'; '.join(problems)}.")
    return objects


def essence(found: dict[str, Any]) -> dict[str, Any]:
    """Returns an object without what changes by itself: status, managed fields, versions, times."""
    kept = {key: value for key, value in found.items() if key != "status"}
    ignored = {"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"}
    kept["metadata"] = {key: value for key, value in (found.get("metadata") or {}).items() if key not in ignored}
    return kept


def shortened(found: dict[str, Any]) -> dict[str, Any]:
    """Returns an object with the binary data of a ConfigMap replaced by its length and hash: it is not for reading."""
    if found.get("kind") != "ConfigMap" or not found.get("binaryData"):
        return found
    return {**found, "binaryData": {name: _summary(value) for name, value in found["binaryData"].items()}}


def _summary(value: Any) -> str:
    try:
        content = base64.b64decode(value, validate=True)
    except (TypeError, binascii.Error):
        return str(value)
    return f"{len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}"


def masked_pair(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns two states of an object for a diff: a Secret's changed values are seen to change, but not to what."""
    shown = masked(before), masked(after)
    if after.get("kind") == "Secret":
        for key in ("data", "stringData"):
            for name in set(before.get(key) or {}) & set(after.get(key) or {}):
                if before[key][name] != after[key][name]:
                    shown[0][key][name], shown[1][key][name] = f"{MASK} (before)", f"{MASK} (after)"
    return shown


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
    objects = parse(params["definition"])
    work = _Work(task, Resources(client), client.access.namespace)
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
        result=_result(steps, params["return_objects"]),
        apply=(lambda: work.carry_out(steps)) if changed or any(step.going for step in steps) else None,
        before=before,
        after=after,
        warnings=[f"{describe(step.manifest)} is left: {step.reason}." for step in steps if step.of_other_run],
    )


@dataclass
class _Work:
    task: Task
    resources: Resources
    namespace: str
    _announced: set[str] = field(default_factory=set)

    def present(self, objects: Iterable[dict[str, Any]]) -> list[Step]:
        """Returns the steps that bring the objects about, in the order given."""
        coming_kinds: set[tuple[str, str]] = set()
        steps = []
        for found in objects:
            step = self._step(found, coming_kinds)
            if step.problem is None and step.kind is not None:
                try:
                    self._predict(step)
                except KubernetesError as error:
                    step.problem = f"{_causes_text(error)}." if error.reason == "Invalid" else str(error)
            if found["kind"] == "CustomResourceDefinition":
                coming_kinds |= _brought(found)
            if step.action in ("created", "recreated") and found["kind"] == "Namespace":
                self._announced.add(found["metadata"]["name"])
            steps.append(step)
        return steps

    def absent(self, objects: Iterable[dict[str, Any]]) -> list[Step]:
        """Returns the steps that remove the objects, in the reverse of the order given."""
        steps: list[Step] = []
        for found in reversed(list(objects)):
            step = Step(found, None)
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

    def carry_out(self, steps: list[Step]) -> dict[str, Any]:
        """Does what the steps say, in their order.

        Raises:
            KubernetesError: The server refused.
            Failure: A namespace is not there; nothing was changed then.
            DeadlineExceeded: A deletion took longer than ``wait_timeout``.
        """
        self._look_for_homes(steps)
        deadline = self.task.deadline(self.task.params["wait_timeout"])
        for step in steps:
            if step.action == "deleted":
                self._remove(step, deadline)
            elif step.going and self.task.params["wait"]:
                self._wait_gone(step, deadline)
            elif step.writes:
                self._bring_about(step, deadline)
        return {**_result(steps, self.task.params["return_objects"]), "changed": any(step.writes for step in steps)}

    def _look_for_homes(self, steps: list[Step]) -> None:
        """Refuses objects in namespaces that are not there, which a prediction takes for still to come."""
        names = {step.manifest["metadata"]["namespace"] for step in steps if step.homeless}
        if not names:
            return
        kind = self.resources.type_of("v1", "Namespace")
        missing = [name for name in sorted(names) if self.resources.get(kind, None, name) is None]
        if missing:
            text = ", ".join(f'namespaces "{name}" not found' for name in missing)
            raise Failure(f"{text}. Nothing was changed.", hint=NAMESPACE_FIRST)

    def _step(self, found: dict[str, Any], coming_kinds: set[tuple[str, str]]) -> Step:
        step = Step(found, None)
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

    def _predict(self, step: Step) -> None:
        metadata = step.manifest["metadata"]
        step.live = self.resources.get(step.served_kind, metadata.get("namespace"), metadata["name"])
        going = step.live is not None and bool(step.live["metadata"].get("deletionTimestamp"))
        marks = self._marks(None if going else step.live)
        if marks:
            metadata["annotations"] = {**(metadata.get("annotations") or {}), **marks}
        if going or metadata.get("namespace") in self._announced:
            step.action = "recreated" if going else "created"
            step.after = self._validated_elsewhere(step, PROBE_NAMESPACE)
            return
        if step.live is not None and self._is_to_be_anew(step):
            self._predict_anew(step)
            return
        try:
            step.after = self._predict_apply(step)
        except KubernetesError as error:
            if _lacks_namespace(error):
                step.homeless = not _is_terminating(error)
                if step.homeless and self.task.params["namespaces_exist"]:
                    step.problem = f"there is no namespace {metadata.get('namespace')}."
                step.action = "created"
                step.after = self._validated_elsewhere(step, PROBE_NAMESPACE)
            elif _is_immutable(error):
                self._predict_recreation(step, error)
            elif error.reason == "Conflict":
                step.problem = _conflict_text(error)
            else:
                raise
            return
        if step.live is None:
            step.action = "created"
        elif essence(step.live) != essence(step.after):
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
        run = {RUN_ANNOTATION: noted[RUN_ANNOTATION]} if RUN_ANNOTATION in noted else {}
        return {CREATED_BY_ANNOTATION: self._manager, **run}

    def _predict_apply(self, step: Step) -> dict[str, Any]:
        """Returns what applying would make of an object; fields that a controller has taken over are left to it."""
        try:
            return self._apply(step, dry_run=True, force=False)
        except KubernetesError as error:
            if error.reason != "Conflict":
                raise
            taken = _taken_over(step.manifest, error)
            if not taken and not self.task.params["force_conflicts"]:
                raise
        step.manifest = _without_fields(step.manifest, taken)
        return self._apply(step, dry_run=True)

    def _is_to_be_anew(self, step: Step) -> bool:
        place = step.manifest["kind"], step.manifest["metadata"].get("namespace"), step.manifest["metadata"]["name"]
        for found in self.task.params["recreate"]:
            metadata = found.get("metadata") or {}
            namespace = metadata.get("namespace") or self.namespace if step.served_kind.namespaced else None
            if (found.get("kind"), namespace, metadata.get("name")) == place:
                return True
        return False

    def _predict_anew(self, step: Step) -> None:
        if not (self.task.params["force_conflicts"] or _is_own(step.live)):
            step.problem = (
                "it was not created by aks.gpu, so it is not deleted to be created anew. Delete it, choose another "
                "name, or set O(force_conflicts=true)."
            )
            return
        metadata = step.manifest["metadata"]
        others = {name: text for name, text in (metadata.get("annotations") or {}).items() if name != RUN_ANNOTATION}
        metadata["annotations"] = {**others, **self._marks(None)}
        step.action = "recreated"
        step.after = self._validated_elsewhere(step, metadata.get("namespace"))

    def _predict_recreation(self, step: Step, error: KubernetesError) -> None:
        if not (self.task.params["force_conflicts"] or _is_own(step.live)):
            step.problem = (
                f"it was not created by aks.gpu, and it can't be changed in place ({_causes_text(error)}). Delete it, "
                f"choose another name, or set {self._what_recreates()}, which deletes it and creates it anew."
            )
            return
        if not self.task.params["recreate_immutable"]:
            step.problem = (
                f"it can't be changed in place ({_causes_text(error)}). O(recreate_immutable=true) deletes it "
                "and creates it anew."
            )
            return
        step.action = "recreated"
        step.after = self._validated_elsewhere(step, step.manifest["metadata"].get("namespace"))

    def _what_recreates(self) -> str:
        recreated = self.task.params["recreate_immutable"]
        return "O(force_conflicts=true)" + ("" if recreated else " and O(recreate_immutable=true)")

    def _validated_elsewhere(self, step: Step, namespace: str | None) -> dict[str, Any]:
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

    def _predict_removal(self, step: Step, steps: list[Step]) -> None:
        metadata = step.manifest["metadata"]
        step.live = self.resources.get(step.served_kind, metadata.get("namespace"), metadata["name"])
        if step.live is None:
            return
        if self.task.params["only_created_by_us"] and CREATED_BY_ANNOTATION not in (
            step.live["metadata"].get("annotations") or {}
        ):
            step.action, step.reason = "left", "it was not created by aks.gpu"
            return
        kept = why_kept((step.live["metadata"].get("annotations") or {}).get(RUN_ANNOTATION), self.task.params)
        if kept is not None:
            step.action, step.reason, step.of_other_run = "left", kept, True
            return
        if step.live["metadata"].get("deletionTimestamp"):
            step.going = True
            return
        if self.task.params["only_if_empty"] and step.manifest["kind"] == "Namespace":
            step.reason = self._inhabitants(metadata["name"], steps)
            if step.reason:
                step.action = "left"
                return
        self.resources.delete(step.served_kind, step.live, dry_run=True)
        step.action = "deleted"

    def _inhabitants(self, namespace: str, steps: list[Step]) -> str:
        """Returns what lives in a namespace besides what the steps remove; empty when nothing does.

        A Lease is a lock: it is nothing without who holds it, which ``_holders`` looks at. What belongs only to objects
        that have gone is about to go: https://kubernetes.io/docs/concepts/architecture/garbage-collection/
        """
        contents, unknown = self.resources.contents(namespace)
        contents = [found for found in contents if not _is_lease(found)]
        going = {step.live["metadata"]["uid"] for step in steps if step.live and step.action == "deleted"}
        going |= self._orphans(namespace, contents)
        while True:
            # What belongs to an object that goes, goes with it: Pods, ControllerRevisions.
            more = {
                found["metadata"]["uid"] for found in contents if _owners(found) and _owners(found) <= going
            } - going
            if not more:
                break
            going |= more
        staying = [
            found
            for found in contents
            if found["metadata"]["uid"] not in going and not found["metadata"].get("deletionTimestamp")
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
            if _owners(found) and not any(there[uid] for uid in _owners(found))
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
        longest = max((_lease_seconds(lease) for lease in held.values()), default=0.0)
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
        unsure = [name for name, lease in held.items() if _lease_seconds(lease) > end.seconds]
        return f"Lease {', '.join(unsure)}, which has not run out yet" if unsure else ""

    @property
    def _manager(self) -> str:
        return str(self.task.params["field_manager"])

    def _apply(self, step: Step, *, dry_run: bool = False, force: bool | None = None) -> dict[str, Any]:
        force = bool(self.task.params["force_conflicts"]) if force is None else force
        return self.resources.apply(
            step.served_kind, step.manifest, field_manager=self._manager, force=force, dry_run=dry_run
        )

    def _bring_about(self, step: Step, deadline: Deadline) -> None:
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
                    raise Failure(f"{describe(step.manifest)}: {_conflict_text(error)}") from error
                waiting = deadline if _is_terminating(error) else settle
                if not (_is_terminating(error) or _is_settling(error)) or waiting.expired:
                    hint = NAMESPACE_FIRST if _lacks_namespace(error) else error.hint
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

    def _remove(self, step: Step, deadline: Deadline) -> None:
        metadata = step.manifest["metadata"]
        if self.task.params["only_if_empty"] and step.manifest["kind"] == "Namespace":
            reason = self._inhabitants(metadata["name"], [])
            if not reason and (holder := self._holders(metadata["name"], deadline)):
                reason = f"something else lives in it: {holder}"
            if reason:
                step.action, step.reason = "left", reason
                return
        self.resources.delete(step.served_kind, step.found)
        if self.task.params["wait"]:
            self._wait_gone(step, deadline)

    def _wait_gone(self, step: Step, deadline: Deadline) -> None:
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
        raise DeadlineExceeded(" ".join([left, *unseen, *_why_still_there(last), *self._dependents(last)]))

    def _dependents(self, owner: dict[str, Any]) -> list[str]:
        """Says which Pods an owner that is being deleted waits for."""
        if not owner["metadata"].get("namespace"):
            return []
        pods = self.resources.items(self.resources.type_of("v1", "Pod"), owner["metadata"]["namespace"])
        mine = [pod for pod in pods if owner["metadata"]["uid"] in _owners(pod)]
        said = [f"{describe({'kind': 'Pod', **pod})} on {pod['spec'].get('nodeName') or 'no node'}" for pod in mine[:5]]
        return [f"It waits for {', '.join(said)}: a node that is not Ready can't end its Pods."] if said else []


def _result(steps: list[Step], with_objects: bool) -> dict[str, Any]:
    results = [step.as_result() for step in steps]
    return {"resources": results if with_objects else [{**result, "object": None} for result in results]}


def _diff(steps: list[Step]) -> tuple[dict[str, Any], dict[str, Any]]:
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for step in steps:
        if not step.writes:
            continue
        old = essence(step.live) if step.live else {}
        new = essence(step.after) if step.after and step.action != "deleted" else {}
        if step.action == "created":
            new = essence(step.manifest)
        old, new = masked_pair(old, new) if old and new else (masked(old), masked(new))
        before[describe(step.manifest)] = shortened(old) if old else None
        after[describe(step.manifest)] = shortened(new) if new else None
    return before, after


def _without_managed_fields(found: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in (found.get("metadata") or {}).items() if key != "managedFields"}
    return {**found, "metadata": metadata}


def _brought(definition: dict[str, Any]) -> set[tuple[str, str]]:
    """The kinds that a CustomResourceDefinition brings."""
    spec = definition.get("spec") or {}
    kind = (spec.get("names") or {}).get("kind")
    return {(f"{spec.get('group')}/{version.get('name')}", str(kind)) for version in spec.get("versions") or []}


def _is_lease(found: dict[str, Any]) -> bool:
    return found["kind"] == LEASE.kind and str(found["apiVersion"]).startswith("coordination.k8s.io/")


def _lease_seconds(lease: dict[str, Any]) -> float:
    return float((lease.get("spec") or {}).get("leaseDurationSeconds") or 0)


def _owners(found: dict[str, Any]) -> set[str]:
    return {ref["uid"] for ref in found["metadata"].get("ownerReferences") or []}


def _lacks_namespace(error: KubernetesError) -> bool:
    return (error.status == 404 and error.status_details.get("kind") == "namespaces") or _is_terminating(error)


def _is_terminating(error: KubernetesError) -> bool:
    return any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes)


def _is_settling(error: KubernetesError) -> bool:
    return error.status == 403 and "error looking up service account" in error.message


def _is_immutable(error: KubernetesError) -> bool:
    if error.reason != "Invalid" or not error.causes:
        return False
    words = ("immutable", "may not change once set", "cannot change roleRef", "updates to", "may not be changed")
    return all(any(word in str(cause.get("message")) for word in words) for cause in error.causes)


def _is_own(live: dict[str, Any] | None) -> bool:
    return live is not None and CREATED_BY_ANNOTATION in (live["metadata"].get("annotations") or {})


def _taken_over(manifest: dict[str, Any], error: KubernetesError) -> set[str]:
    """Returns the fields among those in conflict that belong to a controller whose job it is to set them."""
    fields = CONTROLLED_FIELDS.get(str(manifest.get("kind")), ())
    owners = {
        str(cause.get("field", "")).lstrip("."): _CONTROLLERS.search(str(cause.get("message")))
        for cause in error.causes
    }
    return {name for name, owner in owners.items() if owner and name in fields}


def _without_fields(manifest: dict[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    result = copy.deepcopy(manifest)
    for path in fields:
        *parents, last = path.split(".")
        inner = result
        for name in parents:
            inner = inner.get(name) or {}
        inner.pop(last, None)
    return result


def _conflict_text(error: KubernetesError) -> str:
    fields: dict[str, list[str]] = {}
    for cause in error.causes:
        owner = str(cause.get("message", "")).removeprefix("conflict with ")
        fields.setdefault(owner, []).append(str(cause.get("field", "")).lstrip("."))
    if not fields:
        return error.message
    owned = "; ".join(
        f"{', '.join(names)} belong{'s' if len(names) == 1 else ''} to {owner}" for owner, names in fields.items()
    )
    return f"{owned}. O(force_conflicts=true) takes them over."


def _causes_text(error: KubernetesError) -> str:
    """What is invalid, without the dump of whole objects that the server puts into such messages."""
    texts = []
    for cause in error.causes:
        said = re.sub(r"Invalid value: [{\[].*[}\]]: ", "", str(cause.get("message")), flags=re.DOTALL)
        texts.append(f"{cause.get('field')}: {said}")
    return "; ".join(texts) or error.message.rstrip(".")


def _why_still_there(found: dict[str, Any]) -> list[str]:
    finalizers = [*(found["metadata"].get("finalizers") or []), *((found.get("spec") or {}).get("finalizers") or [])]
    said = [
        str(condition.get("message"))
        for condition in (found.get("status") or {}).get("conditions") or []
        if condition.get("status") == "True" and str(condition.get("type", "")).startswith("Namespace")
    ]
    return [*([f"Finalizers that are not done: {', '.join(finalizers)}."] if finalizers else []), *said]
