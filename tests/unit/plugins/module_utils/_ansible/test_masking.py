# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nothing shown may contain: ansible-core 2.22 masks what is registered with it (ansible.module_utils.secrets)."""

from __future__ import annotations

import importlib

import pytest
from ansible.release import __version__
from ansible_collections.aks.gpu.plugins.module_utils._ansible._secrets import MASK, mask_secrets, register

NEW = tuple(int(part) for part in __version__.split(".")[:2]) >= (2, 22)


def test_secrets_are_masked_in_texts_lists_and_dictionaries() -> None:
    secrets = {"t0ken", "t0ken-and-more", ""}
    assert mask_secrets("a t0ken-and-more, a t0ken", secrets) == f"a {MASK}, a {MASK}"
    found = mask_secrets({"k t0ken": ["t0ken", 3, None, ("x", "t0ken")]}, secrets)
    assert found == {f"k {MASK}": [MASK, 3, None, ["x", MASK]]}
    assert mask_secrets("nothing", set()) == "nothing"


@pytest.mark.skipif(not NEW, reason="ansible-core 2.21 and older have no such register")
def test_secrets_are_registered_with_core() -> None:
    register(["s3cret-of-this-test", ""])
    core = importlib.import_module("ansible.module_utils.secrets")
    assert "s3cret" not in core.mask_secrets("it is s3cret-of-this-test")
