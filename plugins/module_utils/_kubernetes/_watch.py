# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watches: what is in a cluster now, and at once when it changes.

Each collection is listed once and then followed by a watch; an expired watch (410 Gone) lists again, a lost connection
is taken up where it ended. https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import abc
import json
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, duration_text
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import (
    RETRY_SECONDS,
    Client,
    is_transient,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import KubernetesError, Unreachable
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._http import ResponseStream
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._logs import LogPlace
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._text import (
    bounded_lines,
    log_text,
    may_hide,
    visible_tree,
)

WATCH_SECONDS = 60
"""How long one watch request lasts. A server or a proxy that falls silent is noticed soon after."""

SILENCE_SECONDS = WATCH_SECONDS + 15
TICK_SECONDS = 1.0
"""A look at the clock, and at the state, at least so often."""

COALESCE_SECONDS = 0.05
WATCH_FIRST_PAUSE = 0.1
WATCH_LONGEST_PAUSE = 0.4
"""Between attempts to reach a server that is away: short, so that its return is noticed within half a second."""

REOPEN_SECONDS = 1.0
"""A log whose container still runs is opened again so long after it was opened, when it ended."""

SHORT_WATCH_SECONDS = 5.0
"""A watch that ends sooner is not opened again at once: a server or a proxy that ends each of them would be asked more
than a hundred times a second."""

FIRST_BACKOFF = 0.8
LONGEST_BACKOFF = 30.0
"""As client-go's reflector has them, which doubles the pause and adds up to its whole length at random."""

SPACING_SECONDS = 0.5
"""Between two requests of such a watch: at most two a second, together for all collections that are followed."""

MOST_WAITING = 8 * 1024 * 1024
"""Bytes of logs that wait to be looked at. Then followers stop reading, and the server has to wait."""

LIST_LIMIT = 500


@dataclass(frozen=True)
class Query:
    """A collection to follow.

    Attributes:
        path: Path of the collection, such as ``/api/v1/nodes``.
        label_selector: Only objects with these labels.
        field_selector: Only objects with these fields.
        keep: Returns what to remember of an object, or None for one that does not matter. Large clusters are watched
            in little memory so.
        optional: A collection that can't be read, or not in time, is left empty and named in ``State.denied``; one that
            the cluster does not know is just empty.
        remember: The last states of deleted objects are kept in ``State.gone``.
    """

    path: str
    label_selector: str | None = None
    field_selector: str | None = None
    keep: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda found: found
    optional: bool = False
    remember: bool = False


@dataclass
class State:
    """What is in the cluster.

    Attributes:
        objects: For each collection its objects by uid.
        denied: The optional collections that could not be read, with the server's words. What is in them is not known.
        late: Those of them that were not read before the deadline.
        lost: Why the server is out of reach at the moment; None while it answers.
        lines: Lines of followed logs that came since the state was last yielded, with the key of their log.
        ended: Keys of followed logs of which nothing more comes, their containers having ended.
        unread: Those of them that could not be read to their end, with the error.
        cut: Keys of logs whose beginning was not read.
        gone: For each collection that remembers them the last states of deleted objects by uid.
    """

    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    denied: dict[str, str] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)
    lost: str | None = None
    lines: list[tuple[str, str]] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    unread: dict[str, KubernetesError] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    gone: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def all(self, name: str) -> list[dict[str, Any]]:
        """Returns the objects of a collection."""
        return list(self.objects.get(name, {}).values())


def not_looked_at(state: State) -> list[str]:
    """Returns a sentence for each collection that may not be read, with the right that is missing."""
    return [f"Not looked at: {words}" for _name, words in sorted(state.denied.items())]


