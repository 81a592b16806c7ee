# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of kubeconfigs and manifests: nothing that a module prints or logs has one, however early it fails.

Every module runs as the action plugins run it, so that Ansible's own refusals are seen as well.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic
from ansible_collections.aks.gpu.plugins.modules import manifest, wait_for_gpus
from ansible_collections.aks.gpu.plugins.plugin_utils import _isolation

INJECTED = "_ansible_inject_invocation"
MASK = "********"
PLANTED = [f"pl4nted-{number}-value" for number in range(1, 13)]
HANDED_OVER: set[str] = set()
"""What modules of ansible-core 2.22 have handed to the controller, which takes it out of the result and masks it in the
rest: _return_formatted of ansible/module_utils/basic.py, _from_result_dict of ansible/_internal/_task.py. A
process hands each secret over once. Older releases mask in the module, and hand nothing over."""
SERVER = "https://127.0.0.1:9"
SECRET: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}}


def users() -> list[dict[str, Any]]:
    """Users with a secret in every field that has one.

    Sources: auth-provider with tokens in a log, https://github.com/Shopify/krane/issues/718; its client-secret and
    refresh-token, https://github.com/coreos/tectonic-forum/issues/210; secrets in exec.env,
    https://github.com/olitheolix/square/pull/75; a token in the output of another user's command,
    https://github.com/kubernetes/kops/issues/901.
    """
    tokens = {"client-secret": PLANTED[4], "refresh-token": PLANTED[5], "id-token": PLANTED[6]}
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "aws",
        "args": ["get-token", "--client-secret", PLANTED[7], f"--password={PLANTED[8]}"],
        "env": [{"name": "AWS_SECRET_ACCESS_KEY", "value": PLANTED[3]}, {"name": "AWS_PROFILE"}],
    }
    return [
        {"name": "selected", "user": {"token": PLANTED[0]}},
        {"name": "basic", "user": {"username": "admin", "password": PLANTED[1]}},
        {"name": "key", "user": {"client-key-data": base64.b64encode(PLANTED[2].encode()).decode()}},
        {"name": "exec", "user": {"exec": plugin}},
        {"name": "oidc", "user": {"auth-provider": {"name": "oidc", "config": tokens}}},
    ]


def kubeconfig(**changes: Any) -> dict[str, Any]:
    cluster = {"server": SERVER, "proxy-url": f"http://proxy-user:{PLANTED[9]}@127.0.0.1:9"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": users(),
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "selected"}}],
        "current-context": "one",
        **changes,
    }


def run(module: Any, folder: Path, **options: Any) -> tuple[str, dict[str, Any]]:
    """Returns all that a module printed, and its result."""
    inner = {"_ansible_verbosity": 5, "_ansible_diff": True}
    if INJECTED in Path(basic.__file__).read_text():  # newer releases of ansible-core show the options when asked to
        inner[INJECTED] = True
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {**options, **inner}})
    lines: list[str] = []
    ended = _isolation.call_main(
        module.main,
        arguments.encode(),
        environment={},
        working_directory=str(folder),
        parent_directory=str(folder),
        show=lines.append,
    )
    *printed, last = ended.stdout.strip().splitlines()
    result: dict[str, Any] = json.loads(last)
    HANDED_OVER.update(result.pop("_ansible_new_secrets", []))
    shown = json.dumps(result)
    for secret in sorted(HANDED_OVER, key=len, reverse=True):
        shown = shown.replace(json.dumps(secret)[1:-1], MASK)
    return "\n".join([*printed, shown, ended.stderr, *lines]), result


def assert_hidden(output: str) -> None:
    encoded = [base64.b64encode(value.encode()).decode() for value in PLANTED]
    assert [value for value in [*PLANTED, *encoded] if value in output] == []


BROKEN_TEXT = yaml.safe_dump(kubeconfig()) + "\n  bad: [\n"
FAILURES: dict[str, dict[str, Any]] = {
    "missing context": {"kubeconfig": kubeconfig(), "context": "three"},
    "missing cluster": {"kubeconfig": kubeconfig(clusters=[])},
    "missing user": {
        "kubeconfig": kubeconfig(contexts=[{"name": "one", "context": {"cluster": "c", "user": "nobody"}}])
    },
    "users are no list": {"kubeconfig": kubeconfig(users={"name": "selected", "user": {"token": PLANTED[0]}})},
    "auth-provider": {
        "kubeconfig": kubeconfig(contexts=[{"name": "one", "context": {"cluster": "c", "user": "oidc"}}]),
    },
    "text": {"kubeconfig": yaml.safe_dump(kubeconfig()), "context": "three"},
    "JSON": {"kubeconfig": json.dumps(kubeconfig()), "context": "three"},
    "text that is not YAML": {"kubeconfig": BROKEN_TEXT},
    "base64 in the place of a path": {"kubeconfig": base64.b64encode(json.dumps(kubeconfig()).encode()).decode()},
    "a list": {"kubeconfig": [kubeconfig()]},
    "unknown option": {"kubeconfig": kubeconfig(), "kube_config": kubeconfig()},
    "wrong type": {"kubeconfig": kubeconfig(), "wait_timeout": "soon"},
    "not reachable": {"kubeconfig": kubeconfig(clusters=[{"name": "c", "cluster": {"server": "ftp://nowhere"}}])},
}


