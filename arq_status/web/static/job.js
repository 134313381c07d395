// The live page of a job: a stream until the job ends, then an occasional check whether it runs
// again or is gone.

import { act } from "./actions.js";
import { $, $$, everySecond, now, parse, patchParts, say, tick } from "./page.js";
import { follow, show } from "./stream.js";

const CHECK_INTERVAL = 10_000;
const LINES = 1000;

const article = $("#job");
const gone = $("#gone");
let checked = now();

const state = () => {
  const { status, ended, expires } = $(".job-top", article).dataset;
  return { status, ended: ended !== undefined, expires: expires ? Date.parse(expires) : Infinity };
};
let seen = state();

const stream = follow({
  parts(parts) {
    patchParts(parts);
    gone.hidden = true;
    const before = seen;
    seen = state();
    if (seen.status !== before.status) say(`The job is ${seen.status}.`);
    if (before.ended && !seen.ended) stream.open();
  },
  lines(html) {
    const log = $(".log", article);
    const follows = log.scrollTop + log.clientHeight > log.scrollHeight - 4;
    log.append(parse(html));
    for (const line of [...log.children].slice(0, -LINES)) line.remove();
    tick(log);
    if (follows) log.scrollTop = log.scrollHeight;
  },
  end() {
    stream.close();
    checked = now();
    show("ended", "Ended");
  },
  gone() {
    stream.close();
    seen = { ...seen, ended: true, expires: Infinity };
    if (!gone.hidden) return;
    gone.hidden = false;
    for (const form of $$("form.actions", article)) form.hidden = true;
    show("ended", "Gone");
    say("The job is gone.");
  },
});

const check = () => {
  checked = now();
  return stream.poll();
};

everySecond(() => {
  const isDue = now() - checked > CHECK_INTERVAL || (now() > seen.expires && checked <= seen.expires);
  if (seen.ended && isDue) check();
});
act(check);