class Watch:
    """Follows several collections, and logs, of one cluster; a context manager that ends its threads.

    Args:
        client: Speaks with the API server.
        queries: The collections, by the names that ``State`` has them under.
    """

    def __init__(self, client: Client, queries: dict[str, Query]) -> None:
        self._client = client
        self._queries = queries
        self._queue: queue.SimpleQueue[Callable[[State], None]] = queue.SimpleQueue()
        self._followers: list[_Follower] = []
        self._logs: dict[str, _LogFollower] = {}
        self._pace = _Pace()
        self._room = _Room(MOST_WAITING)

    def __enter__(self) -> Watch:
        for name, query in self._queries.items():
            self._start(_CollectionFollower(self._client, self._queue, name, query, self._pace))
        return self

    def __exit__(self, *exception: object) -> None:
        for follower in self._followers:
            follower.stop()
        for follower in self._followers:
            follower.join(timeout=1.0)

    def follow_log(self, key: str, path: str, container: str, *, running: bool) -> None:
        """Follows a container's log, from its first line; call it as often as the state is looked at.

        Args:
            key: What ``State.lines`` names the log by.
            path: Path of the Pod.
            container: The container.
            running: It has not ended. The log of one that has is read once more, for what was cut off on its way; after
                that ``State.ended`` has its key.
        """
        before = self._logs.get(key)
        if before is not None and (before.is_alive() or before.final or (running and before.age < REOPEN_SECONDS)):
            return
        place = before.place if before is not None else LogPlace()
        follower = _LogFollower(self._client, self._queue, key, path, container, place, self._room, final=not running)
        self._logs[key] = follower
        self._start(follower)

    def wake(self) -> None:
        """Makes ``states`` yield at once; any thread may ask for that."""
        self._queue.put(lambda _state: None)

    @property
    def silence(self) -> float:
        """Seconds since the last byte of any log that is followed came; infinite when none has."""
        return time.monotonic() - max((log.heard for log in self._logs.values()), default=float("-inf"))

    def states(self, deadline: Deadline) -> Iterator[State]:
        """Yields the state when all collections are known, when anything changes, and about once a second.

        When the deadline passes before all are known, the state is yielded once, with what was not read in
        ``State.late``, unless a collection is missing that is not optional.

        Args:
            deadline: The last state is yielded before it, but for one that is known in part.

        Raises:
            KubernetesError: A collection can't be read, or the server can't be reached from the beginning.
            DeadlineExceeded: The deadline passed before a collection was known that is not optional.
        """
        state = State()
        synchronized = False
        while not deadline.expired:
            try:
                self._queue.get(timeout=min(TICK_SECONDS, deadline.remaining() or 0.001))(state)
                self._drain(state)
            except queue.Empty:
                pass
            if not synchronized:
                synchronized = self._queries.keys() <= state.objects.keys()
            if synchronized:
                yield state
                self._room.give(sum(_size(line) for _key, line in state.lines))
                state.lines = []
        if not synchronized:
            self._come_to_an_end(state, deadline)
            yield state

    def _come_to_an_end(self, state: State, deadline: Deadline) -> None:
        """Takes the collections that have not been read for unknown."""
        missing = [name for name in self._queries if name not in state.objects]
        required = [name for name in missing if not self._queries[name].optional]
        if required:
            known = f" Read were: {', '.join(state.objects)}." if state.objects else ""
            text = f"The API server did not answer in time. Not read: {', '.join(required)}.{known}"
            raise DeadlineExceeded(f"{text} {state.lost or ''}".strip())
        for name in missing:
            state.objects[name] = {}
            state.late.add(name)
            path = self._queries[name].path
            state.denied[name] = f"GET {path}: it was not read within {duration_text(deadline.seconds)}"

    def _drain(self, state: State) -> None:
        until = time.monotonic() + COALESCE_SECONDS
        while True:
            try:
                self._queue.get(timeout=max(0.0, until - time.monotonic()))(state)
            except queue.Empty:
                return
            if time.monotonic() > until + COALESCE_SECONDS:
                return

    def _start(self, follower: _Follower) -> None:
        self._followers.append(follower)
        follower.start()


