// The stream of a page. Browsers open six connections to a host, so pages beyond the fourth poll.

import { $, $$, SECOND, say, setText } from "./page.js";

const FIRST_DELAY = 500;
const LONGEST_DELAY = 15_000;
const POLL = 3000;
const STREAMS = 4;

const connection = $("#connection");

export const show = (state, text) => {
  connection.hidden = false;
  connection.dataset.state = state;
  setText($("[data-text]", connection), text);
};

const channel = new BroadcastChannel("arq-status streams");
const me = Math.random();
let streams = false;
channel.onmessage = ({ data: { asks, from } }) => {
  if (asks && streams) channel.postMessage({ answers: true, to: from });
};

const isFree = () => new Promise((resolve) => {
  let others = 0;
  const count = ({ data: { answers, to } }) => {
    if (answers && to === me) others += 1;
  };
  channel.addEventListener("message", count);
  channel.postMessage({ asks: true, from: me });
  setTimeout(() => {
    channel.removeEventListener("message", count);
    resolve(others < STREAMS);
  }, 50);
});

// Fetches the page again, and passes its parts to the handlers of the stream.
const poll = async (handlers) => {
  const response = await fetch(location.href);
  if (response.status === 401 || response.status === 403) location.reload();
  if (response.status === 404) return handlers.gone?.();
  if (!response.ok) throw new Error(response.statusText);
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  handlers.parts(Object.fromEntries($$("[data-part]", fresh).map((it) => [it.dataset.part, it])), fresh);
};

export const follow = (handlers) => {
  let source = null;
  let timer = 0;
  let delay = FIRST_DELAY;
  let failures = 0;
  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
    streams = false;
  };
  const succeed = (text) => {
    if (failures > 1) say("Connected again.");
    [delay, failures] = [FIRST_DELAY, 0];
    show("live", text);
  };
  const fail = () => {
    close();
    // servers end streams now and then; only a second failure in a row matters
    failures += 1;
    if (failures === 2) {
      show("lost", "Connection lost, reconnecting");
      say("The connection was lost. Trying to reconnect.");
    }
    timer = setTimeout(open, delay * (0.75 + Math.random() / 2));
    delay = Math.min(2 * delay, LONGEST_DELAY);
  };
  const stream = () => {
    streams = true;
    const url = new URL(location.href);
    url.searchParams.set("parts", "1");
    source = new EventSource(url);
    source.onopen = () => succeed("Live");
    source.onerror = () => {
      fail();
      // an error does not say if the request was refused or the connection lost; the page does
      if (failures > 1) poll(handlers).catch(() => {});
    };
    for (const [name, handler] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handler(JSON.parse(event.data)));
    }
  };
  const pollRepeatedly = async () => {
    try {
      await poll(handlers);
      succeed("Every 3 s");
      timer = setTimeout(open, POLL);
    } catch {
      fail();
    }
  };
  const open = async () => {
    close();
    if (document.hidden) return;
    const free = await isFree();
    if (source || document.hidden) return;
    if (free) stream();
    else pollRepeatedly();
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  open();
  return { open, close, poll: () => poll(handlers).catch(() => {}) };
};
