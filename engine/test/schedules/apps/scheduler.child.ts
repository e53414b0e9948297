/** An engine with a notifier, which lives until it is killed. Arguments: home, file for what is told. */
import { openTenuto } from "../../../src/index.ts";
import { PIPELINES } from "./tick.ts";

const [home, told] = process.argv.slice(2) as [string, string];
const append = `require("fs").appendFileSync(${JSON.stringify(told)}, require("fs").readFileSync(0, "utf8"))`;
await openTenuto({
  home,
  cwd: home,
  pipelines: PIPELINES,
  leaseMs: 3_000,
  heartbeatMs: 500,
  maxCrashes: 1_000,
  notifiers: [{ name: "file", on: ["completed"], command: [process.execPath, "-e", append] }],
});
process.send?.("open");
