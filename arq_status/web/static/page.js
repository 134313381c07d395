// What the list and the page of a job have in common: the stream, the clock, the actions, and how a
// job is written into the elements that stand for its fields.

import { absolute, duration, relative } from "./words.js";

const FIRST_DELAY = 500;
const LONGEST_DELAY = 15_000;
const SECOND = 1000;

const behind = Number(document.documentElement.dataset.now) - Date.now();
export const now = () => Date.now() + behind;

// Text

export const setText = (element, value) => {
  const text = String(value ?? "");
  if (element.textContent !== text) element.textContent = text;
};

const setData = (element, name, value) => {
  if (value) element.dataset[name] = value;
  else delete element.dataset[name];
};

const said = document.getElementById("said");
export const say = (text) => {
  said.textContent = "";
  // a text that does not change is not read out again
  requestAnimationFrame(() => setText(said, text));
};

// The clock

const tick = (root = document) => {
  const present = now();
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = Date.parse(element.dateTime);
    element.title = absolute(moment);
    setText(element, "absolute" in element.dataset ? absolute(moment) : relative(moment, present));
    const beside = element.parentElement.querySelector("[data-relative]");
    if (beside) setText(beside, relative(moment, present));
  }
  for (const element of root.querySelectorAll("[data-since]")) {
    const seconds = Math.floor((present - Date.parse(element.dataset.since)) / SECOND);
    setText(element, duration(Math.max(0, seconds)));
  }
  for (const element of root.querySelectorAll("[data-until]")) {
    const seconds = Math.floor((Date.parse(element.dataset.until) - present) / SECOND);
    setText(element, `${duration(Math.max(0, seconds))} left`);
  }
};

export const everySecond = (also = () => {}) => {
  const beat = () => {
    if (document.hidden) return;
    tick();
    also();
  };
  beat();
  setInterval(beat, SECOND);
};

// A job

export const actionsOf = (job) => {
  if (!job.ended_at) return job.status === "working" ? ["stop", "force-stop"] : ["cancel"];
  return job.status === "complete" ? ["delete"] : ["retry", "delete"];
};

const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 10 });

const WRITTEN = {
  function: (job) => job.function ?? "unknown function",
  at: (job) => number.format(job.at),
  total: (job) => number.format(job.total),
};

export const write = (root, job) => {
  root.dataset.status = job.status;
  const badge = root.querySelector(".status");
  badge.dataset.status = job.status;
  badge.querySelector("use").setAttribute("href", `#s-${job.status}`);
  for (const element of root.querySelectorAll("[data-field]")) {
    const name = element.dataset.field;
    if (element instanceof HTMLTimeElement) {
      if (job[name]) element.dateTime = job[name];
      else element.removeAttribute("datetime");
      if (!job[name]) setText(element, "");
    } else {
      setText(element, name in WRITTEN ? WRITTEN[name](job) : job[name]);
    }
  }
  writeProgress(root, job);
  for (const button of root.querySelectorAll("button[name=action]")) {
    button.hidden = !actionsOf(job).includes(button.value);
  }
  tick(root);
};

const writeProgress = (root, job) => {
  const bar = root.querySelector("progress");
  const measured = job.total > 0 || Boolean(job.ended_at);
  if (measured) bar.value = job.pct_complete;
  else bar.removeAttribute("value");
  root.querySelector(".percent").hidden = !measured;
  root.querySelector(".count").hidden = measured;
  const elapsed = root.querySelector("[data-elapsed]");
  setData(elapsed, "since", job.status === "working" && job.started_at);
  if (!elapsed.dataset.since) setText(elapsed, job.elapsed === null ? "" : duration(job.elapsed));
  const eta = root.querySelector("[data-eta]");
  const known = measured && job.eta !== null;
  setData(eta, "until", known && new Date(now() + job.eta * SECOND).toISOString());
  if (!known) setText(eta, "");
};

// The stream

const connection = document.getElementById("connection");

export const show = (state, text) => {
  connection.hidden = false;
  connection.dataset.state = state;
  setText(connection.querySelector("[data-text]"), text);
};

export const follow = (handlers, { lost = () => {} } = {}) => {
  let source = null;
  let timer = 0;
  let delay = FIRST_DELAY;
  let failures = 0;
  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const open = () => {
    close();
    if (document.hidden) return;
    source = new EventSource(location.href);
    source.onopen = () => {
      if (failures > 1) say("Connected again.");
      [delay, failures] = [FIRST_DELAY, 0];
      show("live", "Live");
    };
    source.onerror = () => {
      close();
      // servers end streams now and then; only a second failure in a row means something
      failures += 1;
      if (failures === 2) {
        show("lost", "Connection lost, trying again");
        say("The connection is lost. The page tries again.");
      }
      timer = setTimeout(open, delay * (0.75 + Math.random() / 2));
      delay = Math.min(2 * delay, LONGEST_DELAY);
      lost();
    };
    for (const [name, handler] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handler(event.data));
    }
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  open();
  return { open, close };
};

// Actions

const ASKED = {
  stop: ["Stop this job?", "It ends at its next progress call and is not tried again.", "Stop it"],
  "force-stop": [
    "Stop this job at once?",
    "It is cancelled at its next await, whatever it waits for, and is not tried again.",
    "Force it to stop",
  ],
  cancel: ["Cancel this job?", "It is taken out of its queue for good.", "Cancel it"],
  delete: ["Delete what is known of this job?", "Its status and data are forgotten.", "Delete it"],
};

const DONE = {
  stop: "The job was asked to stop.",
  "force-stop": "The job was asked to stop at once.",
  cancel: "The job is cancelled.",
  retry: "The job runs again.",
  delete: "The job is deleted.",
};

const dialog = document.getElementById("confirm");

const confirmed = (action) => {
  if (!(action in ASKED)) return Promise.resolve(true);
  const [heading, text, yes] = ASKED[action];
  setText(dialog.querySelector("h2"), heading);
  setText(dialog.querySelector("p"), text);
  setText(dialog.querySelector("[value=yes]"), yes);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
};

const send = async (form, action) => {
  try {
    const response = await fetch(form.getAttribute("action"), {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams({ action }),
    });
    const answer = await response.json();
    if (answer.ok) return [true, DONE[action]];
    return [false, answer.error ?? "That is not possible in the present state of the job."];
  } catch {
    return [false, "The server does not answer."];
  }
};

const notice = document.getElementById("notice");

export const act = (done) => {
  document.addEventListener("submit", async (event) => {
    const { target: form, submitter } = event;
    if (form.method !== "post") return;
    event.preventDefault();
    const action = submitter.value;
    if (!(await confirmed(action))) return;
    submitter.disabled = true;
    const [ok, text] = await send(form, action);
    submitter.disabled = false;
    notice.hidden = ok;
    setText(notice, ok ? "" : text);
    say(text);
    if (ok) done(action, form);
  });
};