class _Pace:
    """Spaces the requests of several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self, ending: threading.Event) -> None:
        """Waits until the next request may be sent."""
        with self._lock:
            at = max(time.monotonic(), self._next)
            self._next = at + SPACING_SECONDS
        ending.wait(max(0.0, at - time.monotonic()))


class _Room:
    """Room for what waits to be looked at; who wants to add to what is full waits."""

    def __init__(self, size: int) -> None:
        self._changed = threading.Condition()
        self._size = size
        self._taken = 0

    def take(self, size: int, ending: threading.Event) -> None:
        """Takes room, once there is some, or when the thread has to end."""
        with self._changed:
            while self._taken and self._taken + size > self._size and not ending.is_set():
                self._changed.wait(0.2)
            self._taken += size

    def give(self, size: int) -> None:
        """Gives room back."""
        if size:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()


def _size(line: str) -> int:
    return len(line) + 200  # And what Python needs around it.


class _Follower(abc.ABC, threading.Thread):
    """A thread that follows one thing and tells what it sees as changes of the state."""

    def __init__(self, client: Client, tell: queue.SimpleQueue[Callable[[State], None]], name: str) -> None:
        super().__init__(name=f"follow {name}", daemon=True)
        self._client = client
        self._queue = tell
        self._ending = threading.Event()
        self._stream: ResponseStream | None = None
        self._pause = WATCH_FIRST_PAUSE
        self._seen = False
        self._refused = 0.0

    def stop(self) -> None:
        """Makes the thread end soon, also while it waits for the server."""
        self._ending.set()
        stream = self._stream
        if stream is not None:
            stream.interrupt()

    def run(self) -> None:
        """Follows until stopped, or until there is nothing more to follow."""
        orderly = False
        try:
            self._run()
            orderly = True
        finally:
            if not orderly:
                # A thread that dies of a defect must not leave the wait to its deadline.
                self._queue.put(self._died)

    def _died(self, state: State) -> None:
        raise KubernetesError(
            f"The thread '{self.name}' ended by an error of its own; its traceback is on standard error."
        )

    def _run(self) -> None:
        started = time.monotonic()
        while not self._ending.is_set():
            try:
                if self._follow():
                    return
                self._pause = WATCH_FIRST_PAUSE
            except KubernetesError as error:
                if self._ending.is_set() or not self._recoverable(error, time.monotonic() - started):
                    return
                pause = self._pause * (1 + random.random())  # noqa: S311 - jitter
                self._ending.wait(max(pause, float(error.status_details.get("retryAfterSeconds") or 0)))
                self._pause = min(WATCH_LONGEST_PAUSE, self._pause * 2)

    @abc.abstractmethod
    def _follow(self) -> bool:
        """Follows until the server ends it; True when nothing more will come."""

    @abc.abstractmethod
    def _recoverable(self, error: KubernetesError, elapsed: float) -> bool:
        """Tells about an error; True when it is worth another attempt."""

    def _passing(self, error: KubernetesError, elapsed: float) -> bool:
        if is_transient(error):
            return self._seen or elapsed < RETRY_SECONDS
        if not self._seen:
            return False
        if error.status in (401, 403):
            # A restarted API server refuses until it has read its RBAC objects again.
            self._refused = self._refused or time.monotonic()
            return time.monotonic() - self._refused < RETRY_SECONDS
        return not error.status

    def _open(
        self, path: str, query: dict[str, Any], read: Callable[[ResponseStream], Iterator[bytes]]
    ) -> Iterator[bytes]:
        stream = self._client.stream(path, query=query, silence_seconds=SILENCE_SECONDS)
        self._stream = stream
        self._seen, self._refused = True, 0.0
        try:
            if self._ending.is_set():
                return
            yield from read(stream)
        finally:
            self._stream = None
            stream.close()


class _CollectionFollower(_Follower):
    def __init__(
        self,
        client: Client,
        tell: queue.SimpleQueue[Callable[[State], None]],
        name: str,
        query: Query,
        pace: _Pace,
    ) -> None:
        super().__init__(client, tell, name)
        self._key = name
        self._query = query
        self._version: str | None = None
        self._shared_pace = pace
        self._backoff = 0.0
        self._denied_pause = 0.0
        self._busy = False

    def _follow(self) -> bool:
        if self._backoff:
            self._ending.wait(self._backoff * (1 + random.random()))  # noqa: S311 - jitter
        began, self._busy = time.monotonic(), False
        try:
            if self._version is None:
                self._spaced()
                self._list()
            self._spaced()
            began = time.monotonic()
            self._watch()
        except KubernetesError as error:
            if error.status != 410:
                raise
            self._version = None
        if time.monotonic() - began >= SHORT_WATCH_SECONDS:
            self._backoff = 0.0
        else:
            longer = FIRST_BACKOFF if self._busy or not self._backoff else self._backoff * 2
            self._backoff = min(LONGEST_BACKOFF, longer)
        return False

    def _spaced(self) -> None:
        if self._backoff and not self._ending.is_set():
            self._shared_pace.wait(self._ending)

    def _watch(self) -> None:
        query = {
            **self._selectors(),
            "watch": True,
            "resourceVersion": self._version,
            "allowWatchBookmarks": True,
            "timeoutSeconds": WATCH_SECONDS,
        }
        for line in self._open(self._query.path, query, ResponseStream.lines):
            try:
                event = visible_tree(json.loads(line)) if may_hide(line) else json.loads(line)
            except ValueError as error:
                raise Unreachable("The API server ended a watch in the middle of an event.", transient=True) from error
            if not self._event(event):
                break

    def _selectors(self) -> dict[str, Any]:
        return {"labelSelector": self._query.label_selector, "fieldSelector": self._query.field_selector}

    def _list(self) -> None:
        found: dict[str, dict[str, Any]] = {}
        token = None
        while True:
            query = {**self._selectors(), "limit": LIST_LIMIT, "continue": token}
            page = self._client.request("GET", self._query.path, query=query, retry_seconds=0)
            for item in page.get("items") or []:
                kept = self._query.keep(item)
                if kept is not None:
                    found[item["metadata"]["uid"]] = visible_tree(kept)
            metadata = page.get("metadata") or {}
            token = metadata.get("continue")
            if not token:
                break
        self._version = metadata.get("resourceVersion")
        self._seen, self._refused = True, 0.0

        def change(state: State) -> None:
            if self._query.remember:
                left = {uid: old for uid, old in state.objects.get(self._key, {}).items() if uid not in found}
                state.gone.setdefault(self._key, {}).update(left)
            state.objects[self._key] = found
            state.denied.pop(self._key, None)
            state.late.discard(self._key)
            state.lost = None

        self._queue.put(change)

    def _event(self, event: dict[str, Any]) -> bool:
        """Takes an event in; False when the watch must be opened again."""
        kind, found = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            # 410 Gone, or anything else that ends the watch: the list is the only safe ground.
            self._version = None
            return False
        metadata = found.get("metadata") or {}
        self._version = metadata.get("resourceVersion") or self._version
        self._pause = WATCH_FIRST_PAUSE
        if kind == "BOOKMARK":
            return True
        uid = metadata["uid"]
        self._busy = True
        kept = None if kind == "DELETED" else self._query.keep(found)
        last = self._query.keep(found) if kind == "DELETED" and self._query.remember else None

        def change(state: State) -> None:
            state.lost = None
            if last is not None:
                state.gone.setdefault(self._key, {})[uid] = last
            if kept is None:
                state.objects[self._key].pop(uid, None)
            else:
                state.objects[self._key][uid] = kept

        self._queue.put(change)
        return True

    def _recoverable(self, error: KubernetesError, elapsed: float) -> bool:
        if self._passing(error, elapsed):

            def lose(state: State) -> None:
                state.lost = str(error)

            self._queue.put(lose)
            return True
        passing = is_transient(error)
        if self._query.optional and (passing or error.status in (403, 404)):

            def deny(state: State) -> None:
                state.objects.setdefault(self._key, {})
                if error.status != 404:
                    state.denied[self._key] = str(error)

            self._queue.put(deny)
            if passing:
                # What else is known is not thrown away for it (kubernetes/kubernetes#34709: lists that answer 500).
                self._denied_pause = min(LONGEST_BACKOFF, max(FIRST_BACKOFF, self._denied_pause * 2))
                self._ending.wait(self._denied_pause)
            return passing

        def fail(state: State) -> None:
            raise error

        self._queue.put(fail)
        return False


class _LogFollower(_Follower):
    def __init__(
        self,
        client: Client,
        tell: queue.SimpleQueue[Callable[[State], None]],
        key: str,
        path: str,
        container: str,
        place: LogPlace,
        room: _Room,
        *,
        final: bool,
    ) -> None:
        super().__init__(client, tell, key)
        self._key = key
        self._path = path
        self._container = container
        self._room = room
        self._born = time.monotonic()
        self.heard = self._born
        self.place = place
        self._whole_before = place.whole
        self.final = final

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._born

    def _follow(self) -> bool:
        query = {"container": self._container, "follow": True, **self.place.query()}
        for line in self._open(f"{self._path}/log", query, self._read):
            new = self.place.take(line)
            if new is not None:
                self._tell(log_text(new))
        if self._ending.is_set():
            return True
        self.place.whole = True
        self._end(None)
        return True

    def _read(self, stream: ResponseStream) -> Iterator[bytes]:
        def heard() -> Iterator[bytes]:
            for chunk in stream.chunks():
                self.heard = time.monotonic()
                yield chunk

        return bounded_lines(heard())

    def _tell(self, text: str) -> None:
        self._room.take(_size(text), self._ending)
        self._queue.put(lambda state: state.lines.append((self._key, text)))

    def _end(self, problem: KubernetesError | None) -> None:
        if not self.final:
            return

        def change(state: State) -> None:
            state.ended.add(self._key)
            if problem is not None:
                state.unread[self._key] = problem

        self._queue.put(change)

    def _recoverable(self, error: KubernetesError, elapsed: float) -> bool:
        if self._passing(error, elapsed):
            return True
        # The log of a Pod that was removed after its end has been read when it was followed to its end.
        self._end(None if self._whole_before else error)
        return False


@singledispatch
def observe(client: Client, queries: dict[str, Query]) -> Watch:
    """Returns what follows collections of a cluster, by watches.

    A client that cannot stream registers its own way.

    Args:
        client: Speaks with the API server.
        queries: The collections, by the names that ``State`` has them under.
    """
    return Watch(client, queries)
