# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's page: a Jinja template, its style and its script.

They are Python texts because a module that runs in a process of its own is packed with nothing but Python.
"""

from __future__ import annotations

STYLE = r"""
:root {
  color-scheme: light dark;
  --paper: #f6f7f8; --card: #fff; --ink: #16191d; --soft: #545d68; --line: #dde1e6; --hair: #eceff2;
  --good: #11703c; --good-bg: #e3f4ea; --bad: #b3261e; --bad-bg: #fdeceb; --warn: #7d5200; --warn-bg: #fbf0d9;
  --calm: #4a5563; --calm-bg: #eaedf1; --link: #0b57b0; --curve: #0b6fb8; --bar: #7fb2dc; --bar-change: #0b6fb8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0e1114; --card: #161a1f; --ink: #e8ebee; --soft: #a3adb8; --line: #2b323a; --hair: #21272e;
    --good: #5fd08f; --good-bg: #12301f; --bad: #ff8a80; --bad-bg: #3b1715; --warn: #f0c060; --warn-bg: #33270d;
    --calm: #b5bfca; --calm-bg: #252c34; --link: #7db8ff; --curve: #62b0f0; --bar: #31587a; --bar-change: #62b0f0;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 1rem; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
.wrap { max-width: 1180px; margin: 0 auto; padding: 2.25rem 1.5rem 3rem; }
a { color: var(--link); text-underline-offset: .18em; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 3px; }
h1 { font-size: clamp(1.6rem, 1.1rem + 2vw, 2.35rem); line-height: 1.15; letter-spacing: -.02em;
  margin: .3rem 0 .45rem;
  text-wrap: balance; overflow-wrap: anywhere; font-weight: 680; }
h2 { font-size: 1.15rem; letter-spacing: -.01em; margin: 2.6rem 0 .8rem; font-weight: 650; }
h3 { font-size: .95rem; margin: 0 0 .6rem; font-weight: 650; }
p { margin: 0 0 .6rem; }
.eyebrow { color: var(--soft); font-size: .8rem; letter-spacing: .08em; text-transform: uppercase; margin: 0;
  font-weight: 600; }
.soft { color: var(--soft); }
.small { font-size: .86rem; font-weight: 400; }
.break { overflow-wrap: anywhere; }
.rule { height: 10px; border-radius: 5px; overflow: hidden; background: var(--calm-bg); display: block;
  width: 100%; margin: 1.4rem 0 .5rem; }
.rule rect.works { fill: var(--good); } .rule rect.does_not_work { fill: var(--bad); }
.rule rect.not_looked_at { fill: var(--warn); } .rule rect.idle { fill: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; padding: 0; margin: 0;
  font-size: .86rem; color: var(--soft); }
.legend b { color: var(--ink); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .75rem;
  margin: 1.5rem 0 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .85rem 1rem .8rem;
  min-width: 0; }
.tile dt { color: var(--soft); font-size: .82rem; }
.tile dd { margin: 0; }
.tile .n { font-size: 1.75rem; line-height: 1.2; font-weight: 640; letter-spacing: -.02em; }
.tile .s { font-size: .82rem; color: var(--soft); overflow-wrap: anywhere; }
.badge { display: inline-block; padding: .08rem .55rem; border-radius: 999px; font-size: .8rem; font-weight: 600;
  white-space: nowrap;
  background: var(--calm-bg); color: var(--calm); }
.badge.works { background: var(--good-bg); color: var(--good); }
.badge.does_not_work { background: var(--bad-bg); color: var(--bad); }
.badge.not_looked_at { background: var(--warn-bg); color: var(--warn); }
.cause { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--bad);
  border-radius: 8px;
  padding: .9rem 1.1rem; margin: 0 0 .75rem; }
.cause h3 { margin: 0 0 .25rem; overflow-wrap: anywhere; }
.cause p { overflow-wrap: anywhere; white-space: pre-line; margin: 0 0 .35rem; }
.cause ul { margin: .4rem 0 0; padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: .2rem .9rem;
  font-size: .88rem; }
