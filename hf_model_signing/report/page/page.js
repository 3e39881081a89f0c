"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const table = byId("repositories"), body = table.tBodies[0], search = byId("search");
  const labels = new Map();
  for (const chip of document.querySelectorAll("button[data-status]")) {
    labels.set(chip.dataset.status, chip.querySelector("b").previousSibling.textContent.trim());
  }
  const ranks = [...labels.keys()];
  const rows = Array.from(body.rows, (row) => {
    const data = row.dataset;
    const text = [data.name, data.signer, data.kind, data.status, labels.get(data.status) || ""].join("\n");
    return { row, text: text.toLowerCase(), status: data.status, kind: data.kind, name: data.name.toLowerCase(),
      signer: data.signer.toLowerCase(), time: data.time, files: Number(data.files), rank: ranks.indexOf(data.status) };
  });
  const chosen = { status: new Set(), kind: new Set() };

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const entry of rows) {
      const fits = (!chosen.status.size || chosen.status.has(entry.status))
        && (!chosen.kind.size || chosen.kind.has(entry.kind)) && words.every((word) => entry.text.includes(word));
      if (entry.row.hidden === fits) entry.row.hidden = !fits;
      count += fits;
    }
    byId("shown").textContent = `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} shown`;
    byId("empty").hidden = count > 0 || !rows.length;
  }

  function press(chip, on) {
    const kind = chip.dataset.status === undefined ? "kind" : "status", value = chip.dataset[kind];
    chosen[kind][on ? "add" : "delete"](value);
    chip.setAttribute("aria-pressed", String(on));
  }

  function reset() {
    search.value = "";
    for (const chip of document.querySelectorAll(".chips [aria-pressed=true]")) press(chip, false);
    filter();
  }

  const text = new Intl.Collator("en", { numeric: true });
  function sort(header) {
    const key = header.dataset.key, up = header.getAttribute("aria-sort") !== "ascending", sign = up ? 1 : -1;
    const compare = key === "rank" || key === "files" ? (a, b) => a[key] - b[key] : (a, b) => text.compare(a[key], b[key]);
    // What has no signer and no time comes last, whichever way it is sorted.
    const empty = (entry) => entry[key] === "";
    rows.sort((a, b) => empty(a) - empty(b) || sign * compare(a, b));
    for (const other of header.parentNode.cells) if (other.dataset.key) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...rows.map((entry) => entry.row));
  }

  function show() {
    let id = location.hash.slice(1);
    if (!byId(id)) { try { id = decodeURIComponent(id); } catch { return; } }
    const part = byId(id), details = part && part.closest("details");
    if (!details) return;
    const row = details.closest("tr");
    if (row.hidden) reset();
    details.open = true;
    row.scrollIntoView({ block: "start" });
    details.querySelector("summary").focus({ preventScroll: true });
  }

  let timer = 0;
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(filter, 80); });
  byId("tools").addEventListener("click", (event) => {
    const chip = event.target.closest("button");
    if (!chip) return;
    if (chip.id === "reset") { reset(); return; }
    press(chip, chip.getAttribute("aria-pressed") !== "true");
    filter();
  });
  for (const header of table.tHead.rows[0].cells) {
    if (!header.dataset.key) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    header.setAttribute("aria-sort", "none");
  }
  table.tHead.addEventListener("click", (event) => { const button = event.target.closest("button"); if (button) sort(button.parentNode); });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (!link) return;
    if (link.id === "show-bad") {
      reset();
      for (const chip of document.querySelectorAll(".chips .bad")) press(chip, true);
      filter();
    }
    if (link.getAttribute("href") === location.hash) show(); // no event comes for the same address
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest && event.target.closest("input");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); search.focus(); search.select(); }
    if (event.key === "Escape" && typing) { search.value = ""; filter(); }
  });
  addEventListener("hashchange", show);
  document.documentElement.classList.add("js");
  byId("tools").hidden = false;
  filter();
  show();
})();
