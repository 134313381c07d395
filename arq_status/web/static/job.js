// The page of a job, live: its stream while it goes on, and afterwards a look now and then whether
// it was run again or has gone.

import { act, everySecond, follow, now, say, setText, show, write } from "./page.js";

const LOOK = 10_000;

const article = document.getElementById("job");
const allowed = article.dataset.allowed.split(" ");
let status = article.dataset.status;
let ended = "ended" in article.dataset;
let expires = Infinity;
let looked = now();

// Numbers that JavaScript would round are shown as they were written.
const exact = (text) =>
  JSON.parse(text, (_, value, context) =>
    typeof value === "number" && context?.source && JSON.rawJSON && String(value) !== context.source
      ? JSON.rawJSON(context.source)
      : value);

const readable = (text) => JSON.stringify(exact(text).data, null, 2);

const setFact = (element, isKnown) => {
  element.closest("dl > div").hidden = !isKnown;
};

const writeJob = (text) => {
  const job = JSON.parse(text);
  write(article, job);
  for (const button of article.querySelectorAll("button[name=action]")) {
    button.hidden ||= !allowed.includes(button.value);
  }
  for (const element of article.querySelectorAll(".facts [data-field]")) {
    const value = job[element.dataset.field];
    setFact(element, value !== null && value !== "");
  }
  article.querySelector(".of").hidden = !job.total;
  setFact(article.querySelector("[data-elapsed]"), job.elapsed !== null);
  setFact(article.querySelector("[data-eta]"), "until" in article.querySelector("[data-eta]").dataset);
  const data = article.querySelector("[data-field=data]");
  setText(data, readable(text));
  data.closest("section").hidden = !Object.keys(job.data).length;
  article.querySelector(".error-card").hidden = !job.error;
  document.getElementById("gone").hidden = true;
  if (job.status !== status) say(`The job is ${job.status}.`);
  status = job.status;
  ended = Boolean(job.ended_at);
  expires = job.expires_at ? Date.parse(job.expires_at) : Infinity;
};

const writeGone = () => {
  stream.close();
  ended = true;
  expires = Infinity;
  if (!document.getElementById("gone").hidden) return;
  document.getElementById("gone").hidden = false;
  for (const button of article.querySelectorAll("button[name=action]")) button.hidden = true;
  show("ended", "Gone");
  say("The job is gone.");
};

const look = async () => {
  looked = now();
  const wasEnded = ended;
  try {
    const response = await fetch(location.href, { headers: { Accept: "application/json" } });
    if (response.status === 404) return writeGone();
    if (!response.ok) return;
    writeJob(await response.text());
    if (wasEnded && !ended) stream.open();
  } catch {
    // the server is away; the next look tells
  }
};

const stream = follow({
  job: writeJob,
  end() {
    stream.close();
    looked = now();
    show("ended", "Ended");
  },
  gone: writeGone,
}, { lost: look });

everySecond(() => {
  if (ended && (now() - looked > LOOK || now() > expires && looked <= expires)) look();
});
act(look);
