// The live rows of a table: they are updated in place. Their order changes at most once a second,
// and not while someone hovers over them, has the focus there or has selected some.

import { $, $$, parse, patch, tick } from "./page.js";
import { show } from "./stream.js";

const CALM = 1000;

// On touch screens a tapped element counts as hovered until the next tap.
const points = matchMedia("(hover: hover)");

export const liveRows = (body, { calmed = (ids) => ids, arranged = () => {} } = {}) => {
  const table = body.parentElement;
  // rows that are not in the table yet
  const known = new Map();
  let wanted = null;
  let last = 0;

  const rows = () => $$("tr[data-id]", body);
  const rowOf = (id) => rows().find((row) => row.dataset.id === id);
  const ids = () => rows().map((row) => row.dataset.id);
  const isHeld = () =>
    (points.matches && body.matches(":hover")) || $(":focus-visible, :checked, [open]", body) !== null;

  const take = (fresh) => {
    const row = rowOf(fresh.dataset.id);
    if (!row) {
      known.set(fresh.dataset.id, fresh);
      return;
    }
    for (const { name, value } of fresh.attributes) row.setAttribute(name, value);
    patch(row, fresh);
    tick(row);
  };

  const arrange = () => {
    if (!wanted) return;
    const focused = document.activeElement;
    const there = new Map(rows().map((row) => [row.dataset.id, row]));
    calmed(wanted.filter((id) => there.has(id) || known.has(id))).forEach((id, place) => {
      const row = there.get(id) ?? known.get(id);
      there.delete(id);
      if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
    });
    for (const row of there.values()) row.remove();
    if (body.contains(focused)) focused.focus({ preventScroll: true });
    for (const id of known.keys()) if (!wanted.includes(id)) known.delete(id);
    table.hidden = !wanted.length;
    [wanted, last] = [null, performance.now()];
    arranged();
    tick(body);
  };

  const arrangeWhenCalm = () => {
    if (!wanted || performance.now() - last < CALM) return;
    if (isHeld() && rows().length) {
      for (const row of rows()) row.classList.toggle("left", !wanted.includes(row.dataset.id));
      show("held", "Live, rows hold still");
      return;
    }
    for (const row of rows()) row.classList.remove("left");
    arrange();
    show("live", "Live");
  };

  const order = (fresh) => {
    wanted = fresh.join("\n") === ids().join("\n") ? null : fresh;
    arrangeWhenCalm();
  };

  // Takes the parts that are rows, or all rows of a page; returns the other parts.
  const takeParts = (parts, page) => {
    const others = {};
    for (const [name, html] of Object.entries(parts)) {
      if (name.startsWith("row:")) take(parse(html).firstElementChild);
      else others[name] = html;
    }
    if (page) {
      const fresh = $$(`#${body.id} tr`, page);
      fresh.forEach(take);
      order(fresh.map((row) => row.dataset.id));
    }
    return others;
  };

  const remove = (id) => {
    wanted = (wanted ?? ids()).filter((it) => it !== id);
  };

  return {
    rows, takeParts, order, arrange, arrangeWhenCalm, remove,
    latest: (id) => known.get(id) ?? rowOf(id),
    isSettled: () => !wanted,
  };
};
