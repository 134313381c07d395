// Shows how far the jobs are, until they have ended. Without it the page reloads itself.
"use strict";

const PERIOD = 500;

const show = (run, job) => {
  run.dataset.status = job.status;
  run.querySelector("progress").value = job.pct_complete;
  for (const element of run.querySelectorAll("[data-field]")) {
    const text = String(job[element.dataset.field]);
    if (element.textContent !== text) element.textContent = text;
  }
};

const follow = async (run) => {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, PERIOD));
    if (document.hidden) continue;
    try {
      const response = await fetch(run.dataset.url);
      if (response.status === 404) return;
      if (!response.ok) continue;
      const job = await response.json();
      show(run, job);
      if (job.ended) return delete run.dataset.live;
    } catch {
      // The demo has ended, or the network is away: the next try tells.
    }
  }
};

for (const run of document.querySelectorAll("[data-live]")) follow(run);
