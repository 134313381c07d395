// The pages of functions, queues, workers, cron jobs and groups, live.

import { everySecond, follow, parse, patchPart, say, show } from "./page.js";

const stream = follow({
  parts(parts) {
    for (const [name, html] of Object.entries(parts)) {
      patchPart(name, typeof html === "string" ? parse(html) : html);
    }
  },
  end() {
    stream.close();
    show("ended", "Ended");
  },
  gone() {
    stream.close();
    show("ended", "Gone");
    say("It is gone.");
  },
});
everySecond();
