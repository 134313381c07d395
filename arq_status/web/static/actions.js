// Actions: the confirmation dialog, the request, and the message afterwards.

import { $, $$, say, setText } from "./page.js";

const dialog = $("#confirm");
const actions = JSON.parse(dialog.dataset.actions);

const confirmed = (action, { number = 1, which = "", must = false } = {}) => {
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
    return { error: "The server is not responding." };
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
  return answer.ok ? done : "The state of the job does not allow that.";
};

// Sends the forms of the page; `ask` returns what their dialog is about.
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
