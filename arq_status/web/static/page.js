// What all pages share: parts that the server renders anew, the clock, the stream, actions, menus.

const FIRST_DELAY = 500;
const LONGEST_DELAY = 15_000;
const POLL = 3000;
const SECOND = 1000;
const STREAMS = 4;

const root = document.documentElement;
const units = JSON.parse(root.dataset.units);
const behind = Number(root.dataset.now) - Date.now();
export const now = () => Date.now() + behind;

export const $ = (selector, of = document) => of.querySelector(selector);
export const $$ = (selector, of = document) => [...of.querySelectorAll(selector)];

// Text

export const setText = (element, text) => {
  if (element && element.textContent !== text) element.textContent = text;
};

const toast = $("#toast");
let toastTimer = 0;
// Read out, and shown for a moment.
export const say = (text) => {
  clearTimeout(toastTimer);
  toast.textContent = "";
  toast.classList.add("shown");
  // a text that does not change is not read out again
  requestAnimationFrame(() => setText(toast, text));
  toastTimer = setTimeout(() => toast.classList.remove("shown"), 5 * SECOND);
};

// The clock

const duration = (seconds) => {
  let rest = Math.max(0, Math.floor(seconds));
  const parts = units.map(([unit, size]) => {
    const number = Math.floor(rest / size);
    rest %= size;
    return [number, unit];
  });
  const first = parts.findIndex(([number]) => number > 0);
  if (first < 0) return `0 ${units.at(-1)[0]}`;
  return parts.slice(first, first + 2).filter(([number]) => number).map((it) => it.join(" ")).join(" ");
};

const relative = (seconds) => {
  const size = Math.abs(Math.trunc(seconds));
  if (!size) return "just now";
  const [unit, length] = units.find(([, it]) => size >= it);
  const words = `${Math.floor(size / length)} ${unit}`;
  return seconds > 0 ? `${words} ago` : `in ${words}`;
};

const zoned = new Intl.DateTimeFormat(undefined, {
  month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  hourCycle: "h23", timeZoneName: "short",
});
const clocked = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const utc = (moment) => `${new Date(moment).toISOString().slice(0, 19).replace("T", " ")} UTC`;

