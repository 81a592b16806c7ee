# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import yaml
from aks_sandbox.arm.monitor_data import scrapes_dcgm
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._ama_metrics_config import target_value, with_target
from hypothesis import given
from hypothesis import strategies as st

DCGM = "dcgmexporter"

LINES = st.lists(
    st.one_of(
        st.builds(
            "{}{} = {}{}".format,
            st.sampled_from(["", "  ", "\t"]),
            st.sampled_from(["kubelet", "cadvisor", "dcgmexporter", "dcgmexporter2", "networkobservabilityRetina"]),
            st.sampled_from(["true", "false"]),
            st.sampled_from(["", " # why", "  "]),
        ),
        st.sampled_from(["", "# dcgmexporter = true", "   "]),
    ),
    max_size=8,
).map("\n".join)


@given(LINES)
def test_only_the_line_of_the_target_changes(text: str) -> None:
    data = {"schema-version": "v1", "default-scrape-settings-enabled": text, "other": "kept"}
    before = target_value(data, DCGM)
    on = with_target(data, DCGM, "true")
    assert target_value(on, DCGM) == "true"
    assert scrapes_dcgm(on)
    assert with_target(on, DCGM, "true") == on
    rest = [line for line in text.split("\n") if not line.strip().startswith("dcgmexporter ")]
    assert [
        line
        for line in on["default-scrape-settings-enabled"].split("\n")
        if not line.strip().startswith("dcgmexporter ")
    ] == rest or not text
    back = with_target(on, DCGM, before)
    assert target_value(back, DCGM) == before
    if before is None and text.strip():
        assert back == data


def test_schema_v2() -> None:
    section = "default-targets-scrape-enabled"
    for text in (
        "",
        f"{section}: |-\n  kubelet = true\n",
        f'{section}: ""\nother: 1\n',
        f"a: 1\n{section}: |-\n    kubelet = true\n\n    dcgmexporter = false\nb: |-\n  dcgmexporter = false\n",
    ):
        data = {"schema-version": "v2", "cluster-metrics": text}
        on = with_target(data, DCGM, "true")
        parsed = yaml.safe_load(on["cluster-metrics"])
        assert "dcgmexporter = true" in parsed[section]
        assert scrapes_dcgm(on)
        before = yaml.safe_load(text) or {}
        assert {key: value for key, value in parsed.items() if key != section} == {
            key: value for key, value in before.items() if key != section
        }


def test_without_a_config_map() -> None:
    assert with_target({}, DCGM, "true") == {
        "schema-version": "v1",
        "config-version": "ver1",
        "default-scrape-settings-enabled": "dcgmexporter = true",
    }
