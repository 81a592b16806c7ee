# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's page in a real browser: narrow and wide, light and dark, one cluster and a thousand, hostile content."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._evidence._page import MANY_CLUSTERS, MOST_PLOTTED_POINTS, page_of
from ansible_collections.aks.gpu.plugins.plugin_utils._evidence_page import page_files
from browser import Page, browser, chromium
from environment import ROOT

pytestmark = pytest.mark.skipif(chromium() is None, reason="there is no Chromium here: apt-get install chromium")

GENERATED = ROOT / "tests" / "unit" / "plugins" / "module_utils" / "_evidence" / "generated.py"
CONTRAST = """
(() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(Number).map((v) => {
      v /= 255;
      return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if (!/, 0\\)$|transparent/.test(color)) { return color; }
    }
    return "rgb(255, 255, 255)";
  };
  const low = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!text || !element.checkVisibility() || element.closest("script, svg")) { continue; }
    const [a, b] = [light(getComputedStyle(element).color), light(background(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) { low.add(element.className + " " + element.tagName + " " + ratio.toFixed(2)); }
  }
  return [...low];
})()
"""


def generated() -> Any:
    spec = importlib.util.spec_from_file_location("evidence_generated", GENERATED)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    program = chromium()
    assert program is not None
    with browser(program) as opened:
        yield opened


@pytest.fixture(autouse=True)
def quiet(page: Page) -> Iterator[None]:
    """No page asks for anything but itself, and nothing complains."""
    page.requests.clear()
    page.complaints.clear()
    yield
    page.run("1")
    assert page.complaints == []
    assert {url.split(":")[0] for url in page.requests} <= {"file", "data"}
    assert all(url.startswith("data:,") or url.split("#")[0].endswith(".html") for url in page.requests)


def written(folder: Path, clusters: list[Any]) -> str:
    path = folder / "index.html"
    path.write_text(page_of(clusters, generated().RUN["id"], page_files()))
    return path.as_uri()


def made(count: int) -> list[Any]:
    module = generated()
    return [module.cluster(number, metrics=module.series() if number == 1 else ()) for number in range(1, count + 1)]


@pytest.mark.parametrize(("width", "dark", "count"), list(itertools.product((375, 1440), (False, True), (1, 46, 60))))
def test_page_at_every_width_and_in_every_light(page: Page, tmp_path: Path, width: int, dark: bool, count: int) -> None:
    page.open(written(tmp_path, made(count)), width=width, dark=dark)
    page.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    page.run("new Promise((done) => setTimeout(done, 100))")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("document.querySelectorAll('details.cluster').length") == count
    assert page.run(CONTRAST) == []
    brightness = page.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    assert (brightness < 64) == dark


