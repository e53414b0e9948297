/** The engine that workloads/kill.ts kills: a fan-out whose items note in a journal that they ran. */
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { defineAgent, definePipeline, openTenuto } from "tenuto";

const [folder = "", mode = "start", items = "0", concurrency = "1"] = process.argv.slice(2);
const journal = openSync(join(folder, "journal"), "a");
let ran = 0;

const agent = defineAgent({
  name: "bench/note",
  run: (item: number) => {
    writeSync(journal, `${item}\n`);
    ran += 1;
    if (mode === "start" && ran === Number(items) / 2) process.send?.("half");
    return item;
  },
});
const pipeline = definePipeline({
  name: "kill",
  agents: [agent],
  jobs: [
    {
      id: "items",
      agent: "bench/note",
      forEach: { source: Array.from({ length: Number(items) }, (_, at) => at), concurrency: Number(concurrency) },
    },
  ],
});

const tenuto = await openTenuto({ home: folder, pipelines: [pipeline] });
const run = mode === "start" ? await tenuto.start("kill") : await tenuto.client.attach("latest");
const end = await run.wait();
if (end.state !== "completed") throw new Error(`the run ended ${end.state}`);
process.send?.("finished");
await tenuto.close();
closeSync(journal);
process.disconnect?.();
