# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs and Secrets with planted values, and tasks that take them: some that work, and one for each way to fail.

The fields are those of the kubeconfig format (https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/).
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Sequence
from typing import Any

import yaml

Json = dict[str, Any]

VARIABLE = "PLANTED_INPUTS"
"""The environment variable that hands the inputs to a play, so that no file of the test holds them."""

PLANTED = {
    name: f"pl4nted-{name.replace(' ', '-')}-7Qz"
    for name in (
        "other token",
        "password",
        "key",
        "exec env",
        "exec argument",
        "exec option",
        "client secret",
        "refresh token",
        "id token",
        "proxy password",
        "run env",
        "secret text",
        "secret data",
    )
}
_SECRET: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "planted", "namespace": "default"}}
_CONFIG_MAP: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "none", "namespace": "default"}}


def _encoded(name: str) -> str:
    return base64.b64encode(PLANTED[name].encode()).decode()


def _exec(command: list[str], variable: str) -> Json:
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": command[0],
        "args": command[1:],
        "env": [{"name": "AWS_SECRET_ACCESS_KEY", "value": PLANTED[variable]}, {"name": "AWS_PROFILE"}],
    }


def users() -> list[Json]:
    """Users with a value in every field that may hold a secret; `run` is one whose program shows it and fails."""
    oidc = {
        "client-secret": PLANTED["client secret"],
        "refresh-token": PLANTED["refresh token"],
        "id-token": PLANTED["id token"],
    }
    words = ["aws", "get-token", "--client-secret", PLANTED["exec argument"], f"--password={PLANTED['exec option']}"]
    shows = ["/bin/sh", "-c", "echo refused: $AWS_SECRET_ACCESS_KEY >&2; exit 1"]
    return [
        {"name": "other", "user": {"token": PLANTED["other token"]}},
        {"name": "basic", "user": {"username": "admin", "password": PLANTED["password"]}},
        {"name": "key", "user": {"client-key-data": _encoded("key")}},
        {"name": "exec", "user": {"exec": _exec(words, "exec env")}},
        {"name": "run", "user": {"exec": _exec(shows, "run env")}},
        {"name": "oidc", "user": {"auth-provider": {"name": "oidc", "config": oidc}}},
    ]


def kubeconfig(real: Json, user: str | None = None, **changes: Any) -> Json:
    """A cluster's kubeconfig with all of these users besides its own, of whom one may be chosen."""
    config = copy.deepcopy(real)
    config["users"] += users()
    proxied = {"server": "https://nobody.invalid", "proxy-url": f"http://u:{PLANTED['proxy password']}@127.0.0.1:9"}
    config["clusters"].append({"name": "proxied", "cluster": proxied})
    if user:
        config["contexts"][0]["context"]["user"] = user
    return {**config, **changes}


def _failures(real: Json) -> dict[str, Json]:
    plain = kubeconfig(real)
    elsewhere = [{"name": real["clusters"][0]["name"], "cluster": {"server": "https://nobody.invalid"}}]
    odd = {"kubeconfig": plain, "context": "three"}
    text = PLANTED["secret text"]
    return {
        "context": {"kubeconfig": plain, "context": "three"},
        "cluster": {"kubeconfig": kubeconfig(real, clusters=[])},
        "user": {"kubeconfig": kubeconfig(real, "nobody")},
        "users": {"kubeconfig": {**plain, "users": users()[0]}},
        "auth-provider": {"kubeconfig": kubeconfig(real, "oidc")},
        "exec": {"kubeconfig": kubeconfig(real, "run")},
        "name": {"kubeconfig": kubeconfig(real, clusters=elsewhere)},
        "text": {"kubeconfig": yaml.safe_dump(plain), "context": "three"},
        "not YAML": {"kubeconfig": yaml.safe_dump(plain) + "\n  bad: [\n"},
        "base64": {"kubeconfig": base64.b64encode(json.dumps(plain).encode()).decode()},
        "list": {"kubeconfig": [plain]},
        "unknown option": {"kubeconfig": plain, "kube_config": plain},
        "wrong type": {"kubeconfig": plain, "wait_timeout": "soon"},
        "Secret": {**odd, "definition": {**_SECRET, "stringData": {"a": text}, "data": {"b": _encoded("secret data")}}},
        "Secret without kind": {**odd, "definition": {"metadata": {"name": "s"}, "stringData": {"a": text}}},
        "Secret of text": {**odd, "definition": {**_SECRET, "stringData": text}},
        "Secret not YAML": {**odd, "definition": f"kind: Secret\nstringData:\n  a: {text}\n b: [\n"},
        "Secret of an alias": {**odd, "definition": f"kind: Secret\nstringData:\n  a: *{text}\n"},
        "Secret refused": {"kubeconfig": plain, "definition": {**_SECRET, "stringData": {"a": [text]}}},
    }


def inputs(real: Json) -> dict[str, Json]:
    """The options of each task, by its name. Those that work are `made`, `looked` and `gone`."""
    secret = {**_SECRET, "stringData": {"a": PLANTED["secret text"]}, "data": {"b": _encoded("secret data")}}
    plain = kubeconfig(real)
    return {
        "made": {"kubeconfig": plain, "definition": secret},
        "looked": {"kubeconfig": plain, "node_pool": "nobody"},
        "gone": {"kubeconfig": plain, "definition": secret, "state": "absent"},
        **{name: {"definition": _CONFIG_MAP, **options} for name, options in _failures(real).items()},
    }


FEW = ("context", "exec", "not YAML", "unknown option", "wrong type", "Secret not YAML", "Secret refused")
"""Ways to fail that differ where a module has a process of its own, which takes a second each."""


def play(real: Json, only: Sequence[str] = ()) -> Json:
    """A play whose tasks take the inputs; the results of those that work become facts, and are shown.

    Args:
        real: The kubeconfig of the cluster.
        only: Of the ways to fail only these; by default all.
    """

    def task(name: str, module: str = "manifest", **more: Any) -> Json:
        return {
            "name": name,
            f"aks.gpu.{module}": {option: f"{{{{ inputs['{name}']['{option}'] }}}}" for option in inputs(real)[name]},
            **more,
        }

    return {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "inputs": f"{{{{ lookup('ansible.builtin.env', '{VARIABLE}') | from_json }}}}",
        },
        "tasks": [
            task("made", register="made"),
            task("looked", "wait_for_gpus", register="looked", check_mode=True),
            task("gone", register="gone"),
            {
                "name": "facts",
                "ansible.builtin.set_fact": {"found": ["{{ made }}", "{{ looked }}", "{{ gone }}"], "cacheable": True},
            },
            {"name": "shown", "ansible.builtin.debug": {"var": "found"}},
            *(task(name, ignore_errors=True) for name in only or _failures(real)),
        ],
    }