def test_landmarks_and_names(page: Page, tmp_path: Path) -> None:
    page.open(written(tmp_path, made(46)))
    for landmark in ("header", "main", "footer", "h1", "title"):
        assert page.run(f"document.querySelectorAll('{landmark}').length") == 1
    assert page.run("document.documentElement.lang") == "en"
    assert page.run("[...document.querySelectorAll('th')].every((cell) => cell.scope)")
    assert page.run(
        "[...document.querySelectorAll('table')].every((table) => table.tHead && table.tBodies.length === 1)"
    )
    assert page.run("[...document.querySelectorAll('svg')].every((s) => s.ariaHidden || s.getAttribute('aria-label'))")
    assert page.run("[...document.querySelectorAll('input, select')].every((field) => field.labels.length === 1)")
    ids = page.run("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids))


def test_one_cluster_is_shown_in_full(page: Page, tmp_path: Path) -> None:
    page.open(written(tmp_path, made(1)))
    assert page.run("document.querySelector('h1').textContent") == "aks-0001 works"
    points = page.run("document.querySelector('figure polyline').getAttribute('points').trim().split(' ').length")
    assert 50 <= points <= MOST_PLOTTED_POINTS
    assert page.run("document.querySelectorAll('.charts polyline').length") == 2
    assert page.run("document.querySelectorAll('.nodes tbody tr').length") == 2
    assert page.run("document.querySelectorAll('.nodes .gpus i.p').length") == 8
    lefts = page.run("[...document.querySelectorAll('.track span')].map((bar) => bar.getBoundingClientRect().left)")
    assert len(lefts) >= 5
    assert lefts == sorted(lefts)
    assert page.printed().startswith(b"%PDF")


def test_find_filter_and_open(page: Page, tmp_path: Path) -> None:
    clusters = made(250)
    uri = written(tmp_path, clusters)
    page.open(uri)
    shown = "document.querySelectorAll('#fleet tbody tr:not([hidden])').length"
    assert page.run("document.querySelectorAll('#fleet tbody tr').length") == 250
    assert page.run(shown) == 100
    page.run("document.getElementById('more').click()")
    assert page.run(shown) == 250
    bad = sum(each["verdict"] == "does_not_work" for each in clusters)
    page.run("verdict.value = 'does_not_work'; verdict.dispatchEvent(new Event('change'))")
    assert page.run(shown) == bad > 0
    assert page.run("document.querySelectorAll('details.cluster:not([hidden])').length") == bad
    page.run("verdict.value = ''; words.value = 'AKS-0007 tesla'; words.dispatchEvent(new Event('input'))")
    assert page.run(shown) == 0
    page.run("words.value = 'aks-0007'; words.dispatchEvent(new Event('input'))")
    assert page.run(shown) == 1
    assert page.run("document.getElementById('count').textContent") == "1 of 250"
    page.run("document.querySelector('#fleet tbody tr:not([hidden]) a').click()")
    page.run("new Promise((done) => setTimeout(done, 200))")
    opened = "document.querySelector('details.cluster[open]')"
    assert page.run(f"{opened}.querySelector('h3').textContent") == "aks-0007"
    assert page.run(f"{opened}.querySelectorAll('.nodes tbody tr').length") >= 1
    assert page.run(f"{opened}.querySelectorAll('noscript').length") == 0


def test_everything_is_there_without_a_script(page: Page, tmp_path: Path) -> None:
    uri = written(tmp_path, made(MANY_CLUSTERS + 10))
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(uri)
        assert page.run("document.querySelectorAll('#fleet tbody tr:not([hidden])').length") == MANY_CLUSTERS + 10
        assert (
            page.run("document.querySelectorAll('details.cluster .checks, details.cluster .failure').length")
            >= MANY_CLUSTERS + 10
        )
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


def test_hostile_content_is_text(page: Page, tmp_path: Path) -> None:
    module = generated()
    owned = "document.title='owned'"
    hostile = f'</noscript></script></style><script>{owned}</script><img src=x onerror="{owned}">'
    failure = {"step": hostile, "message": hostile, "problems": []}
    cluster = {"name": hostile, "resource_group": hostile, "subscription_id": hostile}
    one = module.cluster(1, cluster=cluster, host=hostile, failure=failure)
    one["job"]["log_tail"] = [hostile]
    for others in (0, MANY_CLUSTERS + 1):
        page.open(written(tmp_path, [one, *made(others)[1:]]))
        page.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        page.run("new Promise((done) => setTimeout(done, 200))")
        assert "owned" not in page.run("document.title").replace(hostile, "")
        assert page.run("document.querySelectorAll('img').length") == 0
        assert page.run("document.querySelectorAll('script').length") == 1
        assert hostile in page.run("document.body.textContent")


def test_a_thousand_clusters(page: Page, tmp_path: Path) -> None:
    uri = written(tmp_path, made(1000))
    size = (tmp_path / "index.html").stat().st_size
    seconds = min(page.open(uri) for _unused in range(2))
    elements = page.run("document.querySelectorAll('*').length")
    print(f"1,000 clusters: {size / 1e6:.1f} MB, {elements} elements, loaded in {seconds:.2f} s")
    assert page.run("document.querySelectorAll('#fleet tbody tr').length") == 1000
    assert size < 12e6
    assert elements < 40_000
    assert seconds < 8