@pytest.mark.parametrize("name", FAILURES)
def test_no_secret_of_any_user_is_shown_when_a_task_fails(tmp_path: Path, name: str) -> None:
    output, result = run(manifest, tmp_path, definition=[], **FAILURES[name])
    assert result["failed"]
    assert_hidden(output)


def test_every_module_that_takes_a_kubeconfig_masks_it(tmp_path: Path) -> None:
    output, result = run(wait_for_gpus, tmp_path, kubeconfig=kubeconfig(), context="three", node_pool="gpunp")
    assert "three" in result["msg"]
    assert_hidden(output)
    shown = result["invocation"]["module_args"]["kubeconfig"]["users"][0]
    assert shown == {"name": "selected", "user": {"token": MASK}}


DEFINITIONS: dict[str, Any] = {
    "kubeconfig cannot be used": {**SECRET, "stringData": {"a": PLANTED[10]}},
    "data in base64": {**SECRET, "data": {"a": base64.b64encode(PLANTED[10].encode()).decode()}},
    "list": {"apiVersion": "v1", "kind": "List", "items": [{**SECRET, "stringData": {"a": PLANTED[10]}}]},
    "no apiVersion": {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": PLANTED[10]}},
    "no kind": {"apiVersion": "v1", "metadata": {"name": "s"}, "stringData": {"a": PLANTED[10]}},
    "stringData is text": {**SECRET, "stringData": PLANTED[10]},
    "not YAML": f"kind: Secret\nstringData:\n  a: {PLANTED[10]}\n b: [\n",
    # YAML takes an unquoted password that begins with * or ! for an alias or a tag, and names it.
    "alias": f"kind: Secret\nstringData:\n  a: *{PLANTED[10]}\n",
    "tag": f"kind: Secret\nstringData:\n  a: !{PLANTED[10]} x\n",
    "several documents": yaml.safe_dump_all([SECRET, {**SECRET, "stringData": {"a": PLANTED[10]}}, {"kind": "Pod"}]),
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_no_value_of_a_secret_is_shown_when_a_task_fails(tmp_path: Path, name: str) -> None:
    output, result = run(manifest, tmp_path, kubeconfig=kubeconfig(), context="three", definition=DEFINITIONS[name])
    assert result["failed"]
    assert_hidden(output)


@pytest.mark.parametrize(
    ("value", "source"),
    [
        ("1", "https://github.com/ansible/ansible/issues/71789"),
        ("default", "https://github.com/ansible/ansible/issues/71789"),
        ("admin", "https://github.com/ansible/ansible/issues/19278"),
        ("true", "https://github.com/1Password/ansible-onepasswordconnect-collection/issues/55"),
        ("gpu-resources", "the namespace of the object itself"),
    ],
)
def test_a_short_value_does_not_mask_the_whole_result(tmp_path: Path, value: str, source: str) -> None:
    """D7: the value is hidden where the Secret has it, and nowhere else."""
    secret = {**SECRET, "metadata": {"name": "default", "namespace": "gpu-resources"}, "stringData": {"a": value}}
    where = {"kubeconfig": kubeconfig(), "context": f"{value}-of-a-context"}
    _output, result = run(manifest, tmp_path, **where, definition=[secret])
    assert f"{value}-of-a-context" in result["msg"], source
    shown = result["invocation"]["module_args"]["definition"][0]
    assert (shown["metadata"], shown["stringData"]) == (secret["metadata"], {"a": MASK})


def test_a_guessable_password_of_a_user_does_not_mask_the_result(tmp_path: Path) -> None:
    """https://github.com/ansible/ansible/issues/19278: a password "admin" masked every "admin" of the result."""
    config = kubeconfig(users=[{"name": "selected", "user": {"username": "admin", "password": "admin"}}])
    _output, result = run(manifest, tmp_path, kubeconfig=config, context="admin-context", definition=[])
    assert "admin-context" in result["msg"]
    user = result["invocation"]["module_args"]["kubeconfig"]["users"][0]["user"]
    assert user == {"username": "admin", "password": MASK}
