// The live pages of functions, queues, workers, cron jobs and groups.

import { $, everySecond, patchParts, say } from "./page.js";
import { liveRows } from "./rows.js";
import { follow, show } from "./stream.js";

const body = $("#records");
const table = body && liveRows(body);

const stream = follow({
  parts(parts, page = null) {
    patchParts(table ? table.takeParts(parts, page) : parts);
  },
  order: (ids) => table.order(ids),
  end() {
    stream.close();
    show("ended", "Ended");
  },
  gone() {
    stream.close();
    show("ended", "Gone");
    say("The group is gone.");
  },
});
everySecond(() => table?.arrangeWhenCalm());