export const tick = (of = document) => {
  const since = (text) => (now() - Date.parse(text)) / SECOND;
  for (const element of $$("time[datetime]", of)) {
    const moment = Date.parse(element.dateTime);
    const { absolute, clock } = element.dataset;
    if (clock !== undefined) setText(element, clocked.format(moment));
    else if (absolute !== undefined) setText(element, zoned.format(moment));
    else setText(element, relative(since(element.dateTime)));
    element.title = absolute !== undefined ? utc(moment) : zoned.format(moment);
  }
  for (const element of $$("[data-since]", of)) setText(element, duration(since(element.dataset.since)));
  for (const element of $$("[data-from]", of)) element.hidden = since(element.dataset.from) < 0;
  for (const element of $$("[data-until]", of)) {
    setText(element, `${duration(-since(element.dataset.until))} left`);
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

// Parts: what the server rendered takes the place of what is there, element by element, so that
// focus, selection and transitions live on.

export const parse = (html) => {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
};

const KEPT = new Set(["open", "hidden"]);

const patchAttributes = (old, fresh) => {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !KEPT.has(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
};

export const patch = (parent, fresh) => {
  const before = [...parent.childNodes];
  [...fresh.childNodes].forEach((node, place) => {
    const old = before[place];
    if (!old) parent.append(node);
    else if (old.nodeName !== node.nodeName) old.replaceWith(node);
    else if (old instanceof Element) {
      patchAttributes(old, node);
      patch(old, node);
    } else if (old.data !== node.data) old.data = node.data;
  });
  for (const old of before.slice(fresh.childNodes.length)) old.remove();
};

// Take the parts by their names: as HTML, or as elements of a page.
export const patchParts = (parts) => {
  for (const [name, html] of Object.entries(parts)) {
    const element = $(`[data-part="${CSS.escape(name)}"]`);
    if (!element) continue;
    patch(element, typeof html === "string" ? parse(html) : html);
    tick(element);
  }
};

// The stream. Browsers open six connections to a host: pages beyond the fourth look now and then.

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

// Look at the page again, and give its parts to the handlers of the stream.
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
    // servers end streams now and then; only a second failure in a row means something
    failures += 1;
    if (failures === 2) {
      show("lost", "Connection lost, trying again");
      say("The connection is lost. The page tries again.");
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
      // a refusal is not to be told from a lost connection; the page itself tells
      if (failures > 1) poll(handlers).catch(() => {});
    };
    for (const [name, handler] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handler(JSON.parse(event.data)));
    }
  };
  const look = async () => {
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
    else look();
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  open();
  return { open, close, look: () => poll(handlers).catch(() => {}) };
};

// Actions

const dialog = $("#confirm");
const actions = JSON.parse(dialog.dataset.actions);

export const confirmed = (action, { number = 1, which = "", must = false } = {}) => {
  const { label, consequence } = actions[action];
  if (!consequence && !must) return Promise.resolve(true);
  const jobs = number === 1 ? "this job" : `${number.toLocaleString("en")} jobs`;
  setText($("h2", dialog), `${label} ${jobs}?`);
  setText($(".which", dialog), which);
  setText($(".what", dialog), consequence);
  const yes = $("[value=yes]", dialog);
  setText(yes, number === 1 ? `${label} it` : `${label} ${jobs}`);
  yes.classList.toggle("danger", action === "delete" || action === "force-stop");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
};

const send = async (form, fields) => {
  try {
    const response = await fetch(form.getAttribute("action"), {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(fields),
    });
    return await response.json();
  } catch {
    return { error: "The server does not answer." };
  }
};

const notice = $("#notice");
const outcome = (action, answer) => {
  if (answer.error) return answer.error;
  const { done, doneToMany } = actions[action];
  if ("jobs" in answer) {
    const jobs = `${answer.jobs.toLocaleString("en")} ${answer.jobs === 1 ? "job" : "jobs"}`;
    return `${jobs} ${doneToMany}.`;
  }
  return answer.ok ? done : "That is not possible in the present state of the job.";
};

// The forms on the page are sent from here; `ask` says what their dialog is about.
export const act = (done, ask = () => ({})) => {
  document.addEventListener("submit", async (event) => {
    const { target: form, submitter } = event;
    if (form.method !== "post") return;
    event.preventDefault();
    const action = submitter.value;
    for (const menu of $$("details.menu[open]", form)) menu.open = false;
    const fields = [...new FormData(form)];
    if (!(await confirmed(action, ask(form)))) return;
    submitter.disabled = true;
    const answer = await send(form, [...fields, ["action", action]]);
    submitter.disabled = false;
    const text = outcome(action, answer);
    notice.hidden = Boolean(answer.ok);
    setText(notice, answer.ok ? "" : text);
    say(text);
    if (answer.ok) done(action, form);
  });
};

// Menus close when one looks elsewhere.

const closeMenus = (but) => {
  for (const menu of $$("details.menu[open]")) if (!menu.contains(but)) menu.open = false;
};
document.addEventListener("click", (event) => closeMenus(event.target));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = event.target.closest?.("details.menu[open]");
  closeMenus(null);
  if (menu) $("summary", menu).focus();
});

// Copying

const copy = async (text) => {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // plain HTTP: the clipboard is out of reach but for a selected text
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-of]");
  if (!button) return;
  await copy(button.dataset.copy ?? $(button.dataset.copyOf).textContent);
  say("Copied.");
});

// What is chosen is in sight, also in a row that is too long for a narrow screen.
for (const chosen of $$(":is(.sections, .counts) [aria-current], .records .sorted")) {
  chosen.scrollIntoView({ block: "nearest", inline: "center" });
}

// The theme

const themes = ["system", "light", "dark"];
const button = $("#theme");

const showTheme = () => {
  const theme = root.dataset.theme ?? "system";
  button.dataset.theme = theme;
  setText($("[data-text]", button), theme);
  button.title = `Theme: ${theme}`;
};

button.addEventListener("click", () => {
  const theme = themes[(themes.indexOf(button.dataset.theme) + 1) % themes.length];
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem("arq-status theme");
    else localStorage.setItem("arq-status theme", theme);
  } catch {
    // it holds for this page alone
  }
  showTheme();
});
showTheme();
button.hidden = false;
root.classList.add("script");
