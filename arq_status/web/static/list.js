// The list, live. Rows change where they stand; their order changes at most once a second, and not
// while somebody points at them or has the focus there.

import { act, everySecond, follow, now, setText, show, write } from "./page.js";

const CALM = 1000;
const BUSY = 5000;

const body = document.getElementById("jobs");
const template = document.getElementById("row").content;
const known = new Map();
const asked = new URLSearchParams(location.search);
const byUpdate = !asked.get("sort") && asked.get("direction") !== "asc";
let wanted = null;
let arranged = 0;

const rowOf = (id) => [...body.rows].find((row) => row.dataset.id === id);

// A segment of dots would be a way up, and a path takes no newline.
const jobUrl = (id) => {
  const base = location.pathname.replace(/\/$/, "");
  return id === "." || id === ".." || id.includes("\n")
    ? `${base}/?id=${encodeURIComponent(id)}`
    : `${base}/${encodeURIComponent(id)}`;
};

const writeRow = (row, job) => {
  row.dataset.id = job.job_id;
  row.querySelector(".function").href = jobUrl(job.job_id);
  const form = row.querySelector("form");
  // not form.action: that is the button with this name
  form?.setAttribute("action", jobUrl(job.job_id));
  row.querySelector(".progress").hidden = !job.started_at && job.status !== "complete";
  row.querySelector(".due").hidden = !job.due_at || Date.parse(job.due_at) <= now();
  row.querySelector("progress").setAttribute("aria-label", `Progress of ${job.function ?? job.job_id}`);
  write(row, job);
};

const newRow = (job) => {
  const row = template.firstElementChild.cloneNode(true);
  writeRow(row, job);
  return row;
};

// Order

// A finger that has tapped still counts as hovering where nothing else can.
const points = matchMedia("(hover: hover)");
const isHeld = () =>
  (points.matches && body.matches(":hover")) || body.querySelector(":focus-visible") !== null;

// Jobs that report all the time would overtake each other all the time: as long as they do, they
// keep the places that they have.
const calmed = (ids) => {
  if (!byUpdate) return ids;
  const places = new Map([...body.rows].map((row, place) => [row.dataset.id, place]));
  // of rows that the page came with nothing is known before the stream tells of them
  const isBusy = (id) => now() - Date.parse(known.get(id)?.updated_at) < BUSY;
  const busy = ids.filter(isBusy).sort((a, b) => (places.get(a) ?? -1) - (places.get(b) ?? -1));
  return [...busy, ...ids.filter((id) => !isBusy(id))];
};

const arrange = () => {
  if (!wanted) return;
  const focused = document.activeElement;
  const rows = new Map([...body.rows].map((row) => [row.dataset.id, row]));
  calmed(wanted).forEach((id, place) => {
    const row = rows.get(id) ?? newRow(known.get(id));
    rows.delete(id);
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
  });
  for (const row of rows.values()) row.remove();
  if (body.contains(focused)) focused.focus({ preventScroll: true });
  for (const id of known.keys()) if (!wanted.includes(id)) known.delete(id);
  document.getElementById("empty").hidden = wanted.length > 0;
  body.parentElement.hidden = !wanted.length;
  [wanted, arranged] = [null, performance.now()];
};

const arrangeWhenCalm = () => {
  if (!wanted || performance.now() - arranged < CALM) return;
  if (isHeld() && body.rows.length) {
    for (const row of body.rows) row.classList.toggle("left", !wanted.includes(row.dataset.id));
    show("held", "Live, rows hold still meanwhile");
    return;
  }
  for (const row of body.rows) row.classList.remove("left");
  arrange();
  show("live", "Live");
};

// Pages

const shownOf = ({ ids, total, page, per_page: size }) => {
  const first = (page - 1) * size + 1;
  const of = total.toLocaleString("en");
  if (!ids.length) return total ? `0 of ${of}` : "No jobs";
  const last = first + ids.length - 1;
  return `${first.toLocaleString("en")} to ${last.toLocaleString("en")} of ${of}`;
};

const linkPages = ({ total, page, per_page: size }) => {
  const pages = Math.max(1, Math.ceil(total / size));
  const targets = { first: 1, previous: Math.min(page - 1, pages), next: page + 1, last: pages };
  for (const link of document.querySelectorAll("[data-page]")) {
    const target = targets[link.dataset.page];
    const url = new URL(location.href);
    if (target > 1) url.searchParams.set("page", target);
    else url.searchParams.delete("page");
    link.href = url.pathname + url.search;
    link.hidden = ["first", "previous"].includes(link.dataset.page) ? page === 1 : page >= pages;
  }
};

const same = (ids) =>
  ids.length === body.rows.length && ids.every((id, place) => body.rows[place].dataset.id === id);

const handlers = {
  job(data) {
    const job = JSON.parse(data);
    known.set(job.job_id, job);
    const row = rowOf(job.job_id);
    if (row) writeRow(row, job);
  },
  page(data) {
    const page = JSON.parse(data);
    setText(document.getElementById("range"), shownOf(page));
    document.getElementById("truncated").hidden = !page.truncated;
    linkPages(page);
    wanted = same(page.ids) ? null : page.ids;
    arrangeWhenCalm();
  },
  counts(data) {
    const counts = JSON.parse(data);
    counts.all = Object.values(counts).reduce((sum, count) => sum + count, 0);
    for (const element of document.querySelectorAll("[data-count]")) {
      setText(element, counts[element.dataset.count].toLocaleString("en"));
    }
  },
};

// in a row that is too long for a narrow screen
document.querySelector(".counts [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

follow(handlers);
everySecond(arrangeWhenCalm);
act((action, form) => {
  // what I did myself may move the rows under my pointer
  if (action === "delete") {
    const { id } = form.closest("tr").dataset;
    wanted = (wanted ?? [...body.rows].map((row) => row.dataset.id)).filter((it) => it !== id);
  }
  arrange();
});

document.querySelector(".tools").addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) if (!value) formData.delete(name);
});