.tools { display: flex; flex-wrap: wrap; gap: .6rem 1rem; align-items: end; margin: 0 0 .75rem; }
.tools label { display: grid; gap: .15rem; font-size: .82rem; color: var(--soft); }
.tools input, .tools select, button { font: inherit; color: var(--ink); background: var(--card);
  border: 1px solid var(--line);
  border-radius: 8px; padding: .4rem .65rem; min-height: 2.4rem; max-width: 100%; }
.tools input { width: 17rem; } button { cursor: pointer; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
caption { text-align: left; padding: .7rem .9rem 0; color: var(--soft); font-size: .82rem; }
th, td { text-align: left; padding: .5rem .9rem; vertical-align: top; border-bottom: 1px solid var(--hair); }
thead th { color: var(--soft); font-weight: 600; font-size: .82rem; white-space: nowrap;
  border-bottom-color: var(--line); }
tbody th { font-weight: 600; overflow-wrap: anywhere; }
tbody tr:last-child > * { border-bottom: 0; }
.fleet tbody th { min-width: clamp(7.5rem, 20vw, 11rem); } .nodes tbody th { min-width: 11rem; }
.time tbody th { min-width: 9.5rem; }
.num { text-align: right; white-space: nowrap; }
.nowrap { white-space: nowrap; }
.cluster { background: var(--card); border: 1px solid var(--line); border-radius: 10px; margin: 0 0 .6rem; }
.many .cluster { content-visibility: auto; contain-intrinsic-size: auto 3.2rem; }
.cluster > summary { cursor: pointer; padding: .75rem 1.1rem; display: flex; flex-wrap: wrap; gap: .2rem .7rem;
  align-items: baseline; list-style: none; }
.cluster > summary::-webkit-details-marker { display: none; }
.cluster > summary::before { content: "\203a"; color: var(--soft); font-weight: 700; width: .7em; }
.cluster[open] > summary::before { content: "\2304"; }
.cluster > summary h3 { display: inline; margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
.cluster > summary .line { flex: 1 1 20rem; min-width: 0; color: var(--soft); font-size: .88rem; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; }
.cluster[open] > summary .line { white-space: normal; overflow-wrap: anywhere; }
.cluster.does_not_work[open] > summary .line, .cluster.not_looked_at[open] > summary .line { display: none; }
.inside { padding: .4rem 1.1rem 1.2rem; display: grid; gap: 1.5rem; grid-template-columns: minmax(0, 1fr); }
.two { display: grid; gap: 1.5rem 2rem; grid-template-columns: repeat(2, minmax(0, 1fr)); }
@media (max-width: 860px) { .two { grid-template-columns: minmax(0, 1fr); } }
.checks { list-style: none; margin: 0; padding: 0; font-size: .9rem; }
.checks li { display: grid; grid-template-columns: 1.5rem 1fr; padding: .22rem 0; overflow-wrap: anywhere; }
.checks .y { color: var(--good); font-weight: 700; } .checks .x { color: var(--bad); font-weight: 700; }
.checks li.x-line { color: var(--bad); } .checks li.t-line { color: var(--soft); }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .22rem 1.1rem; margin: 0;
  font-size: .9rem; }
.facts dt { color: var(--soft); } .facts dd { margin: 0; overflow-wrap: anywhere; }
.gpus { display: flex; flex-wrap: wrap; gap: 3px; align-items: center; margin: .2rem 0 .15rem; }
.gpus i { width: 13px; height: 13px; border-radius: 3px; background: var(--card); border: 1.5px solid var(--soft); }
.gpus i.p { background: var(--good); border-color: var(--good); } .gpus i.f { background: var(--bad);
  border-color: var(--bad); }
.gpus i.h { border-style: dashed; background: var(--calm-bg); }
.bad { color: var(--bad); }
.problem { border-left: 3px solid var(--warn); padding: .1rem 0 .1rem .8rem; margin: 0 0 .7rem; font-size: .9rem;
  overflow-wrap: anywhere; }
.problem p { margin: 0 0 .2rem; white-space: pre-line; }
.failure { border-left: 3px solid var(--bad); }
pre { margin: .5rem 0 0; padding: .8rem 1rem; background: var(--paper); border: 1px solid var(--line);
  border-radius: 8px; overflow-x: auto;
  font: .8rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.fold > summary { cursor: pointer; color: var(--link); font-size: .88rem; }
svg.chart { display: block; width: 100%; height: auto; max-width: 620px; }
.charts svg.chart { max-width: 360px; }
svg.chart text { fill: var(--soft); font-size: 12px; }
.rest { margin: .5rem 0 0; }
svg.chart .grid { stroke: var(--hair); } svg.chart .axis { stroke: var(--line); }
svg.chart .curve { fill: none; stroke: var(--curve); stroke-width: 2.25; stroke-linejoin: round;
  stroke-linecap: round; }
svg.chart .dot { fill: var(--curve); stroke: var(--card); stroke-width: 2; }
svg.chart .least { stroke: var(--warn); stroke-dasharray: 5 4; } svg.chart text.least { stroke: none;
  fill: var(--warn); }
.charts { display: grid; gap: 1rem 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); }
.charts figure, figure { margin: 0; } figcaption { font-size: .86rem; color: var(--soft); margin: 0 0 .3rem;
  overflow-wrap: anywhere; }
.time td.lane { width: 38%; min-width: 150px; vertical-align: middle; }
.time .track { display: block; height: 10px; border-radius: 5px; background: var(--hair); position: relative; }
.time .track span { position: absolute; top: 0; bottom: 0; left: var(--l); width: var(--w); min-width: 3px;
  border-radius: 5px; background: var(--bar); }
.time .changed span { background: var(--bar-change); } .time .failed span { background: var(--bad); }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft);
  font-size: .84rem; }
