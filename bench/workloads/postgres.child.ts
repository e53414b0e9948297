/** A worker process beside the one that workloads/postgres.ts measures; ends when its channel is closed. */
import { once } from "node:events";
import { openTenuto } from "tenuto";
import { chain, items, single, steps } from "./postgres-pipelines.ts";

const [home = "", database = "", size = "0"] = process.argv.slice(2);
await using _tenuto = await openTenuto({
  home,
  database,
  concurrency: 100,
  pipelines: [chain, single, steps, items(Number(size))],
});
process.send?.("ready");
await once(process, "disconnect");
