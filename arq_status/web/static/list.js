// The live list: folding, selection, keyboard shortcuts and the form above it.

import { act } from "./actions.js";
import { $, $$, everySecond, now, patchParts, setText } from "./page.js";
import { liveRows } from "./rows.js";
import { follow } from "./stream.js";

const BUSY = 5000;
const FOLD = 5;

const body = $("#jobs");
const asked = new URLSearchParams(location.search);
const byUpdate = !asked.get("sort") && asked.get("direction") !== "asc";

// Jobs that report all the time would constantly overtake each other: as long as they do, they keep
// their places.
const calmed = (ids) => {
  if (!byUpdate) return ids;
  const places = new Map(rows().map((row, place) => [row.dataset.id, place]));
  const isBusy = (id) => now() - Date.parse($(".at-time time", table.latest(id))?.dateTime) < BUSY;
  const busy = ids.filter(isBusy).sort((a, b) => (places.get(a) ?? -1) - (places.get(b) ?? -1));
  return [...busy, ...ids.filter((id) => !isBusy(id))];
};

const table = liveRows(body, { calmed, arranged: () => fold() });
const { rows } = table;

// Folding: the first of many similar ended jobs in a row stands for all of them.

const opened = new Set();

const unfold = () => {
  for (const button of $$(".fold", body)) button.remove();
  for (const row of rows()) row.classList.remove("folded");
};

const foldButton = (like, number) => {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "fold";
  button.title = `Show ${number - 1} more like this`;
  setText(button, `× ${number}`);
  button.addEventListener("click", () => {
    opened.add(like);
    fold();
  });
  return button;
};

const fold = () => {
  unfold();
  const all = rows();
  for (let start = 0, end; start < all.length; start = end) {
    const { like } = all[start].dataset;
    for (end = start + 1; end < all.length && all[end].dataset.like === like; ) end += 1;
    if (!like || end - start < FOLD || opened.has(like) || end - start === all.length) continue;
    for (const row of all.slice(start + 1, end)) row.classList.add("folded");
    $(".function", all[start]).after(foldButton(like, end - start));
  }
};

follow({
  parts(parts, page = null) {
    patchParts(table.takeParts(parts, page));
    if (table.isSettled()) fold();
    count();
  },
  order: table.order,
});
everySecond(table.arrangeWhenCalm);

// Selection

const bulk = $("#bulk");
const all = $("#select-all");
const boxes = () => $$("input[name=job_id]", body);
const visible = () => boxes().filter((box) => box.checkVisibility());

const count = () => {
  if (!bulk) return;
  const chosen = boxes().filter((box) => box.checked);
  const every = $("[name=all]", bulk);
  if (!chosen.length && every) every.checked = false;
  const number = every?.checked ? Number(every.value) : chosen.length;
  setText($("#selected"), number.toLocaleString("en"));
  all.checked = chosen.length > 0 && chosen.length === boxes().length;
  all.indeterminate = chosen.length > 0 && !all.checked;
};

if (bulk) {
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    count();
  });
  document.addEventListener("change", count);
  bulk.addEventListener("reset", () => requestAnimationFrame(count));
}

// Which jobs the dialog is about, as in "8 import_row, 4 resize".
const which = () => {
  const every = $("[name=all]", bulk);
  if (every?.checked) {
    const filters = $$(".chips li a:not(.clear)").map((it) => it.textContent.replace(/\s*remove\s*$/, "").trim());
    return `All that match: ${filters.join(", ")}`;
  }
  const names = new Map();
  for (const row of rows()) {
    if (!$("input[name=job_id]", row).checked) continue;
    const name = `${$(".function", row).textContent} ${row.dataset.status}`;
    names.set(name, (names.get(name) ?? 0) + 1);
  }
  return [...names].map(([name, number]) => `${number} × ${name}`).join(", ");
};

act((action, form) => {
  if (form === bulk) {
    bulk.reset();
    return;
  }
  // the viewer's own action may move the rows under the pointer
  if (action === "delete") {
    table.remove(form.closest("tr").dataset.id);
  }
  table.arrange();
}, (form) => {
  if (form !== bulk) return {};
  const every = $("[name=all]", bulk);
  const number = every?.checked ? Number(every.value) : boxes().filter((box) => box.checked).length;
  return { number, which: which(), must: true };
});

// Keyboard shortcuts

const step = (by) => {
  const links = $$(".function", body).filter((it) => it.checkVisibility());
  const place = links.findIndex((it) => it.closest("tr").contains(document.activeElement));
  links[Math.min(Math.max(0, place + by), links.length - 1)]?.focus();
};

const KEYS = {
  "/": () => $("#search").select() ?? $("#search").focus(),
  j: () => step(1),
  k: () => step(-1),
  x: () => document.activeElement.closest?.("tr[data-id]")?.querySelector("input[name=job_id]")?.click(),
  Escape: () => bulk?.reset(),
};

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping || $("dialog[open]")) return;
  if (!KEYS[event.key]) return;
  if (event.key !== "Escape") event.preventDefault();
  KEYS[event.key]();
});

// The form above the list

const tools = $(".tools");
tools.addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) if (!value) formData.delete(name);
});
for (const control of $$("select, [name=tag]", tools)) {
  control.addEventListener("change", () => tools.requestSubmit());
}

const toggle = $("#filter");
toggle.hidden = false;
toggle.addEventListener("click", () => {
  const isOpen = $("#filters").classList.toggle("open");
  toggle.setAttribute("aria-expanded", isOpen);
});

fold();
count();
