// The pages of functions, queues, workers and cron jobs, live.

import { everySecond, follow, parse, patchPart } from "./page.js";

follow({
  parts(parts) {
    for (const [name, html] of Object.entries(parts)) {
      patchPart(name, typeof html === "string" ? parse(html) : html);
    }
  },
});
everySecond();