@media (max-width: 640px) {
  .wrap { padding: 1.25rem .9rem 2rem; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .5rem; } .tile { padding: .65rem .8rem; }
  .tile .n { font-size: 1.45rem; }
  .fleet .wide { display: none; } th, td { padding: .45rem .6rem; }
  .tools label, .tools input, .tools select { width: 100%; }
  .cluster > summary .line { flex-basis: 100%; }
  .cluster.does_not_work[open] > summary .line, .cluster.not_looked_at[open] > summary .line { display: none; }
.inside { padding: .3rem .8rem 1rem; }
  .time td.lane { min-width: 90px; }
}
@media print {
  :root { --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; --hair: #ddd; --good: #11703c;
    --bad: #b3261e; --warn: #7d5200;
    --calm: #333; --link: #000; --good-bg: #fff; --bad-bg: #fff; --warn-bg: #fff; --calm-bg: #fff; --curve: #000;
    --bar: #999; --bar-change: #333; }
  body { font-size: 10.5pt; } .wrap { max-width: none; padding: 0; } .tools, .more, .fold > summary { display: none; }
  .badge { border: 1px solid currentColor; } .many .cluster { content-visibility: visible; }
  .cause, .tile, tr, figure { break-inside: avoid; } .scroll { overflow: visible; border: 0; }
  * { print-color-adjust: exact; }
}
"""

SCRIPT = r"""
(function () {
  "use strict";
  var first = 100, all = false;
  var rows = Array.prototype.slice.call(document.querySelectorAll("#fleet tbody tr"));
  var words = document.getElementById("words"), verdict = document.getElementById("verdict");
  var count = document.getElementById("count"), more = document.getElementById("more");
  var parts = rows.map(function (row) { return document.getElementById(row.dataset.for); });
  var texts = rows.map(function (row) { return row.textContent.toLowerCase(); });
  function show() {
    var wanted = words.value.toLowerCase().split(/\s+/), kind = verdict.value, fit = 0, shown = 0;
    rows.forEach(function (row, index) {
      var fits = !kind || row.dataset.verdict === kind;
      fits = fits && wanted.every(function (word) { return texts[index].indexOf(word) >= 0; });
      fit += fits;
      var seen = fits && (all || shown < first);
      shown += seen;
      row.hidden = !seen;
      if (parts[index]) { parts[index].hidden = !seen; }
    });
    count.textContent = shown < fit ? "the first " + shown + " of " + fit : fit + " of " + rows.length;
    more.hidden = shown === fit;
    more.textContent = "Show all " + fit;
  }
  function open() {
    var id = location.hash.slice(1), part = id && document.getElementById(id);
    if (!part || part.tagName !== "DETAILS") { return; }
    part.hidden = false;
    part.open = true;
    part.scrollIntoView();
    part.querySelector("summary").focus({ preventScroll: true });
  }
  if (rows.length) {
    document.getElementById("tools").hidden = false;
    words.addEventListener("input", show);
    verdict.addEventListener("change", show);
    more.addEventListener("click", function () { all = true; show(); });
    window.addEventListener("beforeprint", function () { all = true; show(); });
    show();
  }
  // The details of many clusters are text for the browser until they are opened.
  document.addEventListener("toggle", function (event) {
    var late = event.target.open && event.target.querySelector(":scope > .inside > noscript");
    if (late) { late.parentNode.innerHTML = late.textContent; }
  }, true);
  window.addEventListener("hashchange", open);
  open();
})();
"""

PAGE = r"""{% macro chart(c, extra) %}
<svg class="chart" viewBox="0 0 {{ c.width }} {{ c.height }}" role="img" aria-label="{{ c.label }}">
{% for label, y in c.y_ticks %}
<line class="grid" x1="{{ c.left }}" x2="{{ c.right }}" y1="{{ y }}" y2="{{ y }}"/>
<text x="{{ c.left - 7 }}" y="{{ y + 4 }}" text-anchor="end">{{ label }}</text>
{% endfor %}
<line class="axis" x1="{{ c.left }}" x2="{{ c.right }}" y1="{{ c.bottom }}" y2="{{ c.bottom }}"/>
{% for label, x, anchor in c.x_ticks %}
<text x="{{ x }}" y="{{ c.height - 8 }}" text-anchor="{{ anchor }}">{{ label }}</text>
{% endfor %}
{% if extra %}
<line class="least" x1="{{ c.left }}" x2="{{ c.right }}" y1="{{ extra.y }}" y2="{{ extra.y }}"/>
<text class="least" x="{{ c.right }}" y="{{ extra.y + 15 }}" text-anchor="end">{{ extra.label }}</text>
{% endif %}
<polyline class="curve" points="{{ c.points }}"/>
<circle class="dot" cx="{{ c.end[0] }}" cy="{{ c.end[1] }}" r="4.5"/>
</svg>
{% endmacro %}
{% macro facts(pairs) %}
<dl class="facts">
{% for name, value in pairs %}
<dt>{{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}
</dl>
{% endmacro %}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{{ digest }}'; img-src data:">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{{ title }} &ndash; GPU evidence</title>
<style>{{ style | safe }}</style>
</head>
<body>
<div class="wrap{{ ' many' if many }}">
<header>
<p class="eyebrow">GPU evidence · Azure Kubernetes Service</p>
<h1>{{ title }}</h1>
<p class="soft">{{ when }}</p>
{% if clusters | length > 1 %}
<svg class="rule" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
{% for part in bar %}
<rect class="{{ part.verdict }}" x="{{ part.x }}" width="{{ part.w }}" height="10"/>
{% endfor %}
</svg>
<ul class="legend">
{% for part in bar %}
<li><span class="badge {{ part.verdict }}">{{ part.label }}</span> <b>{{ '{:,}'.format(part.count) }}</b></li>
{% endfor %}
</ul>
{% endif %}
<dl class="tiles">
{% for name, number, rest in tiles if clusters | length > 1 or name != 'Clusters' %}
<div class="tile"><dt>{{ name }}</dt>
<dd><div class="n">{{ number }}</div><div class="s">{{ rest or none_told }}</div></dd></div>
{% endfor %}
</dl>
</header>
<main>
{% if causes %}
<section aria-labelledby="h-causes">
<h2 id="h-causes">What failed, and why</h2>
{% for cause in causes %}
<div class="cause">
<h3>{{ cause.what }}</h3>
{% if cause.why %}
<p>{{ cause.why }}</p>
{% endif %}
{% if cause.advice %}
<p><b>What to do:</b> {{ cause.advice }}</p>
{% endif %}
{% if clusters | length > 1 %}
<ul aria-label="Clusters">
{% for each in cause.clusters[:12] %}
<li><a href="#c{{ each.index }}">{{ each.name }}</a></li>
{% endfor %}
{% if cause.clusters | length > 12 %}
<li class="soft">and {{ '{:,}'.format(cause.clusters | length - 12) }} more</li>
{% endif %}
</ul>
{% endif %}
</div>
{% endfor %}
</section>
{% endif %}
{% if clusters | length > 1 %}
<section aria-labelledby="h-fleet">
<h2 id="h-fleet">Clusters</h2>
<div class="tools" id="tools" hidden>
<label>Find <input id="words" type="search" autocomplete="off" placeholder="name, group, GPU, driver"></label>
<label>Verdict <select id="verdict"><option value="">all</option>
{% for part in bar %}
<option value="{{ part.verdict }}">{{ part.label }}</option>
{% endfor %}
</select></label>
<span class="soft small" role="status">Shown: <span id="count">{{ clusters | length }}</span></span>
</div>
<div class="scroll" tabindex="0" role="region" aria-labelledby="h-fleet">
<table class="fleet" id="fleet">
<thead><tr><th scope="col">Cluster</th><th scope="col">Verdict</th><th scope="col" class="num wide">Nodes</th>
<th scope="col" class="num">GPUs</th><th scope="col" class="wide">GPU</th><th scope="col" class="wide">Driver, CUDA</th>
<th scope="col" class="num wide">Accuracy</th><th scope="col" class="wide">Looked at</th></tr></thead>
<tbody>
{% for c in clusters %}
<tr data-for="c{{ c.index }}" data-verdict="{{ c.verdict }}"><th scope="row"><a href="#c{{ c.index }}">{{ c.name }}</a>
{% if c.place %}
<br><span class="soft small">{{ c.place }}</span>
{% endif %}
</th><td><span class="badge {{ c.verdict }}">{{ c.badge }}</span></td><td class="num wide">{{ c.node_count }}</td>
<td class="num">{{ c.gpus }}</td><td class="wide">{{ c.model or none_told }}</td>
<td class="wide nowrap">{{ c.driver or none_told }}{{ ', ' ~ c.cuda if c.cuda }}</td>
<td class="num wide">{{ c.accuracy or none_told }}</td><td class="wide nowrap">{{ c.time }}
{% if c.older %}
<br><span class="soft small">an earlier run</span>
{% endif %}
</td></tr>
{% endfor %}
</tbody>
</table>
</div>
<p class="more"><button id="more" type="button" hidden>Show all</button></p>
</section>
{% endif %}
<section aria-labelledby="h-each">
<h2 id="h-each">{{ 'Each cluster' if clusters | length > 1 else 'In detail' }}</h2>
{% for c in clusters %}
<details class="cluster {{ c.verdict }}" id="c{{ c.index }}"{{ ' open' if clusters | length == 1 }}>
<summary><h3>{{ c.name }}</h3> <span class="badge {{ c.verdict }}">{{ c.badge }}</span>
<span class="line">{{ c.headline }}</span></summary>
<div class="inside">
{% if many %}
<noscript>
{% endif %}
{% if c.failure %}
<div><h3>The step that failed</h3>
<div class="problem failure"><p><b>{{ c.failure.step }}</b></p><p>{{ c.failure.message }}</p></div></div>
{% endif %}
<div class="two">
<div><h3>Asserted</h3>
{% if c.checks %}
<ul class="checks">
{% for check in c.checks %}
{% if check.holds is none %}
<li class="t-line"><span aria-hidden="true">·</span><span>{{ check.line }}</span></li>
{% elif check.holds %}
<li><span class="y" role="img" aria-label="holds">✓</span><span>{{ check.line }}</span></li>
{% else %}
<li class="x-line"><span class="x" role="img" aria-label="does not hold">✗</span><span>{{ check.line }}</span></li>
{% endif %}
{% endfor %}
</ul>
{% else %}
<p class="soft">Nothing: the GPU nodes could not be looked at.</p>
{% endif %}
</div>
<div><h3>What it is</h3>
{{ facts(c.facts) }}
</div>
</div>
{% if c.problems %}
<div><h3>What the cluster says</h3>
{% for problem in c.problems %}
<div class="problem"><p><b>{{ problem.subject }}</b>: {{ problem.message }}</p>
{% if problem.advice %}
<p class="soft">{{ problem.advice }}</p>
{% endif %}
{% if problem.log_tail %}
<pre>{{ problem.log_tail | join('\n') }}</pre>
{% endif %}
</div>
{% endfor %}
</div>
{% endif %}
{% if c.nodes %}
<div><h3>GPUs by node</h3>
<div class="scroll" tabindex="0" role="region" aria-label="GPUs by node of {{ c.name }}"><table class="nodes">
<thead><tr><th scope="col">Node</th><th scope="col">GPUs</th><th scope="col">Driver</th><th scope="col">CUDA</th>
<th scope="col">Health</th></tr></thead>
<tbody>
{% for n in c.nodes %}
<tr><th scope="row">{{ n.name }}<br><span class="soft small">{{ n.size }}</span></th>
<td>{{ n.count }}{{ ' of ' ~ n.capacity if n.capacity != n.count }}{{ times ~ n.model if n.model }}
<div class="gpus" aria-hidden="true">
{%- for s in n.squares %}<i class="{{ s }}"></i>{% endfor %}
{% if n.more %}
<span class="soft small">+{{ n.more }}</span>
{% endif %}
</div><span class="small {{ 'bad' if n.bad else 'soft' }}">{{ n.result }}</span></td>
<td class="nowrap">{{ n.driver }}</td><td>{{ n.cuda }}</td>
<td><span{{ ' class=bad' if not n.ready }}>{{ 'Ready' if n.ready else 'not Ready' }}</span>
{% if n.health %}
<br><span class="bad small">{{ n.health }}</span>
{% endif %}
</td></tr>
{% endfor %}
</tbody></table></div></div>
{% endif %}
{% if c.job %}
<div class="two">
{% if c.curve %}
<figure><figcaption><b>Accuracy</b> by step, {{ c.curve.last }} at the last</figcaption>
{{ chart(c.curve, c.curve.minimum) }}
</figure>
{% endif %}
<div><h3>Job {{ c.job.name }}</h3>
{{ facts(c.job.facts) }}
{% if c.job.log %}
<details class="fold"><summary>The end of its log</summary><pre>{{ c.job.log }}</pre></details>
{% endif %}
</div>
</div>
{% endif %}
{% if c.metrics %}
<div><h3>Metrics</h3><div class="charts">
{% for m in c.metrics %}
<figure><figcaption><b>{{ m.name }}</b> {{ m.last }}<br>{{ m.dimensions }}</figcaption>
{{ chart(m, none) }}
</figure>
{% endfor %}
</div></div>
{% endif %}
{% if c.steps %}
<div><h3>Steps of the run, {{ c.steps.span }}</h3>
{% if c.steps.rows %}
<div class="scroll" tabindex="0" role="region" aria-label="Steps of {{ c.name }}"><table class="time">
<thead><tr><th scope="col">Step</th><th scope="col" class="num">After</th><th scope="col" class="num">Took</th>
<th scope="col">Outcome</th><th scope="col">Timeline</th></tr></thead>
<tbody>
{% for s in c.steps.rows %}
<tr><th scope="row">{{ s.name }}
{% if s.role %}
<br><span class="soft small">{{ s.role }}</span>
{% endif %}
</th><td class="num">{{ s.at }}</td><td class="num">{{ s.took }}</td>
<td{{ ' class=bad' if s.outcome == 'failed' }}>{{ s.outcome }}</td>
<td class="lane"><span class="track {{ s.outcome }}">
<span style="--l:{{ s.left }}%;--w:{{ s.width }}%"></span></span></td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}
{% if c.steps.short %}
<p class="soft small rest">{{ c.steps.short }}</p>
{% endif %}
</div>
{% endif %}
{% if many %}
</noscript>
{% endif %}
</div>
</details>
{% endfor %}
</section>
</main>
<footer><p>Made by the Ansible collection aks.gpu from the files of evidence beside this page. It needs nothing from the
network.</p></footer>
</div>
<script>{{ script | safe }}</script>
</body>
</html>
"""
