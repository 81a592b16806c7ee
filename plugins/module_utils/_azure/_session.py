# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a task to a client that is signed in."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Task
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, Progress
from ansible_collections.aks.gpu.plugins.module_utils._azure import _libraries as libraries
from ansible_collections.aks.gpu.plugins.module_utils._azure._client import ArmClient, unauthenticated
from ansible_collections.aks.gpu.plugins.module_utils._azure._cloud import (
    Cloud,
    cloud_of_metadata,
    metadata_url,
    named_cloud,
)
from ansible_collections.aks.gpu.plugins.module_utils._azure._cluster_cache import ClusterCache
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import ConnectionFailed
from ansible_collections.aks.gpu.plugins.module_utils._azure._run_cache import RunCache, key_of
from ansible_collections.aks.gpu.plugins.module_utils._azure._sign_in import Tokens, choose, require_subscription

METADATA_READ_SECONDS = 300.0
"""How long a task without ``wait_timeout`` may take."""

METADATA_RETRIES = 3

DEFAULT_CLOUD = "AzureCloud"


@dataclass(frozen=True)
class Session:
    """A signed-in task.

    Attributes:
        client: The client of Resource Manager.
        subscription_id: The subscription that the task works in.
        shared: What the tasks of the run need to ask only once.
        principal: Stands for the cloud, the subscription and who has signed in, without naming them.
        since: A time of ``time.monotonic``: what was so then or later is new enough for the task. None: only what it
            asks for itself.
        snapshot: The clusters of the subscription as the run has listed them; None when there is no such thing.
    """

    client: ArmClient
    subscription_id: str
    shared: RunCache
    principal: str
    since: float | None = None
    snapshot: ClusterCache | None = None

    def cached(self, what: str, ask: Callable[[], Any]) -> Any:
        """Returns what Azure answers, asked or told once by the tasks that may share the answer.

        Meanwhile the other tasks wait, as long as their own deadline lets them.

        Args:
            what: The question, with everything that the answer depends on.
            ask: Asks Azure for something that JSON can carry.

        Raises:
            DeadlineExceeded: Another task asks, and has not come to an end.
        """
        since = self.since
        if since is None:
            return ask()

        def asked() -> list[Any]:
            return [time.monotonic(), ask()]

        def new_enough(fact: Any) -> bool:
            return bool(fact[0] >= since)

        key = key_of(self.principal, what)
        return self.shared.get(key, new_enough, asked, patience=max(1.0, self.client.deadline.remaining()))[1]


def open_session(task: Task) -> Session:
    """Signs in as the options, the environment and the files of the user say. A token is fetched when it is needed.

    Args:
        task: Its options are those of ``AZURE_ARGUMENTS``, and ``wait_timeout`` where the module waits.

    Raises:
        MissingLibrary: azure-core or azure-identity isn't installed.
        SignInFailed: The way to sign in that was asked for isn't there.
        Failure: No subscription, or no such cloud.
    """
    deadline = task.deadline(float(task.params.get("wait_timeout") or METADATA_READ_SECONDS))
    session = sign_in(task.params, task.run_directory, task.secret, deadline, task.progress)
    if task.run_directory is None or task.since is None:
        return session
    directory = Path(task.run_directory, f"clusters-{session.principal}")
    return replace(session, since=task.since, snapshot=ClusterCache(session.client, session.subscription_id, directory))


def sign_in(
    params: Mapping[str, Any],
    run_directory: str | None,
    mask: Callable[..., None],
    deadline: Deadline,
    progress: Progress,
) -> Session:
    """Signs in where there is no task, as ``open_session`` does for one.

    Args:
        params: The options of ``AZURE_ARGUMENTS``.
        run_directory: Where the run keeps what its tasks share; None when nothing is to be kept.
        mask: Called with secrets before they are used, so that they are never shown.
        deadline: Shared by everything that is asked through the session.
        progress: Told about every wait.

    Raises:
        MissingLibrary: azure-core or azure-identity isn't installed.
        SignInFailed: The way to sign in that was asked for isn't there.
        Failure: No subscription, or no such cloud.
    """
    libraries.require_azure_libraries()
    mask(params.get("secret"), params.get("password"))
    choice = choose(params, os.environ)
    for method in choice.methods:
        mask(method.values.get("secret"), method.values.get("password"))
    subscription_id = require_subscription(choice.settings)
    ca_bundle = choice.settings.get("ca_bundle")
    if ca_bundle and not os.path.exists(ca_bundle):
        raise Failure(f"ca_bundle: {ca_bundle} doesn't exist.", hint="It comes from the option or REQUESTS_CA_BUNDLE.")
    shared = RunCache(run_directory)
    cloud = _cloud(choice.settings.get("cloud_environment") or DEFAULT_CLOUD, ca_bundle, shared, deadline)
    tokens = Tokens(choice, cloud, os.environ, shared, mask, deadline.remaining)
    principal = key_of(cloud.resource_manager, subscription_id.lower(), *choice.principal)
    client = ArmClient(cloud, tokens, deadline, progress, subscription_id=subscription_id, ca_bundle=ca_bundle)
    return Session(client, subscription_id, shared, principal)


def _cloud(name: str, ca_bundle: str | None, shared: RunCache, deadline: Deadline) -> Cloud:
    known = named_cloud(name)
    if known is not None:
        return known
    metadata = shared.get(key_of("cloud", name), bool, lambda: _metadata(name, ca_bundle, deadline))
    return cloud_of_metadata(name, metadata)


def _metadata(name: str, ca_bundle: str | None, deadline: Deadline) -> Any:
    """Asks a cloud of one's own how it is built.

    Raises:
        ConnectionFailed: It doesn't answer, or not with JSON.
    """
    url = metadata_url(name)
    policies = [libraries.RetryPolicy(retry_total=METADATA_RETRIES, retry_backoff_factor=0.5)]
    seconds = max(1.0, deadline.remaining())
    try:
        response = unauthenticated(url, ca_bundle, policies).send_request(
            libraries.HttpRequest("GET", url),
            connection_timeout=min(10.0, seconds),
            read_timeout=min(30.0, seconds),
            timeout=seconds,
        )
        if response.status_code != 200:
            raise ConnectionFailed(f"{url} answered {response.status_code}.", hint="Check cloud_environment.")
        return response.json()
    except (libraries.CoreError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConnectionFailed(
            f"{url} doesn't describe a cloud: {reason}.",
            hint="Check cloud_environment, and ca_bundle when the cloud has its own certificate authority.",
        ) from error
