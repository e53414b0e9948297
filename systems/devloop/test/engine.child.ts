/** An engine of its own, to be killed: `engine.child.ts HOME PIDFILE PARAMS`. Starts the run or goes on with it. */
import { writeFileSync } from "node:fs";
import { openTenuto } from "tenuto";
import { devloopPipelines } from "../pipeline.ts";

const [home, pidFile, params] = process.argv.slice(2);
writeFileSync(pidFile!, String(process.pid));
const tenuto = await openTenuto({ home: home!, pipelines: devloopPipelines({ retrySeconds: 0.1 }) });
const run = await tenuto.start("devloop-dev-only", JSON.parse(params!), { idempotencyKey: "one" });
await run.wait();
await tenuto.close();
