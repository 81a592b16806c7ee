/* Copyright: (c) 2026, the aks.gpu authors
 * GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later */
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
