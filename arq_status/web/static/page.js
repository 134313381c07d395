// Shared by all pages: the clock, parts that the server renders again, menus, copying, the theme.

export const SECOND = 1000;

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
// Announces a text to screen readers, and shows it for a moment.
export const say = (text) => {
  clearTimeout(toastTimer);
  toast.textContent = "";
  toast.classList.add("shown");
  // screen readers do not announce an unchanged text again
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

export const everySecond = (callback = () => {}) => {
  const run = () => {
    if (document.hidden) return;
    tick();
    callback();
  };
  run();
  setInterval(run, SECOND);
};

// Parts: what the server rendered is patched into the page element by element, so that focus,
// selection and transitions survive.

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

// Patches parts by name; each is HTML or an element of a page.
export const patchParts = (parts) => {
  for (const [name, html] of Object.entries(parts)) {
    const element = $(`[data-part="${CSS.escape(name)}"]`);
    if (!element) continue;
    patch(element, typeof html === "string" ? parse(html) : html);
    tick(element);
  }
};

// Menus close when the pointer or the focus leaves them.

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
  // over plain HTTP only a selected text can be copied
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

// Scroll the current choice into view, for rows that are too long for a narrow screen.
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
    // it applies to this page only
  }
  showTheme();
});
showTheme();
button.hidden = false;
root.classList.add("script");
